//! The shape of a type's encoding: names and types of fields, in their order.
//!
//! A checkpoint has bytes and no names, so that a state whose fields change places would be read without complaint, and
//! wrongly.

use serde::de::DeserializeOwned;
use serde_reflection::{Tracer, TracerConfig};

/// The shape of `T` as JSON, or nothing where it cannot be told: a `Deserialize` written by hand may refuse to be asked. Of
/// an enum within another type it has the first variant.
pub(crate) fn shape_of<T: DeserializeOwned>() -> String {
    let mut tracer = Tracer::new(TracerConfig::default());
    let format = tracer.trace_simple_type::<T>().map(|(format, _)| format);
    let shape = format.ok().and_then(|format| serde_json::to_string(&(format, tracer.registry_unchecked())).ok());
    shape.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[test]
    fn a_shape_has_names_types_and_their_order() {
        #[derive(Deserialize)]
        #[allow(dead_code)] // for their shapes alone
        struct Total {
            sum: i64,
            n: u64,
            last: Option<Sale>,
            seen: BTreeMap<u32, Vec<bool>>,
        }
        #[derive(Deserialize)]
        #[allow(dead_code)]
        struct Sale {
            at: i64,
        }
        let shape = r#"[{"TYPENAME":"Total"},{"Sale":{"STRUCT":[{"at":"I64"}]},"Total":{"STRUCT":[{"sum":"I64"},{"n":"U64"},{"last":{"OPTION":{"TYPENAME":"Sale"}}},{"seen":{"MAP":{"KEY":"U32","VALUE":{"SEQ":"BOOL"}}}}]}}]"#;
        assert_eq!(shape_of::<Total>(), shape);
        assert_eq!(shape_of::<u8>(), r#"["U8",{}]"#);
    }

    #[test]
    fn what_refuses_has_no_shape() {
        struct Shy;
        impl<'de> Deserialize<'de> for Shy {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                Err(serde::de::Error::custom("no"))
            }
        }
        assert_eq!(shape_of::<Shy>(), "");
    }
}
