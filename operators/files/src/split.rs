//! Cuts CSV text into records and fields.
//!
//! The grammar is RFC 4180's, strictly: a field that begins with a quote ends with one, right
//! before a delimiter or line end, and holds line ends and doubled quotes in between; a quote
//! elsewhere is an ordinary character. Where a quoted field breaks this, or does not end within
//! the text, the first *line* of the record is bad and the next line begins a new record, so that
//! a stray quote costs its own line and no more.

use crate::reader::{line_len, without_end};
use std::ops::Range;
use tidemill::Reject;

/// What the beginning of a text is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A record of so many bytes.
    Record(usize),
    /// An empty line of so many bytes.
    Empty(usize),
    /// A line of so many bytes that begins no record.
    Bad(usize, Reject),
    /// A quoted field does not end in the text.
    Incomplete,
}

/// Cuts records, keeping the last one's fields.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    pub(crate) delimiter: u8,
    fields: Vec<(u32, u32)>,
    /// The fields of a record with quotes, one after the other; empty if the text has them as they are.
    unquoted: Vec<u8>,
    quoted: bool,
}

impl Splitter {
    pub(crate) fn new(delimiter: u8) -> Self {
        Splitter { delimiter, fields: Vec::new(), unquoted: Vec::new(), quoted: false }
    }

    /// Cuts the first record of `text`, which ends with a line end. If `complete`, the answer is
    /// never `Incomplete`.
    #[inline]
    pub(crate) fn cut(&mut self, text: &[u8], complete: bool) -> Cut {
        self.fields.clear();
        self.quoted = false;
        let mut start = 0;
        for at in memchr::memchr3_iter(self.delimiter, b'\n', b'"', text) {
            let byte = text[at];
            if byte == self.delimiter {
                self.fields.push((start, at as u32));
                start = at as u32 + 1;
            } else if byte == b'\n' {
                let end = if at > start as usize && text[at - 1] == b'\r' { at - 1 } else { at };
                if start == 0 && end == 0 {
                    return Cut::Empty(at + 1);
                }
                self.fields.push((start, end as u32));
                return Cut::Record(at + 1);
            } else if at == start as usize {
                return self.cut_quoted(text, complete);
            }
        }
        Cut::Incomplete
    }

    /// The same with all care, for records with a quoted field.
    fn cut_quoted(&mut self, text: &[u8], complete: bool) -> Cut {
        self.fields.clear();
        self.unquoted.clear();
        self.quoted = true;
        let mut at = 0;
        loop {
            let start = self.unquoted.len();
            if text[at] == b'"' {
                at = match self.unquote(text, at + 1) {
                    Some(Ok(end)) => end,
                    Some(Err(reject)) => return Cut::Bad(line_len(text), reject),
                    None if !complete => return Cut::Incomplete,
                    None => {
                        let field = self.fields.len() + 1;
                        let reason = format!(
                            "field {field} begins with a quote that nothing closes: close it, or double the quote"
                        );
                        return Cut::Bad(line_len(text), Reject::new(reason));
                    }
                };
            } else {
                let len = memchr::memchr2(self.delimiter, b'\n', &text[at..]).unwrap_or(text.len() - at);
                let field = &text[at..at + len];
                let at_line_end = text.get(at + len) == Some(&b'\n');
                let field = if at_line_end { without_end(field) } else { field };
                self.unquoted.extend_from_slice(field);
                at += len;
            }
            self.fields.push((start as u32, self.unquoted.len() as u32));
            if text[at] == b'\r' {
                at += 1;
            }
            at += 1;
            if text[at - 1] == b'\n' {
                return Cut::Record(at);
            }
        }
    }

    /// Copies a quoted field from behind its opening quote, and gives the place behind the
    /// closing one: a delimiter or line end. None if it does not close.
    fn unquote(&mut self, text: &[u8], mut at: usize) -> Option<Result<usize, Reject>> {
        loop {
            let quote = at + memchr::memchr(b'"', &text[at..])?;
            self.unquoted.extend_from_slice(&text[at..quote]);
            at = quote + 1;
            match &text[at..] {
                [b'"', ..] => {
                    self.unquoted.push(b'"');
                    at += 1;
                }
                [b'\n', ..] | [b'\r', b'\n', ..] => return Some(Ok(at)),
                [byte, ..] if *byte == self.delimiter => return Some(Ok(at)),
                _ => {
                    let field = self.fields.len() + 1;
                    let reason =
                        format!("field {field} goes on after its closing quote: double the quotes inside a field");
                    return Some(Err(Reject::new(reason)));
                }
            }
        }
    }

    /// The fields of the record just cut from `text`, and the bytes they lie in.
    #[inline]
    pub(crate) fn fields<'a>(&'a self, text: &'a [u8]) -> Fields<'a> {
        Fields { text: if self.quoted { &self.unquoted } else { text }, ranges: &self.fields }
    }
}

/// A record's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    text: &'a [u8],
    ranges: &'a [(u32, u32)],
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.ranges.get(index)?;
        self.text.get(Range { start: start as usize, end: end as usize })
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Result<(usize, Vec<String>), Cut> {
        let mut splitter = Splitter::new(b',');
        match splitter.cut(text.as_bytes(), true) {
            Cut::Record(used) => {
                let fields = splitter.fields(text.as_bytes());
                let field = |at| String::from_utf8_lossy(fields.get(at).unwrap()).into_owned();
                Ok((used, (0..fields.len()).map(field).collect()))
            }
            other => Err(other),
        }
    }

    fn record(text: &str) -> Vec<String> {
        let (used, fields) = cut(text).unwrap();
        assert_eq!(used, text.len());
        fields
    }

    #[test]
    fn fields_with_and_without_quotes() {
        assert_eq!(record("a,,c\n"), ["a", "", "c"]);
        assert_eq!(record(",\r\n"), ["", ""]);
        assert_eq!(record("a\rb,c\r\n"), ["a\rb", "c"]);
        assert_eq!(record("\"\"\n"), [""]);
        assert_eq!(record("\"a,b\",\"c\"\"d\",e\r\n"), ["a,b", "c\"d", "e"]);
        assert_eq!(record("x,\"two\r\nlines\"\r\n"), ["x", "two\r\nlines"]);
        assert_eq!(record("a,\"b\",\n"), ["a", "b", ""]);
        assert_eq!(record("27\" monitor,a\"\"b\n"), ["27\" monitor", "a\"\"b"]);
        assert_eq!(record("27\" monitor,\"b\"\n"), ["27\" monitor", "b"]);
        assert_eq!(cut("a,b\nc,d\n").unwrap().0, 4);
        assert_eq!(cut("\n"), Err(Cut::Empty(1)));
        assert_eq!(cut("\r\nx\n"), Err(Cut::Empty(2)));
    }

    #[test]
    fn a_stray_quote_costs_one_line() {
        let bad = |text: &str| match cut(text).unwrap_err() {
            Cut::Bad(used, reject) => (used, reject.reason().to_owned()),
            other => panic!("{other:?}"),
        };
        let unclosed = "field 2 begins with a quote that nothing closes: close it, or double the quote";
        assert_eq!(bad("1,\"abc\n2,def\n"), (7, unclosed.into()));
        let goes_on = "field 2 goes on after its closing quote: double the quotes inside a field";
        assert_eq!(bad("1,\"abc\n2,\"def\"\n"), (7, goes_on.into()));
        assert_eq!(bad("1,\"27\" monitor\"\n2,a\n"), (16, goes_on.into()));
        let mut splitter = Splitter::new(b',');
        assert_eq!(splitter.cut(b"1,\"abc\n", false), Cut::Incomplete);
    }
}
