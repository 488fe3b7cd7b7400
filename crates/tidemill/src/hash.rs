//! The hash that decides where a key lives.
//!
//! It must be the same on every machine, in every build and for ever, since key groups appear in
//! checkpoints. `std::hash::Hash` promises none of that, so the hash is taken over serde's data
//! model, which a type's `Serialize` fixes: integers by value (so a `u32` may become a `u64`),
//! strings and bytes by content, structures field by field, variants by index.

use serde::{Serialize, ser};
use std::fmt::Display;

/// Key groups a job's keyed state is divided into; a worker owns a contiguous range of them.
pub const KEY_GROUPS: usize = 256;

/// The stable 64-bit hash of a key.
#[inline]
pub fn stable_hash<K: Serialize + ?Sized>(key: &K) -> u64 {
    let mut hasher = Hasher(0x243f_6a88_85a3_08d3);
    // The hasher itself never fails; a key whose own `Serialize` does hashes what it gave.
    let _ = key.serialize(&mut hasher);
    finish(hasher.0)
}

/// The key group (0 to 255) of a hash.
#[inline]
pub fn group_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}

/// The worker, of `workers`, that owns a key group.
#[inline]
pub fn owner_of(group: u8, workers: usize) -> usize {
    group as usize * workers / KEY_GROUPS
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014).
#[inline]
fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Hasher(u64);

impl Hasher {
    #[inline]
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
            self.0 ^= self.0 >> 29;
        }
        let mut word = [0; 8];
        word[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word(u64::from_le_bytes(word));
        self.word(bytes.len() as u64);
    }
}

/// The hasher takes everything; only a key's own `Serialize` can make one of these.
#[derive(Debug)]
struct NotHashable;

impl Display for NotHashable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the key refuses to be serialised")
    }
}
impl std::error::Error for NotHashable {}
impl ser::Error for NotHashable {
    fn custom<T: Display>(_: T) -> Self {
        NotHashable
    }
}

type Outcome = Result<(), NotHashable>;

macro_rules! by_value {
    ($($method:ident: $kind:ty),*) => {$(
        #[inline]
        fn $method(self, value: $kind) -> Outcome { self.word(value as u64); Ok(()) }
    )*};
}

impl ser::Serializer for &mut Hasher {
    type Ok = ();
    type Error = NotHashable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    by_value!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_char: char);

    fn serialize_i128(self, value: i128) -> Outcome {
        self.serialize_u128(value as u128)
    }
    fn serialize_u128(self, value: u128) -> Outcome {
        self.word(value as u64);
        self.word((value >> 64) as u64);
        Ok(())
    }
    fn serialize_f32(self, value: f32) -> Outcome {
        self.word(value.to_bits() as u64);
        Ok(())
    }
    fn serialize_f64(self, value: f64) -> Outcome {
        self.word(value.to_bits());
        Ok(())
    }
    #[inline]
    fn serialize_str(self, value: &str) -> Outcome {
        self.bytes(value.as_bytes());
        Ok(())
    }
    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Outcome {
        self.bytes(value);
        Ok(())
    }
    fn serialize_none(self) -> Outcome {
        self.word(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        self.word(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Outcome {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Outcome {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Outcome {
        self.word(index as u64);
        Ok(())
    }
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Outcome {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Outcome {
        self.word(index as u64);
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, NotHashable> {
        self.word(length.unwrap_or(0) as u64);
        Ok(self)
    }
    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, NotHashable> {
        Ok(self)
    }
    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, NotHashable> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotHashable> {
        self.word(index as u64);
        Ok(self)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self, NotHashable> {
        self.word(length.unwrap_or(0) as u64);
        Ok(self)
    }
    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotHashable> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, NotHashable> {
        self.word(index as u64);
        Ok(self)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! element_by_element {
    ($($kind:ident $method:ident),*) => {$(
        impl ser::$kind for &mut Hasher {
            type Ok = ();
            type Error = NotHashable;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome { value.serialize(&mut **self) }
            #[inline]
            fn end(self) -> Outcome { Ok(()) }
        }
    )*};
}
element_by_element!(SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

macro_rules! field_by_field {
    ($($kind:ident),*) => {$(
        impl ser::$kind for &mut Hasher {
            type Ok = ();
            type Error = NotHashable;
            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Outcome {
                value.serialize(&mut **self)
            }
            #[inline]
            fn end(self) -> Outcome { Ok(()) }
        }
    )*};
}
field_by_field!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Hasher {
    type Ok = ();
    type Error = NotHashable;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        value.serialize(&mut **self)
    }
    fn end(self) -> Outcome {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These numbers are in users' checkpoints: a change here loses their state.
    #[test]
    fn hashes_never_change() {
        let hashes = [
            stable_hash(&0u64),
            stable_hash(&42u32),
            stable_hash("customer-17"),
            stable_hash(&(7u32, "abc".to_owned(), Some(-1i64))),
        ];
        assert_eq!(hashes, [10978297858999425379, 4217680934577702330, 5757184796064871890, 817040674763441629]);
    }

    #[test]
    fn width_of_an_integer_does_not_matter_and_content_does() {
        assert_eq!(stable_hash(&7u8), stable_hash(&7i64));
        assert_ne!(stable_hash("ab"), stable_hash("ab\0"));
        assert_ne!(stable_hash(&("a", "bc")), stable_hash(&("ab", "c")));
    }

    #[test]
    fn groups_are_even_and_owned_in_ranges() {
        let mut seen = [0u32; KEY_GROUPS];
        for key in 0..256_000u64 {
            seen[group_of(stable_hash(&key)) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        for workers in 1..=9 {
            let owners: Vec<_> = (0..=255).map(|g| owner_of(g, workers)).collect();
            assert!(owners.is_sorted() && owners[255] == workers - 1);
        }
    }
}
