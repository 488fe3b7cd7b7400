#![doc = include_str!("../docs/writing-operators.md")]
