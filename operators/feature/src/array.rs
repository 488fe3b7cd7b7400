//! Serde for arrays of any length, as a tuple; serde itself stops at 32 and offers no generic length.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};

pub(crate) fn serialize<S: Serializer, V: Serialize, const N: usize>(
    array: &[V; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(N)?;
    for value in array {
        tuple.serialize_element(value)?;
    }
    tuple.end()
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, V: Deserialize<'de>, const N: usize>(
    deserializer: D,
) -> Result<[V; N], D::Error> {
    deserializer.deserialize_tuple(N, Elements(PhantomData))
}

struct Elements<V, const N: usize>(PhantomData<V>);

impl<'de, V: Deserialize<'de>, const N: usize> Visitor<'de> for Elements<V, N> {
    type Value = [V; N];

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{N} values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[V; N], A::Error> {
        let mut values = Vec::with_capacity(N);
        while values.len() < N
            && let Some(value) = seq.next_element()?
        {
            values.push(value);
        }
        values.try_into().map_err(|values: Vec<V>| A::Error::invalid_length(values.len(), &self))
    }
}
