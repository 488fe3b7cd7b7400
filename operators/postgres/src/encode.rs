//! Rows as lines of PostgreSQL's `COPY` text format: fields apart by tabs, `\N` where there is no value.
//!
//! Text, because the server then reads a value as whatever type the column has: `numeric`, `uuid`, `inet`, an enum.

use crate::fields::{Fields, Misfit, Scalar, each_field, scalar};
use crate::table::Class;
use serde::Serialize;
use std::io::Write;

/// A column that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub class: Class,
    /// Its type in SQL, for messages.
    pub sql: String,
}

/// Makes lines of rows. The cells of a row are kept by column, so that fields may come in any order.
pub(crate) struct Encoder {
    columns: Vec<Column>,
    cells: Vec<Vec<u8>>,
    /// Where the next field is expected: structs give theirs in one order.
    next: usize,
}

impl Encoder {
    pub fn new(columns: Vec<Column>) -> Self {
        let cells = vec![Vec::new(); columns.len()];
        Encoder { columns, cells, next: 0 }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Appends the cells of `row` to `line`, without a line end; gives the length that the first `keys` of them take,
    /// which must have values.
    pub fn encode<T: Serialize>(&mut self, row: &T, keys: usize, line: &mut Vec<u8>) -> Result<usize, Misfit> {
        self.cells.iter_mut().for_each(Vec::clear);
        self.next = 0;
        each_field(row, self)?;
        let (start, mut end) = (line.len(), 0);
        for (i, cell) in self.cells.iter().enumerate() {
            if i > 0 {
                line.push(b'\t');
            }
            // An empty text is written as such by `put`, so nothing at all means that the row had no such field.
            line.extend_from_slice(if cell.is_empty() { b"\\N" } else { &cell[1..] });
            if i < keys {
                end = line.len() - start;
                if cell.is_empty() || cell == b"=\\N" {
                    return Err(Misfit::new(format!("the key column `{}` has no value", self.columns[i].name)));
                }
            }
        }
        Ok(end)
    }
}

impl Fields for Encoder {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Misfit> {
        let columns = &self.columns;
        let at = match columns.get(self.next) {
            Some(column) if column.name == name => self.next,
            _ => columns
                .iter()
                .position(|column| column.name == name)
                .ok_or_else(|| Misfit::new(format!("the field `{name}` was not in the first row")))?,
        };
        self.next = at + 1;
        // The first byte says that there is a value, even an empty text.
        let cell = &mut self.cells[at];
        cell.push(b'=');
        put(&columns[at], value, cell)
    }
}

/// Appends `value` as `column` takes it.
fn put<T: Serialize + ?Sized>(column: &Column, value: &T, cell: &mut Vec<u8>) -> Result<(), Misfit> {
    if column.class == Class::Json {
        return put_json(value, cell);
    }
    let mut nested = false;
    scalar(value, |scalar| {
        let mut number = itoa::Buffer::new();
        match (scalar, column.class) {
            (Scalar::Null, _) => cell.extend_from_slice(b"\\N"),
            (Scalar::Nested, Class::Text) => nested = true,
            (Scalar::Bytes(bytes), Class::Bytes) => {
                cell.extend_from_slice(b"\\\\x");
                bytes.iter().try_for_each(|byte| write!(cell, "{byte:02x}"))?;
            }
            (
                Scalar::Text(text),
                Class::Time | Class::Bool | Class::Int | Class::Float | Class::Text | Class::Other,
            ) => {
                put_text(text.as_bytes(), cell)?;
            }
            (Scalar::Bool(yes), Class::Bool | Class::Text) => {
                cell.extend_from_slice(if yes { b"true" } else { b"false" });
            }
            (Scalar::Int(ms, _), Class::Time) => put_time(ms, cell)?,
            (Scalar::Int(n, _), Class::Int | Class::Float | Class::Text | Class::Other) => {
                cell.extend_from_slice(number.format(n).as_bytes());
            }
            (Scalar::Big(n), Class::Int | Class::Float | Class::Text | Class::Other) => {
                cell.extend_from_slice(number.format(n).as_bytes());
            }
            // The shortest text that is read back as the same number.
            (Scalar::Float(x), Class::Float | Class::Text) if x.is_finite() => write!(cell, "{x:e}")?,
            (Scalar::Single(x), Class::Float | Class::Text) if x.is_finite() => write!(cell, "{x:e}")?,
            (Scalar::Float(x), Class::Float | Class::Text) => cell.extend_from_slice(not_finite(x).as_bytes()),
            (Scalar::Single(x), Class::Float | Class::Text) => cell.extend_from_slice(not_finite(x.into()).as_bytes()),
            (other, _) => {
                let Column { name, sql, .. } = column;
                return Err(Misfit::new(format!("the column `{name}` is `{sql}`, and the field {}", other.kind())));
            }
        }
        Ok(())
    })?;
    if nested { put_json(value, cell) } else { Ok(()) }
}

fn put_json<T: Serialize + ?Sized>(value: &T, cell: &mut Vec<u8>) -> Result<(), Misfit> {
    let json = serde_json::to_vec(value).map_err(|error| Misfit::new(format!("it cannot be JSON: {error}")))?;
    if json == b"null" {
        cell.extend_from_slice(b"\\N");
        return Ok(());
    }
    put_text(&json, cell)
}

/// Appends text, with what `COPY` takes for its own written otherwise.
fn put_text(text: &[u8], cell: &mut Vec<u8>) -> Result<(), Misfit> {
    let mut plain = 0;
    for (i, byte) in text.iter().enumerate() {
        let escape = match byte {
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0 => return Err(Misfit::new("it holds the character NUL, which PostgreSQL cannot store: strip it first")),
            _ => continue,
        };
        cell.extend_from_slice(&text[plain..i]);
        cell.extend_from_slice(escape);
        plain = i + 1;
    }
    cell.extend_from_slice(&text[plain..]);
    Ok(())
}

/// Appends milliseconds since 1970 UTC as a Julian day and a time, which PostgreSQL reads for every year it knows.
fn put_time(ms: i64, cell: &mut Vec<u8>) -> Result<(), Misfit> {
    const DAY: i64 = 86_400_000;
    let (day, ms) = (ms.div_euclid(DAY) + 2_440_588, ms.rem_euclid(DAY));
    if day < 0 {
        return Err(Misfit::new("it is a time before any that PostgreSQL knows"));
    }
    let (s, ms) = (ms / 1000, ms % 1000);
    write!(cell, "J{day} {:02}:{:02}:{:02}.{ms:03}+00", s / 3600, s / 60 % 60, s % 60)?;
    Ok(())
}

fn not_finite(x: f64) -> &'static str {
    if x.is_nan() {
        "NaN"
    } else if x > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(columns: &[(&str, Class)]) -> Encoder {
        let column = |&(name, class): &(&str, Class)| Column { name: name.into(), class, sql: format!("{class:?}") };
        Encoder::new(columns.iter().map(column).collect())
    }

    #[test]
    fn fields_go_where_their_columns_are_and_absent_ones_are_null() {
        #[derive(Serialize)]
        struct Row {
            b: &'static str,
            a: i32,
            #[serde(skip_serializing_if = "Option::is_none")]
            c: Option<u8>,
        }
        let mut encoder = encoder(&[("a", Class::Int), ("b", Class::Text), ("c", Class::Int)]);
        let mut line = b"before".to_vec();
        assert_eq!(encoder.encode(&Row { b: "x\ty\\N", a: -7, c: None }, 2, &mut line).unwrap(), 10);
        assert_eq!(line, b"before-7\tx\\ty\\\\N\t\\N");
        line.clear();
        encoder.encode(&Row { b: "", a: 1, c: Some(3) }, 1, &mut line).unwrap();
        assert_eq!(line, b"1\t\t3");
        let error = encoder.encode(&Row { b: "", a: 1, c: None }, 3, &mut line).unwrap_err();
        assert_eq!(error.to_string(), "the key column `c` has no value");
        // The text `\N` is no null.
        encoder.encode(&Row { b: "\\N", a: 1, c: None }, 2, &mut line).unwrap();
    }

    #[test]
    fn what_a_column_cannot_hold_is_said() {
        #[derive(Serialize)]
        struct Row<T> {
            x: T,
        }
        let error = |class, row: &dyn Fn(&mut Encoder) -> Result<usize, Misfit>| {
            row(&mut encoder(&[("x", class)])).unwrap_err().to_string()
        };
        let line = &mut Vec::new();
        assert!(error(Class::Int, &|e| e.encode(&Row { x: 1.5 }, 0, &mut Vec::new())).contains("is a float"));
        assert!(error(Class::Bytes, &|e| e.encode(&Row { x: "t" }, 0, &mut Vec::new())).contains("is text"));
        assert!(error(Class::Int, &|e| e.encode(&Row { x: [1] }, 0, &mut Vec::new())).contains("is nested"));
        assert!(error(Class::Text, &|e| e.encode(&Row { x: "a\0b" }, 0, &mut Vec::new())).contains("NUL"));
        assert!(error(Class::Time, &|e| e.encode(&Row { x: i64::MIN }, 0, &mut Vec::new())).contains("before any"));
        assert!(encoder(&[("x", Class::Text)]).encode(&Row { x: [1] }, 0, line).is_ok());
        assert!(encoder(&[]).encode(&7, 0, line).unwrap_err().to_string().contains("struct"));
    }
}
