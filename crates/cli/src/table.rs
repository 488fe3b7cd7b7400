//! Tables for people, on any terminal.

use std::fmt::Write;

/// Columns as wide as they must be; those whose cells all start with a digit are set flush right.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let right = |column: usize| rows.iter().all(|row| row[column].starts_with(|c: char| c.is_ascii_digit()));
    let columns: [_; N] = std::array::from_fn(|column| (width(column), right(column)));
    let mut text = String::new();
    for row in [header.map(str::to_owned)].iter().chain(rows) {
        let mut line = String::new();
        for (cell, (width, right)) in row.iter().zip(columns) {
            // Writing to a string never fails.
            _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_flush_right() {
        let rows = [["a".to_owned(), "7".to_owned()], ["größer".to_owned(), "1,000".to_owned()]];
        assert_eq!(super::table(["name", "keys"], &rows), "name     keys\na           7\ngrößer  1,000\n");
    }
}
