//! A line being parsed by hand, field by field.

use crate::reader::{line_len, quoted, without_end};
use std::fmt::Display;
use std::str::FromStr;
use tidemill::Reject;

/// One line of text, taken apart from left to right. It cannot be read beyond its end, so a bad
/// line never touches the next.
///
/// Fields are separated by the delimiter of [`Lines`](crate::Lines), without quotes. Each method
/// takes the next field and fails if there is none; a parser passes that on with `?`, and must
/// take all fields there are ([`skip`](Self::skip) and [`rest`](Self::rest) help).
#[derive(Debug)]
pub struct Line<'a> {
    /// From the line's beginning to the end of the block, which ends with a line end.
    text: &'a [u8],
    at: usize,
    delimiter: u8,
    /// Nothing has been taken yet, so no delimiter comes before the next field.
    first: bool,
}

impl<'a> Line<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8], delimiter: u8) -> Self {
        Line { text, at: 0, delimiter, first: true }
    }

    /// A whole number in decimal digits; signed types take a leading `-`.
    // Always inlined: a call, and the error's way back through memory, cost more than the digits.
    #[inline(always)]
    pub fn number<N: Number>(&mut self) -> Result<N, Reject> {
        let start = self.begin()?;
        let text = self.text;
        let negative = N::SIGNED && text[start] == b'-';
        let first = start + usize::from(negative);
        let mut at = first;
        let mut value = 0_u64;
        let end = loop {
            let byte = text[at];
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break byte;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        };
        // 19 digits always fit; more are rare enough to be read with care.
        let plain = at.wrapping_sub(first + 1) < 19 && (end == self.delimiter || end == b'\n' || end == b'\r');
        match N::from_parts(value, negative) {
            Some(number) if plain => {
                self.at = at;
                Ok(number)
            }
            _ => self.with_care(start),
        }
    }

    /// A field parsed by its type's `FromStr`: `what` says in a reason what it should have been,
    /// as in "`x` is not a price".
    #[inline]
    pub fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, Reject> {
        let start = self.begin()?;
        self.parsed(start, what)
    }

    #[cold]
    #[inline(never)]
    fn with_care<N: Number>(&mut self, start: usize) -> Result<N, Reject> {
        self.parsed(start, N::WHAT)
    }

    fn parsed<T: FromStr>(&mut self, start: usize, what: &str) -> Result<T, Reject> {
        self.at = start;
        let field = self.field();
        let value = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
        value.ok_or_else(|| self.reject(format_args!("`{}` is not {what}", quoted(field))))
    }

    /// The bytes of a field, which may be none.
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], Reject> {
        self.begin()?;
        Ok(self.field())
    }

    /// A field as text.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, Reject> {
        let field = self.bytes()?;
        std::str::from_utf8(field).map_err(|_| self.reject(format_args!("`{}` is not valid UTF-8", quoted(field))))
    }

    /// Takes a field and ignores it.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Reject> {
        self.bytes().map(|_| ())
    }

    /// Whatever is left of the line, delimiters included: the whole line if nothing was taken.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let rest = without_end(&rest[..line_len(rest)]);
        self.at += rest.len();
        self.first = false;
        rest
    }

    /// Refuses the field taken last, with its number in the reason.
    #[cold]
    pub fn reject(&self, reason: impl Display) -> Reject {
        let before = memchr::memchr_iter(self.delimiter, &self.text[..self.at]).count();
        Reject::new(format!("field {}: {reason}", before + 1))
    }

    /// Steps over the delimiter before a field.
    #[inline(always)]
    fn begin(&mut self) -> Result<usize, Reject> {
        if self.first {
            self.first = false;
        } else if self.text[self.at] == self.delimiter {
            self.at += 1;
        } else {
            return Err(self.no_more());
        }
        Ok(self.at)
    }

    #[inline(always)]
    fn field(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|&byte| byte == self.delimiter || byte == b'\n').unwrap_or(rest.len());
        let field = &rest[..len];
        let field = if rest.get(len) == Some(&b'\n') { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
        self.at += field.len();
        field
    }

    #[cold]
    fn no_more(&self) -> Reject {
        let rest = without_end(&self.text[self.at..self.at + line_len(&self.text[self.at..])]);
        match rest {
            b"" => {
                let fields = memchr::memchr_iter(self.delimiter, &self.text[..self.at]).count() + 1;
                Reject::new(format!("the line ends after {fields} fields: more are needed"))
            }
            rest => self.reject(format_args!("`{}` follows the number", quoted(rest))),
        }
    }

    /// How long the line is, if all of it was taken.
    #[inline(always)]
    pub(crate) fn end(&self) -> Option<usize> {
        match self.text[self.at] {
            b'\n' => Some(self.at + 1),
            b'\r' if self.text.get(self.at + 1) == Some(&b'\n') => Some(self.at + 2),
            _ => None,
        }
    }

    /// Why it is not, if it was not.
    #[cold]
    pub(crate) fn too_many(&self) -> Reject {
        let line = without_end(&self.text[..line_len(self.text)]);
        let rest = &line[self.at..];
        Reject::new(format!("`{}` follows the last field", quoted(rest)))
    }
}

mod sealed {
    pub trait Sealed {}
}

/// The whole numbers [`Line::number`] reads: `u8` to `u64` and `i8` to `i64`.
pub trait Number: FromStr + sealed::Sealed {
    #[doc(hidden)]
    const SIGNED: bool;
    #[doc(hidden)]
    const WHAT: &'static str;
    #[doc(hidden)]
    fn from_parts(value: u64, negative: bool) -> Option<Self>;
}

macro_rules! numbers {
    ($signed:literal: $($type:ident $what:literal),*) => {$(
        impl sealed::Sealed for $type {}
        impl Number for $type {
            const SIGNED: bool = $signed;
            const WHAT: &'static str = $what;
            #[inline(always)]
            fn from_parts(value: u64, negative: bool) -> Option<Self> {
                if !$signed {
                    return $type::try_from(value).ok();
                }
                let value = i64::try_from(value).ok()?;
                $type::try_from(if negative { -value } else { value }).ok()
            }
        }
    )*};
}
numbers!(false:
    u8 "a whole number from 0 to 255",
    u16 "a whole number from 0 to 65535",
    u32 "a whole number from 0 to 4294967295",
    u64 "a whole number from 0 to 18446744073709551615");
numbers!(true:
    i8 "a whole number from -128 to 127",
    i16 "a whole number from -32768 to 32767",
    i32 "a whole number from -2147483648 to 2147483647",
    i64 "a whole number from -9223372036854775808 to 9223372036854775807");

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line<'_> {
        Line::new(text.as_bytes(), b',')
    }

    fn reason<T: std::fmt::Debug>(result: Result<T, Reject>) -> String {
        result.unwrap_err().reason().to_owned()
    }

    #[test]
    fn fields_come_in_order_and_stop_at_the_line_end() {
        let mut all = line("12,-3,view,,0.5,x\r\nnext,line\n");
        assert_eq!(all.number::<u32>().unwrap(), 12);
        assert_eq!(all.number::<i64>().unwrap(), -3);
        assert_eq!(all.text().unwrap(), "view");
        assert_eq!(all.bytes().unwrap(), b"");
        assert_eq!(all.end(), None);
        assert_eq!(all.parse::<f64>("a price").unwrap(), 0.5);
        assert_eq!(all.text().unwrap(), "x");
        assert_eq!(all.end().unwrap(), "12,-3,view,,0.5,x\r\n".len());
        assert_eq!(reason(all.text()), "the line ends after 6 fields: more are needed");
        let mut rest = line(",b,c\n");
        assert_eq!(rest.bytes().unwrap(), b"");
        assert_eq!(rest.rest(), b",b,c");
        assert_eq!(rest.end().unwrap(), 5);
        assert_eq!(line("a,b\r\n").rest(), b"a,b");
    }

    #[test]
    fn numbers_are_exact_to_their_bounds() {
        assert_eq!(line("18446744073709551615\n").number::<u64>().unwrap(), u64::MAX);
        assert_eq!(line("-9223372036854775808\n").number::<i64>().unwrap(), i64::MIN);
        assert_eq!(line("9223372036854775807,\n").number::<i64>().unwrap(), i64::MAX);
        assert_eq!(line("000000000000000000000000000255\r\n").number::<u8>().unwrap(), 255);
        for bad in ["", "-", "256", "-1", "1 ", " 1", "1.5", "99999999999999999999999999"] {
            assert_eq!(
                reason(line(&format!("{bad},x\n")).number::<u8>()),
                format!("field 1: `{bad}` is not a whole number from 0 to 255")
            );
        }
        assert!(line("18446744073709551616\n").number::<u64>().is_err());
        assert!(line("9223372036854775808\n").number::<i64>().is_err());
        assert!(line("-9223372036854775809\n").number::<i64>().is_err());
    }

    #[test]
    fn reasons_name_the_field() {
        let mut bad = line("1,x\n");
        bad.number::<u8>().unwrap();
        assert_eq!(reason(bad.parse::<f32>("a price")), "field 2: `x` is not a price");
        let mut bad = Line::new(b"1,\xff\n", b',');
        bad.skip().unwrap();
        assert_eq!(reason(bad.text()), "field 2: `\u{fffd}` is not valid UTF-8");
        let mut long = line("1,2\n");
        long.skip().unwrap();
        assert_eq!(long.too_many().reason(), "`,2` follows the last field");
        let mut cr = line("1\rx,2\n");
        cr.number::<u8>().unwrap();
        assert_eq!(reason(cr.number::<u8>()), "field 1: `\rx,2` follows the number");
    }
}
