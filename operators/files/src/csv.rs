//! CSV typed by serde.

use crate::de::Row;
use crate::input::{Files, Input};
use crate::misfit::Misfit;
use crate::reader::{Format, Records, Step};
use crate::split::{Cut, Splitter};
use std::marker::PhantomData;
use tidemill::{Data, Reject, Source, SourceError};

/// Reads CSV into any type with serde's derives.
///
/// With a header (the default) fields go by column name; columns that the type does not have are
/// ignored, and a column that it needs and the header lacks stops the job. Without one they go by
/// position, and their number must fit. Every record needs as many fields as the header.
///
/// Values: numbers in plain digits, `true` and `false`, an empty field as `None`, unit variants
/// by name; without a header also tuples, arrays and structs over several fields. White space
/// belongs to the field.
///
/// Quotes follow RFC 4180, strictly, line ends in fields included. A stray quote (never closed
/// within [`max_record`](Self::max_record), or followed by other text) costs its own line; the
/// next line begins a new record. A record whose quotes are right and whose values are not is bad
/// as a whole, with all its lines in the dead letter.
#[derive(Clone, Debug)]
pub struct Csv<T> {
    input: Input,
    delimiter: u8,
    headers: bool,
    columns: Option<Vec<(String, String)>>,
    item: PhantomData<fn() -> T>,
}

impl<T: Data> Csv<T> {
    /// Reads `files`, each with a header, fields separated by commas.
    pub fn new(files: impl Into<Files>) -> Self {
        Csv { input: Input::new(files.into()), delimiter: b',', headers: true, columns: None, item: PhantomData }
    }

    /// Whether the first record of each file names the columns.
    pub fn headers(mut self, yes: bool) -> Self {
        self.headers = yes;
        self
    }

    /// Reads these columns and no others: of each pair, the type's field and the column it is in. One that the header
    /// lacks stops the job, with a message that lists those there are. For files whose names are known only when the
    /// program runs; where they are known before, use `#[serde(rename)]`.
    pub fn columns<F: Into<String>, C: Into<String>>(mut self, columns: impl IntoIterator<Item = (F, C)>) -> Self {
        self.columns = Some(columns.into_iter().map(|(field, column)| (field.into(), column.into())).collect());
        self
    }

    /// Fields are separated by `byte`.
    pub fn delimiter(mut self, byte: u8) -> Self {
        self.delimiter = byte;
        self
    }

    /// A record longer than `bytes` is bad; [`MAX_RECORD`](crate::MAX_RECORD) unless set. It is
    /// also how far a quote that nothing closes is searched.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.input.max_record = bytes;
        self
    }
}

impl<T: Data> Source for Csv<T> {
    type Item = T;
    type Reader = Records<CsvFormat<T>>;

    fn partitions(&self) -> Result<usize, SourceError> {
        self.input.origins().map(<[_]>::len)
    }

    fn open(&self, partition: usize, offset: u64) -> Result<Self::Reader, SourceError> {
        let header = if self.headers { Header::Expected } else { Header::None };
        let columns = self.columns.clone();
        let format = CsvFormat { splitter: Splitter::new(self.delimiter), header, columns, item: PhantomData };
        Records::open(&self.input, partition, offset, format)
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

/// What is known of the column names.
enum Header {
    None,
    Expected,
    Known(Vec<String>),
}

/// Records of separated fields.
pub struct CsvFormat<T> {
    splitter: Splitter,
    header: Header,
    columns: Option<Vec<(String, String)>>,
    item: PhantomData<fn() -> T>,
}

impl<T: Data> CsvFormat<T> {
    #[cold]
    fn read_header(&mut self, text: &[u8], complete: bool) -> Step<T> {
        let used = match self.splitter.cut(text, complete) {
            Cut::Record(used) => used,
            Cut::Empty(used) => return Step::Skip(used),
            Cut::Incomplete => return Step::Incomplete,
            Cut::Bad(_, reject) => {
                let text = format!("its header makes no sense: {}", reject.reason());
                return Step::Hopeless(SourceError::new(text));
            }
        };
        let fields = self.splitter.fields(text);
        let names =
            (0..fields.len()).map(|at| String::from_utf8_lossy(fields.get(at).unwrap_or_default()).into_owned());
        let names: Vec<String> = names.collect();
        match &self.columns {
            None => self.header = Header::Known(names),
            Some(columns) => match chosen(&names, columns) {
                Ok(fields) => self.header = Header::Known(fields),
                Err(error) => return Step::Hopeless(error),
            },
        }
        Step::Skip(used)
    }

    fn parse(&self, text: &[u8]) -> Result<T, Misfit> {
        let fields = self.splitter.fields(text);
        let header = match &self.header {
            Header::Known(names) => Some(names.as_slice()),
            Header::None | Header::Expected => None,
        };
        if let Some(names) = header
            && names.len() != fields.len()
        {
            return Err(Misfit::Other(format!("the line has {} fields, the header {}", fields.len(), names.len())));
        }
        let mut row = Row::new(fields, header);
        let item = T::deserialize(&mut row)?;
        match row.taken() {
            taken if header.is_none() && taken < fields.len() => {
                Err(Misfit::Other(format!("the line has {} fields, {taken} are expected", fields.len())))
            }
            _ => Ok(item),
        }
    }

    #[cold]
    fn refuse(&self, used: usize, misfit: Misfit) -> Step<T> {
        match (&misfit, &self.header) {
            (Misfit::Missing(name), Header::Known(names)) if !names.iter().any(|other| other == name) => {
                Step::Hopeless(SourceError::new(format!(
                    "no column is named `{name}`, only `{}`: rename one, or use `#[serde(rename)]`; without a header in the file, `.headers(false)`",
                    names.join("`, `")
                )))
            }
            _ => Step::Bad(used, Reject::new(misfit.to_string())),
        }
    }
}

/// For each column of a header the field it is, or a name that no field has.
fn chosen(names: &[String], columns: &[(String, String)]) -> Result<Vec<String>, SourceError> {
    let mut fields = vec![String::new(); names.len()];
    for (field, column) in columns {
        let Some(at) = names.iter().position(|name| name == column) else {
            let there = names.join("`, `");
            return Err(SourceError::new(format!("no column is named `{column}`, only `{there}`: name one of these")));
        };
        fields[at].clone_from(field);
    }
    Ok(fields)
}

impl<T: Data> Format for CsvFormat<T> {
    type Item = T;

    #[inline]
    fn next(&mut self, text: &[u8], complete: bool) -> Step<T> {
        if matches!(self.header, Header::Expected) {
            return self.read_header(text, complete);
        }
        match self.splitter.cut(text, complete) {
            Cut::Record(used) => match self.parse(text) {
                Ok(item) => Step::Item(item, used),
                Err(misfit) => self.refuse(used, misfit),
            },
            Cut::Empty(used) => Step::Skip(used),
            Cut::Bad(used, reject) => Step::Bad(used, reject),
            Cut::Incomplete => Step::Incomplete,
        }
    }

    fn needs_beginning(&self) -> bool {
        matches!(self.header, Header::Expected)
    }
}
