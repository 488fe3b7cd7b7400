//! Rows as Parquet.

use crate::blocks;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_arrow::ArrayBuilder;
use serde_arrow::schema::{SchemaLike, TracingOptions};
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::marker::PhantomData;
use std::sync::Arc;
use tidemill::{Epoch, SinkError};
use tidemill_files::{PartFormat, PartItem};

/// Rows collected before they are written, and encoded at a time.
const BLOCK: usize = 8192;

/// Parquet as a format of [`Parts`](tidemill_files::Parts); more at [the crate](crate).
pub struct ParquetRows<T> {
    /// The row's columns.
    columns: Vec<FieldRef>,
    builder: ArrayBuilder,
    /// Of each row in the builder, where they are changes.
    epochs: Vec<Epoch>,
    diffs: Vec<i64>,
    count: usize,
    row: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> ParquetRows<T> {
    /// Rows of `T`, whose columns are found out by serde. Fails where Parquet has no column for one, with the
    /// field's name or its type.
    pub fn new() -> Result<Self, SinkError> {
        let options = TracingOptions::default()
            .map_as_struct(false)
            .enums_without_data_as_strings(true)
            .strings_as_large_utf8(false)
            .bytes_as_large_binary(false)
            .sequence_as_large_list(false);
        let unfit = |error: &dyn std::fmt::Display| {
            SinkError::new(format!(
                "`{}` has no columns in Parquet ({error}): make it a struct of numbers, text, bytes, options, lists and \
                 structs, or write JSON lines",
                std::any::type_name::<T>()
            ))
        };
        let columns = Vec::<FieldRef>::from_type::<T>(options).map_err(|error| unfit(&error))?;
        if let Some(field) = columns.iter().find_map(|column| without_column(column, "")) {
            return Err(unfit(&format!("field `{field}`")));
        }
        let builder = ArrayBuilder::from_arrow(&columns).map_err(|error| unfit(&error))?;
        Ok(ParquetRows { columns, builder, epochs: Vec::new(), diffs: Vec::new(), count: 0, row: PhantomData })
    }
}

/// The first field in `column` that Parquet, or its readers, have no type for.
fn without_column(column: &FieldRef, above: &str) -> Option<String> {
    let name = if above.is_empty() { column.name().clone() } else { format!("{above}.{}", column.name()) };
    match column.data_type() {
        DataType::Null | DataType::Union(..) => Some(name),
        DataType::Struct(fields) if fields.is_empty() => Some(name),
        DataType::Struct(fields) => fields.iter().find_map(|field| without_column(field, &name)),
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => without_column(item, &name),
        _ => None,
    }
}

impl<T> ParquetRows<T> {
    /// What is in the builder, as a block.
    fn block(&mut self) -> Result<RecordBatch, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot be Parquet ({error}): write another type");
        let mut columns = self.columns.clone();
        let mut arrays = self.builder.to_arrow().map_err(|error| failed(&error))?;
        if !self.epochs.is_empty() {
            let (epochs, diffs) = (std::mem::take(&mut self.epochs), std::mem::take(&mut self.diffs));
            let change: [(FieldRef, ArrayRef); 2] = [
                (Arc::new(Field::new("epoch", DataType::UInt64, false)), Arc::new(UInt64Array::from(epochs))),
                (Arc::new(Field::new("diff", DataType::Int64, false)), Arc::new(Int64Array::from(diffs))),
            ];
            let (fields, values): (Vec<_>, Vec<_>) = change.into_iter().unzip();
            columns.splice(0..0, fields);
            arrays.splice(0..0, values);
        }
        self.count = 0;
        RecordBatch::try_new(Arc::new(Schema::new(columns)), arrays).map_err(|error| failed(&error))
    }

    fn collected(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        if self.count == 0 {
            return Ok(());
        }
        let block = self.block()?;
        blocks::append(&block, out).map_err(|error| format!("cannot be kept ({error}): write another type"))
    }

    /// Whether these are the columns of the rows as they are now.
    fn knows(&self, schema: &Schema) -> io::Result<()> {
        let list = |fields: &[FieldRef]| {
            fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
        };
        let was = &schema.fields()[..];
        let change = was.len() == self.columns.len() + 2 && was[0].name() == "epoch" && was[1].name() == "diff";
        let (was, is) = (list(&was[if change { 2 } else { 0 }..]), list(&self.columns));
        if was == is {
            Ok(())
        } else {
            Err(io::Error::other(format!("its columns are `{was}`, and were to be `{is}`")))
        }
    }
}

impl<I> PartFormat<I> for ParquetRows<I::Row>
where
    I: PartItem<Row: Serialize>,
{
    const CONVERTS: bool = true;

    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn begin(&mut self, first: &I, _: &mut Vec<u8>) -> Result<(), String> {
        let taken = |column: &&FieldRef| matches!(column.name().as_str(), "epoch" | "diff");
        match self.columns.iter().find(taken).filter(|_| first.diff().is_some()) {
            Some(column) => Err(format!(
                "has a field `{0}`, and each change has a column `{0}` already: use `#[serde(rename)]`",
                column.name()
            )),
            None => Ok(()),
        }
    }

    fn rows(&mut self, epoch: Epoch, rows: &[I], out: &mut Vec<u8>) -> Result<(), String> {
        for item in rows {
            self.builder.push(item.row()).map_err(|error| {
                format!(
                    "is unlike its type ({error}): have its fields written and read alike, without `skip_serializing_if`"
                )
            })?;
            if let Some(diff) = item.diff() {
                self.epochs.push(epoch);
                self.diffs.push(diff as i64);
            }
            self.count += 1;
            if self.count == BLOCK {
                self.collected(out)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.collected(out)
    }

    fn cut(&mut self, written: &mut File, rows: u64, _: u64) -> io::Result<u64> {
        let end = blocks::end_of(rows, written)?;
        written.rewind()?;
        if let Some(block) = blocks::next(written)? {
            self.knows(&block.schema())?;
        }
        Ok(end)
    }

    fn convert(&mut self, written: &mut File, part: &mut File) -> io::Result<()> {
        let mut written = BufReader::new(written);
        let Some(mut block) = blocks::next(&mut written)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let schema = block.schema();
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let mut writer = ArrowWriter::try_new(part, Arc::clone(&schema), Some(properties)).map_err(failed)?;
        // Pages end where what is written at once does. So that a part is the same wherever its blocks end, it is written by so
        // many rows at a time.
        let (mut waiting, mut count) = (Vec::new(), 0);
        loop {
            while count + block.num_rows() >= BLOCK {
                let taken = BLOCK - count;
                waiting.push(block.slice(0, taken));
                block = block.slice(taken, block.num_rows() - taken);
                let rows = concat_batches(&schema, &waiting).map_err(io::Error::other)?;
                writer.write(&rows).map_err(failed)?;
                (waiting, count) = (Vec::new(), 0);
            }
            count += block.num_rows();
            waiting.push(block);
            match blocks::next(&mut written)? {
                Some(next) => block = next,
                None => break,
            }
        }
        writer.write(&concat_batches(&schema, &waiting).map_err(io::Error::other)?).map_err(failed)?;
        writer.close().map_err(failed).map(|_| ())
    }

    fn take_back(&mut self, part: &mut File, rows: u64, written: &mut File) -> io::Result<()> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(part.try_clone()?).map_err(failed)?;
        self.knows(reader.schema())?;
        let reader = reader.with_batch_size(BLOCK).with_limit(rows as usize).build().map_err(failed)?;
        for block in reader {
            blocks::append(&block.map_err(io::Error::other)?, written)?;
        }
        Ok(())
    }
}

/// What the disk said, where it was the disk.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
