//! JSON lines: one value a line, typed by serde.

use crate::input::{Files, Input};
use crate::reader::{Format, Records, Step, line_len};
use std::marker::PhantomData;
use tidemill::{Data, Reject, Source, SourceError};

/// Reads one JSON value a line. Lines of blanks are skipped.
///
/// A bad line's reason names the field where that is known, by its path from the top
/// (`items.price`).
#[derive(Clone, Debug)]
pub struct JsonLines<T> {
    input: Input,
    item: PhantomData<fn() -> T>,
}

impl<T: Data> JsonLines<T> {
    /// Reads `files`.
    pub fn new(files: impl Into<Files>) -> Self {
        JsonLines { input: Input::new(files.into()), item: PhantomData }
    }

    /// A line longer than `bytes` is bad; [`MAX_RECORD`](crate::MAX_RECORD) unless set.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.input.max_record = bytes;
        self
    }
}

impl<T: Data> Source for JsonLines<T> {
    type Item = T;
    type Reader = Records<JsonFormat<T>>;

    fn partitions(&self) -> Result<usize, SourceError> {
        self.input.origins().map(<[_]>::len)
    }

    fn open(&self, partition: usize, offset: u64) -> Result<Self::Reader, SourceError> {
        Records::open(&self.input, partition, offset, JsonFormat { item: PhantomData })
    }

    fn bounded(&self) -> bool {
        self.input.bounded()
    }

    fn seekable(&self, partition: usize) -> bool {
        self.input.seekable(partition)
    }

    fn size(&self) -> Option<u64> {
        self.input.size()
    }
}

/// One JSON value a line.
pub struct JsonFormat<T> {
    item: PhantomData<fn() -> T>,
}

impl<T: Data> Format for JsonFormat<T> {
    type Item = T;

    #[inline]
    fn next(&mut self, text: &[u8], _complete: bool) -> Step<T> {
        let used = line_len(text);
        let line = text[..used].trim_ascii();
        if line.is_empty() {
            return Step::Skip(used);
        }
        match serde_json::from_slice(line) {
            Ok(item) => Step::Item(item, used),
            Err(error) => Step::Bad(used, reason(line, &error)),
        }
    }
}

#[cold]
fn reason(line: &[u8], error: &serde_json::Error) -> Reject {
    let text = error.to_string();
    // There is but one line, and its number in the file is said elsewhere.
    let words = text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words);
    if !error.is_data() {
        return Reject::new(format!("not valid JSON at column {}: {words}", error.column()));
    }
    let path = path(&line[..error.column().min(line.len())]);
    Reject::new(if path.is_empty() { words.to_owned() } else { format!("field `{path}`: {words}") })
}

/// The names of the fields that the end of `json` lies in.
fn path(json: &[u8]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = usize::saturating_sub(depth, 1);
                names.truncate(depth);
            }
            b'"' => {
                let start = at + 1;
                at = start;
                while at < json.len() && json[at] != b'"' {
                    at += 1 + usize::from(json[at] == b'\\');
                }
                let end = at.min(json.len());
                let after = json.get(at + 1..).unwrap_or_default().trim_ascii_start();
                if after.first() == Some(&b':') && depth > 0 {
                    names.resize(depth - 1, String::new());
                    names.push(String::from_utf8_lossy(&json[start..end]).into_owned());
                }
            }
            _ => {}
        }
        at += 1;
    }
    names.retain(|name| !name.is_empty());
    names.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_end() {
        assert_eq!(path(br#"{"a":1,"b"#), "a");
        assert_eq!(path(br#"{"a":{"x":1},"b\"":"long"#), r#"b\""#);
        assert_eq!(path(br#"{"a":[{"x":1},{"y": tr"#), "a.y");
        assert_eq!(path(br#"{"a":[{"x":1},{"y":2}], "z" : "v:""#), "z");
        assert_eq!(path(b"[1,2"), "");
        assert_eq!(path(b"]}\"x\":"), "");
    }
}
