//! What serde sees in a row: its fields by name, and each one's value as a column could take it.

use serde::ser::{self, Serialize, Serializer};
use std::fmt::Display;

/// Why a row does not fit a table.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misfit(String);

impl Misfit {
    pub fn new(text: impl Into<String>) -> Self {
        Misfit(text.into())
    }
}

impl ser::Error for Misfit {
    fn custom<T: Display>(text: T) -> Self {
        Misfit(text.to_string())
    }
}

impl From<std::io::Error> for Misfit {
    fn from(error: std::io::Error) -> Self {
        Misfit(error.to_string())
    }
}

/// Takes the fields of a row, in the order serde gives them. A field that a row skips is not among them.
pub(crate) trait Fields {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Misfit>;
}

/// Hands the fields of `row`, a struct or a map by text, to `fields`.
pub(crate) fn each_field<T: Serialize + ?Sized>(row: &T, fields: &mut impl Fields) -> Result<(), Misfit> {
    row.serialize(See(Row(fields)))
}

/// Hands `value` to `take`.
pub(crate) fn scalar<T, F>(value: &T, take: F) -> Result<(), Misfit>
where
    T: Serialize + ?Sized,
    F: FnOnce(Scalar<'_>) -> Result<(), Misfit>,
{
    value.serialize(See(Value(take)))
}

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A number, and the bits of the smallest signed type that holds all of its type.
    Int(i64, u8),
    /// A number of a type wider than 64 bits, or unsigned of 64.
    Big(i128),
    Single(f32),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A list, map, struct, or variant with data.
    Nested,
}

impl Scalar<'_> {
    /// What it is, after "the field": for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Scalar::Null => "has no value",
            Scalar::Bool(_) => "is a boolean",
            Scalar::Int(..) | Scalar::Big(_) => "is an integer",
            Scalar::Single(_) | Scalar::Float(_) => "is a float",
            Scalar::Text(_) => "is text",
            Scalar::Bytes(_) => "is bytes",
            Scalar::Nested => "is nested (a list of bytes counts as such without serde_bytes)",
        }
    }
}

/// Who looks at a value: at a row for its fields, or at a field for what it is.
trait Take: Sized {
    type Fields: Fields;

    fn scalar(self, value: Scalar<'_>) -> Result<(), Misfit>;
    fn fields(self) -> Result<Self::Fields, Misfit>;
}

struct Row<'a, F>(&'a mut F);

impl<'a, F: Fields> Take for Row<'a, F> {
    type Fields = &'a mut F;

    fn scalar(self, _: Scalar<'_>) -> Result<(), Misfit> {
        Err(Misfit::new(
            "a row must be a struct, or a map by text: its fields are the columns, and here none has a name",
        ))
    }
    fn fields(self) -> Result<&'a mut F, Misfit> {
        Ok(self.0)
    }
}

impl<F: Fields> Fields for &mut F {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Misfit> {
        (**self).field(name, value)
    }
}

struct Value<F>(F);

impl<F: FnOnce(Scalar<'_>) -> Result<(), Misfit>> Take for Value<F> {
    type Fields = Ignore;

    fn scalar(self, value: Scalar<'_>) -> Result<(), Misfit> {
        (self.0)(value)
    }
    fn fields(self) -> Result<Ignore, Misfit> {
        (self.0)(Scalar::Nested)?;
        Ok(Ignore)
    }
}

/// What is nested is not looked into.
struct Ignore;

impl Fields for Ignore {
    fn field<T: Serialize + ?Sized>(&mut self, _: &str, _: &T) -> Result<(), Misfit> {
        Ok(())
    }
}

struct See<V>(V);

/// Methods of a `Serializer` that take one argument: what each value is.
macro_rules! scalars {
    (|$v:ident| $($method:ident($type:ty) => $scalar:expr,)*) => {
        $(fn $method(self, $v: $type) -> Result<(), Misfit> { self.0.scalar($scalar) })*
    };
}

impl<V: Take> Serializer for See<V> {
    type Ok = ();
    type Error = Misfit;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Named<V::Fields>;
    type SerializeStruct = Named<V::Fields>;
    type SerializeStructVariant = Items;

    scalars! { |v|
        serialize_bool(bool) => Scalar::Bool(v),
        serialize_i8(i8) => Scalar::Int(v.into(), 16),
        serialize_i16(i16) => Scalar::Int(v.into(), 16),
        serialize_i32(i32) => Scalar::Int(v.into(), 32),
        serialize_i64(i64) => Scalar::Int(v, 64),
        serialize_i128(i128) => Scalar::Big(v),
        serialize_u8(u8) => Scalar::Int(v.into(), 16),
        serialize_u16(u16) => Scalar::Int(v.into(), 32),
        serialize_u32(u32) => Scalar::Int(v.into(), 64),
        serialize_u64(u64) => Scalar::Big(v.into()),
        serialize_f32(f32) => Scalar::Single(v),
        serialize_f64(f64) => Scalar::Float(v),
        serialize_char(char) => Scalar::Text(v.encode_utf8(&mut [0; 4])),
        serialize_str(&str) => Scalar::Text(v),
        serialize_bytes(&[u8]) => Scalar::Bytes(v),
        serialize_unit_struct(&'static str) => Scalar::Text(v),
    }
    fn serialize_u128(self, v: u128) -> Result<(), Misfit> {
        let v = v.try_into().map_err(|_| Misfit::new(format!("{v} is more than 127 bits: write it as text")))?;
        self.0.scalar(Scalar::Big(v))
    }
    fn serialize_none(self) -> Result<(), Misfit> {
        self.0.scalar(Scalar::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Misfit> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Misfit> {
        self.0.scalar(Scalar::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), Misfit> {
        self.0.scalar(Scalar::Text(name))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Misfit> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Misfit> {
        self.0.scalar(Scalar::Nested)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Misfit> {
        self.0.scalar(Scalar::Nested).map(|()| Items)
    }
    fn serialize_tuple(self, _: usize) -> Result<Items, Misfit> {
        self.0.scalar(Scalar::Nested).map(|()| Items)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Misfit> {
        self.0.scalar(Scalar::Nested).map(|()| Items)
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Items, Misfit> {
        self.0.scalar(Scalar::Nested).map(|()| Items)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Named<V::Fields>, Misfit> {
        Ok(Named { fields: self.0.fields()?, key: String::new() })
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Named<V::Fields>, Misfit> {
        Ok(Named { fields: self.0.fields()?, key: String::new() })
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Items, Misfit> {
        self.0.scalar(Scalar::Nested).map(|()| Items)
    }
}

/// A struct or a map.
struct Named<F> {
    fields: F,
    /// The key of the entry whose value comes.
    key: String,
}

impl<F: Fields> ser::SerializeStruct for Named<F> {
    type Ok = ();
    type Error = Misfit;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Misfit> {
        self.fields.field(name, value)
    }
    fn skip_field(&mut self, name: &'static str) -> Result<(), Misfit> {
        self.fields.field(name, &())
    }
    fn end(self) -> Result<(), Misfit> {
        Ok(())
    }
}

impl<F: Fields> ser::SerializeMap for Named<F> {
    type Ok = ();
    type Error = Misfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Misfit> {
        self.key.clear();
        scalar(key, |key| {
            // Keys of what is nested may be anything; a row's that is no text names no column.
            if let Scalar::Text(text) = key {
                self.key.push_str(text);
            }
            Ok(())
        })
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Misfit> {
        self.fields.field(&self.key, value)
    }
    fn end(self) -> Result<(), Misfit> {
        Ok(())
    }
}

/// A list, a tuple, or a variant with data.
struct Items;

/// Items are not looked at, whatever serde calls them.
macro_rules! items {
    ($($trait:ident::$method:ident($($name:ty)?),)*) => {
        $(impl ser::$trait for Items {
            type Ok = ();
            type Error = Misfit;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? _: &T) -> Result<(), Misfit> {
                Ok(())
            }
            fn end(self) -> Result<(), Misfit> {
                Ok(())
            }
        })*
    };
}
items! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStructVariant::serialize_field(&'static str),
}
