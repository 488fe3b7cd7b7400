//! Blocks of rows, one after the other in a file that can be cut between them.

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// Before each block: how many rows it has, and how many bytes.
const HEAD: usize = 16;

/// Appends a block.
pub fn append(batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
    let mut block = Vec::new();
    let mut write = || {
        let mut writer = StreamWriter::try_new(&mut block, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()
    };
    write().map_err(broken)?;
    out.write_all(&(batch.num_rows() as u64).to_le_bytes())?;
    out.write_all(&(block.len() as u64).to_le_bytes())?;
    out.write_all(&block)
}

/// The next block, if there is one.
pub fn next(blocks: &mut (impl Read + Seek)) -> io::Result<Option<RecordBatch>> {
    let Some((_, bytes)) = head(blocks)? else { return Ok(None) };
    let mut block = Vec::new();
    if blocks.take(bytes).read_to_end(&mut block)? as u64 != bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut reader = StreamReader::try_new(Cursor::new(block), None).map_err(broken)?;
    reader.next().transpose().map_err(broken)
}

/// Where the first so many rows end, in bytes from the beginning.
pub fn end_of(rows: u64, blocks: &mut (impl Read + Seek)) -> io::Result<u64> {
    let mut left = rows;
    blocks.rewind()?;
    while left > 0 {
        let (rows, bytes) = head(blocks)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        left = left.checked_sub(rows).ok_or_else(|| io::Error::other("it is cut up otherwise"))?;
        blocks.seek(SeekFrom::Current(i64::try_from(bytes).map_err(io::Error::other)?))?;
    }
    blocks.stream_position()
}

/// Rows and bytes of the next block.
fn head(blocks: &mut impl Read) -> io::Result<Option<(u64, u64)>> {
    let mut head = Vec::new();
    match blocks.take(HEAD as u64).read_to_end(&mut head)? {
        0 => Ok(None),
        HEAD => {
            let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
            Ok(Some((number(0), number(8))))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn broken(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    fn batch(rows: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    #[test]
    fn blocks_come_back_and_are_cut_between_them() {
        let mut file = Vec::new();
        append(&batch(3), &mut file).unwrap();
        let first = file.len() as u64;
        append(&batch(5), &mut file).unwrap();
        let all = file.len() as u64;
        file.extend(b"torn");
        let mut blocks = Cursor::new(file);
        assert_eq!(next(&mut blocks).unwrap().unwrap(), batch(3));
        assert_eq!(next(&mut blocks).unwrap().unwrap(), batch(5));
        assert_eq!(next(&mut blocks).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        for (rows, end) in [(0, 0), (3, first), (8, all)] {
            assert_eq!(end_of(rows, &mut blocks).unwrap(), end);
        }
        assert!(end_of(4, &mut blocks).unwrap_err().to_string().contains("cut up otherwise"));
        assert_eq!(end_of(9, &mut blocks).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut short = Cursor::new(blocks.get_ref()[..first as usize - 1].to_vec());
        assert_eq!(next(&mut short).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
