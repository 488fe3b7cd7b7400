//! A CSV record as serde sees it.
//!
//! With a header a record is a map by column name, without one a sequence; in the latter, nested
//! tuples, arrays and structs take as many fields as they need. A field becomes what its type
//! asks for: an empty one is `None`, a unit variant goes by its name.

use crate::misfit::Misfit;
use crate::reader::quoted;
use crate::split::Fields;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor, value::StrDeserializer,
};
use std::fmt::Display;
use std::str::FromStr;

/// Hands out a record's fields in order.
pub(crate) struct Row<'a> {
    fields: Fields<'a>,
    header: Option<&'a [String]>,
    at: usize,
    /// Whether what is asked for next is the record, not a field.
    whole: bool,
}

impl<'a> Row<'a> {
    #[inline]
    pub(crate) fn new(fields: Fields<'a>, header: Option<&'a [String]>) -> Self {
        Row { fields, header, at: 0, whole: true }
    }

    /// How many fields have been taken.
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    #[inline]
    fn next(&mut self) -> Result<&'a [u8], Misfit> {
        self.whole = false;
        let field = self.fields.get(self.at).ok_or_else(|| self.too_few())?;
        self.at += 1;
        Ok(field)
    }

    #[cold]
    fn too_few(&self) -> Misfit {
        Misfit::Other(format!("the line has too few fields, {}", self.fields.len()))
    }

    fn peek(&self) -> Option<&'a [u8]> {
        self.fields.get(self.at)
    }

    #[inline]
    fn text(&mut self) -> Result<&'a str, Misfit> {
        let field = self.next()?;
        std::str::from_utf8(field).map_err(|_| Misfit::Other(format!("`{}` is not valid UTF-8", quoted(field))))
    }

    fn parse<T: FromStr>(&mut self, what: impl Display) -> Result<T, Misfit> {
        let field = self.next()?;
        let value = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
        value.ok_or_else(|| Misfit::Other(format!("`{}` is not {what}", quoted(field))))
    }

    /// A field inside a struct or tuple, with its name in what may go wrong.
    #[inline]
    fn field<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Misfit> {
        let index = self.at;
        seed.deserialize(&mut *self).map_err(|misfit| self.name(index, misfit))
    }

    #[cold]
    fn name(&self, index: usize, misfit: Misfit) -> Misfit {
        match misfit {
            Misfit::Other(text) if index < self.fields.len() && !text.starts_with("field ") => {
                Misfit::Other(match self.header.and_then(|names| names.get(index)) {
                    Some(name) => format!("field `{name}`: {text}"),
                    None => format!("field {}: {text}", index + 1),
                })
            }
            misfit => misfit,
        }
    }

    /// Begins a struct, map, tuple or sequence.
    fn group(&mut self) -> Result<(), Misfit> {
        if !std::mem::replace(&mut self.whole, false) && self.header.is_some() {
            return Err(Misfit::custom("a CSV field holds one plain value: use `#[serde(flatten)]`, or JSON lines"));
        }
        Ok(())
    }
}

/// Decimal digits, if that is all there is and they surely fit.
#[inline]
fn digits(field: &[u8]) -> Option<u64> {
    if field.is_empty() || field.len() > 19 {
        return None;
    }
    let mut value = 0;
    for byte in field {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ident),*) => {$(
        #[inline]
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
            if let Some(number) = self.peek().and_then(digits).and_then(|value| $type::try_from(value).ok()) {
                self.at += 1;
                self.whole = false;
                return visitor.$visit(number);
            }
            let what = format_args!("a whole number from {} to {}", $type::MIN, $type::MAX);
            visitor.$visit(self.parse(what)?)
        }
    )*};
}

impl<'a> Deserializer<'a> for &mut Row<'a> {
    type Error = Misfit;

    whole_numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128
    );

    /// What a type that does not say gets: the whole record, or the number, truth value or text
    /// that a field looks like.
    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.whole && self.header.is_some() {
            return self.deserialize_map(visitor);
        }
        let text = self.text()?;
        if let Ok(value) = text.parse() {
            visitor.visit_bool(value)
        } else if let Ok(value) = text.parse() {
            visitor.visit_u64(value)
        } else if let Ok(value) = text.parse() {
            visitor.visit_i64(value)
        } else if let Ok(value) = text.parse() {
            visitor.visit_f64(value)
        } else {
            visitor.visit_borrowed_str(text)
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_bool(self.parse("true or false")?)
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_f32(self.parse("a number")?)
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_f64(self.parse("a number")?)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_char(self.parse("a single character")?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_borrowed_bytes(self.next()?)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_borrowed_bytes(self.next()?)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.peek() {
            Some(b"") => {
                self.next()?;
                visitor.visit_none()
            }
            Some(_) => visitor.visit_some(self),
            None => visitor.visit_none(),
        }
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.next()?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.group()?;
        visitor.visit_seq(Group { row: self, left: usize::MAX })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.group()?;
        visitor.visit_seq(Group { row: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.group()?;
        match self.header {
            Some(header) => visitor.visit_map(Columns { row: self, header }),
            None => Err(Misfit::custom("a map needs column names: read a file with a header, or use a struct")),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.group()?;
        match self.header {
            Some(header) => visitor.visit_map(Columns { row: self, header }),
            None => visitor.visit_seq(Group { row: self, left: fields.len() }),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(Variant(self.text()?))
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.next()?;
        visitor.visit_unit()
    }
}

/// Fields by position.
struct Group<'r, 'a> {
    row: &'r mut Row<'a>,
    left: usize,
}

impl<'a> SeqAccess<'a> for Group<'_, 'a> {
    type Error = Misfit;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        if self.left == 0 || self.row.at == self.row.fields.len() {
            return Ok(None);
        }
        self.left -= 1;
        self.row.field(seed).map(Some)
    }
}

/// Fields by column name.
struct Columns<'r, 'a> {
    row: &'r mut Row<'a>,
    header: &'a [String],
}

impl<'a> MapAccess<'a> for Columns<'_, 'a> {
    type Error = Misfit;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some(name) = self.header.get(self.row.at) else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Misfit> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Misfit> {
        self.row.field(seed)
    }
}

/// A variant without data, by its name.
struct Variant<'a>(&'a str);

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Misfit;
    type Variant = Self;

    #[inline]
    fn variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<(T::Value, Self), Misfit> {
        let name: StrDeserializer<'_, Misfit> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'a> VariantAccess<'a> for Variant<'a> {
    type Error = Misfit;

    #[inline]
    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, _: T) -> Result<T::Value, Misfit> {
        Err(with_data())
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, Misfit> {
        Err(with_data())
    }

    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Misfit> {
        Err(with_data())
    }
}

fn with_data() -> Misfit {
    Misfit::custom("a CSV field cannot hold a variant with data: use JSON lines")
}
