//! The shape of a type's encoding, as far as one value shows it: names and types of fields, in their order.
//!
//! A checkpoint has bytes and no names, so that a state whose fields change places would be read without complaint, and
//! wrongly. What an empty collection or an absent value would hold does not show.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt::{self, Display, Write};

/// The shape of `value`, such as `{sum: i64, seen: [], last: ?}`.
pub(crate) fn shape_of<T: Serialize>(value: &T) -> String {
    let mut shape = Shape(String::new());
    // It only writes to a string; an error is the value's own, of a `Serialize` written by hand.
    match value.serialize(&mut shape) {
        Ok(()) => shape.0,
        Err(Unknown) => String::new(),
    }
}

struct Shape(String);

/// A value that does not want to be serialised.
#[derive(Debug)]
struct Unknown;

impl Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape is unknown")
    }
}

impl std::error::Error for Unknown {}

impl serde::ser::Error for Unknown {
    fn custom<T: Display>(_: T) -> Self {
        Unknown
    }
}

/// Something with parts: what closes it, and whether one has been written.
struct Parts<'a> {
    shape: &'a mut Shape,
    close: char,
    any: bool,
}

impl Shape {
    fn say(&mut self, text: &str) -> Result<(), Unknown> {
        self.0.push_str(text);
        Ok(())
    }

    fn open(&mut self, open: char, close: char) -> Parts<'_> {
        self.0.push(open);
        Parts { shape: self, close, any: false }
    }
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unknown> {
        if self.any {
            self.shape.0.push_str(", ");
        }
        self.any = true;
        if !name.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(self.shape.0, "{name}: ");
        }
        value.serialize(&mut *self.shape)
    }

    fn close(self) -> Result<(), Unknown> {
        self.shape.0.push(self.close);
        Ok(())
    }
}

macro_rules! primitives {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, _: $type) -> Result<(), Unknown> {
            self.say(stringify!($type))
        }
    )*};
}

impl<'a> Serializer for &'a mut Shape {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    primitives!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128, serialize_f32 f32,
        serialize_f64 f64, serialize_char char
    );

    fn serialize_str(self, _: &str) -> Result<(), Unknown> {
        self.say("str")
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unknown> {
        self.say("bytes")
    }

    fn serialize_none(self) -> Result<(), Unknown> {
        self.say("?")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        self.say("?")?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unknown> {
        self.say("()")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unknown> {
        self.say("()")
    }

    fn serialize_unit_variant(self, name: &'static str, at: u32, variant: &'static str) -> Result<(), Unknown> {
        self.say(&format!("{name}::{variant}={at}"))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unknown> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.0.push_str(&format!("{name}::{variant}={at} "));
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Unknown> {
        Ok(self.open('[', ']'))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Unknown> {
        Ok(self.open('(', ')'))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Unknown> {
        Ok(self.open('(', ')'))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Unknown> {
        self.0.push_str(&format!("{name}::{variant}={at}"));
        Ok(self.open('(', ')'))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Unknown> {
        Ok(self.open('<', '>'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Unknown> {
        Ok(self.open('{', '}'))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Unknown> {
        self.0.push_str(&format!("{name}::{variant}={at}"));
        Ok(self.open('{', '}'))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! parts {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Unknown;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
                self.part("", value)
            }

            fn end(self) -> Result<(), Unknown> {
                self.close()
            }
        }
    )*};
}
parts!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! named_parts {
    ($($trait:ident),*) => {$(
        impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Unknown;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unknown> {
                self.part(name, value)
            }

            fn end(self) -> Result<(), Unknown> {
                self.close()
            }
        }
    )*};
}
named_parts!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Unknown;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unknown> {
        self.part("", key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unknown> {
        self.part("", value)
    }

    fn end(self) -> Result<(), Unknown> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default, serde::Serialize)]
    struct Tot {
        sum: i64,
        n: u64,
        kind: Kind,
        seen: BTreeMap<u32, i64>,
        last: Option<String>,
        pair: (bool, f32),
    }

    #[derive(Default, serde::Serialize)]
    enum Kind {
        #[default]
        New,
    }

    #[test]
    fn a_shape_has_names_types_and_their_order() {
        let shape = "{sum: i64, n: u64, kind: Kind::New=0, seen: <>, last: ?, pair: (bool, f32)}";
        assert_eq!(shape_of(&Tot::default()), shape);
        assert_eq!(shape_of(&7_u8), "u8");
        assert_eq!(shape_of(&Some(vec!["a"])), "?[str]");
    }
}
