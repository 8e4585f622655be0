//! The bytes of the journal's files: a header, then records, one a commit, all entries of the batch in it. Pure.
//!
//! A record: length of the body (4 bytes), checksum of all that follows (8), row (8), last event (8), body. The body: a
//! format byte, then entries in postcard. Numbers are little endian. What follows the last record is zeros, or records of
//! a file that was used before, whose rows are smaller.

use twox_hash::XxHash3_64;

use crate::Error;
use switchbox_model::{Entry, Seq};

/// Bytes of a file's header.
pub const FILE_HEADER: usize = 48;
/// Bytes of a record's header.
pub const RECORD_HEADER: usize = 28;
/// The version of this format, and of that of the entries; a file of another one is refused (ARCHITECTURE.md, "Formats").
pub const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"swbx-log";
/// How a body is encoded: postcard, one entry after the other.
const ENTRIES: u8 = 1;
/// Entries in the encoding of [`ENTRIES`], in a commit that did not wait for the disk. After a power failure such a record may be complete
/// although the one before it is not. A complete synced record shows that an incomplete one before it was damaged later.
const ENTRIES_NOT_SYNCED: u8 = 2;

/// A place between two records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalPosition {
    /// The row before it; the first row is 1.
    pub row: i64,
    /// The last event in this row or before it.
    pub last_seq: Seq,
    /// Bytes of all records before it, also those trimmed since.
    pub offset: u64,
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// The file begins at this position.
    Starts(JournalPosition),
    /// The file has this version of the format.
    OtherVersion(u32),
    /// The header is not whole.
    Unfinished,
}

/// The header of a file that begins at this position.
pub fn file_header(start: JournalPosition) -> [u8; FILE_HEADER] {
    let mut header = Vec::with_capacity(FILE_HEADER);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend([0; 4]);
    header.extend(start.row.to_le_bytes());
    header.extend(start.last_seq.0.to_le_bytes());
    header.extend(start.offset.to_le_bytes());
    header.extend(XxHash3_64::oneshot(&header).to_le_bytes());
    header.try_into().unwrap_or([0; FILE_HEADER])
}

/// Reads the header at the begin of a file.
pub fn read_file_header(bytes: &[u8]) -> Header {
    let mut rest = Fields(bytes);
    let mut read = || {
        let magic = rest.take::<8>()?;
        let version = u32::from_le_bytes(rest.take()?);
        if magic == MAGIC && version != VERSION {
            return Some(Header::OtherVersion(version));
        }
        rest.take::<4>()?;
        let row = i64::from_le_bytes(rest.take()?);
        let last_seq = Seq(u64::from_le_bytes(rest.take()?));
        let offset = u64::from_le_bytes(rest.take()?);
        let sum = XxHash3_64::oneshot(bytes.get(..FILE_HEADER - 8)?);
        let is_whole = magic == MAGIC && sum.to_le_bytes() == rest.take()?;
        is_whole.then_some(Header::Starts(JournalPosition { row, last_seq, offset }))
    };
    read().unwrap_or(Header::Unfinished)
}

/// Starts a record in the buffer.
pub fn begin(record: &mut Vec<u8>) {
    record.clear();
    record.resize(RECORD_HEADER, 0);
    record.push(ENTRIES);
}

/// Adds an entry to the record.
pub fn encode(entry: &Entry, record: &mut Vec<u8>) -> Result<(), Error> {
    postcard::to_io(entry, record).map(drop).map_err(|e| Error::Write(format!("an entry cannot be encoded: {e}")))
}

/// Writes the record's header. `synced`: its commit waits for the disk.
pub fn seal(record: &mut [u8], row: i64, last_seq: Seq, synced: bool) -> Result<(), Error> {
    let length = u32::try_from(record.len().saturating_sub(RECORD_HEADER));
    let length = length.map_err(|_| Error::Write("a batch is larger than 4 GiB".into()))?;
    put(record, RECORD_HEADER, &[if synced { ENTRIES } else { ENTRIES_NOT_SYNCED }]);
    put(record, 12, &row.to_le_bytes());
    put(record, 20, &last_seq.0.to_le_bytes());
    let sum = checksum(length, record.get(12..).unwrap_or_default());
    put(record, 0, &length.to_le_bytes());
    put(record, 4, &sum.to_le_bytes());
    Ok(())
}

/// Overwrites bytes of the record.
fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = record.get_mut(at..at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
}

fn checksum(length: u32, rest: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(u64::from(length), rest)
}

/// A record as it is stored in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub row: i64,
    pub last_seq: Seq,
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Whether the record's commit waited for the disk.
    pub fn is_synced(&self) -> bool {
        self.body.first() != Some(&ENTRIES_NOT_SYNCED)
    }

    /// How many bytes it has in the file.
    pub fn size(&self) -> usize {
        RECORD_HEADER + self.body.len()
    }

    /// The position after it, if `before` is the position before it.
    pub fn end(&self, before: JournalPosition) -> JournalPosition {
        JournalPosition { row: self.row, last_seq: self.last_seq, offset: before.offset + self.size() as u64 }
    }
}

/// How many bytes the record has with which `bytes` begins. Returns `None` if `bytes` ends within the length of the record.
pub fn size(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(Fields(bytes).take()?);
    Some(RECORD_HEADER + length as usize)
}

/// The record with which the bytes begin, if it is whole and follows the row `previous_row`.
pub fn first(bytes: &[u8], previous_row: i64) -> Option<Record<'_>> {
    let bytes = bytes.get(..size(bytes)?)?;
    let mut fields = Fields(bytes);
    let length = u32::from_le_bytes(fields.take()?);
    let sum = u64::from_le_bytes(fields.take()?);
    let checked_bytes = fields.0;
    let row = i64::from_le_bytes(fields.take()?);
    let last_seq = Seq(u64::from_le_bytes(fields.take()?));
    let is_whole = row == previous_row + 1 && checksum(length, checked_bytes) == sum;
    is_whole.then_some(Record { row, last_seq, body: fields.0 })
}

/// The row and the last event that the header of a record says with which the bytes begin. Does not check the record.
pub fn claimed_row(bytes: &[u8]) -> Option<(i64, Seq)> {
    let mut fields = Fields(bytes.get(12..)?);
    Some((i64::from_le_bytes(fields.take()?), Seq(u64::from_le_bytes(fields.take()?))))
}

/// The entries of a record's body.
pub fn decode(row: i64, body: &[u8]) -> Result<Vec<Entry>, Error> {
    let corrupt = |problem: String| Error::Corrupt { row, problem };
    let Some((&(ENTRIES | ENTRIES_NOT_SYNCED), mut rest)) = body.split_first() else {
        return Err(corrupt("unknown format".into()));
    };
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, remaining) = postcard::take_from_bytes(rest).map_err(|e| corrupt(e.to_string()))?;
        entries.push(entry);
        rest = remaining;
    }
    Ok(entries)
}

/// The last event of the entry. Returns `None` if it has none.
pub fn last_seq(entry: &Entry) -> Option<Seq> {
    entry.events().last().map(|event| event.seq)
}

/// Reads fields of fixed lengths from the begin of the bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(row: i64) -> Vec<u8> {
        let mut record = Vec::new();
        begin(&mut record);
        encode(&Entry::Barrier, &mut record).unwrap();
        seal(&mut record, row, Seq(7), true).unwrap();
        record
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_in_its_place() {
        let bytes = [sealed(5), sealed(6)].concat();
        let record = first(&bytes, 4).unwrap();
        assert_eq!((record.row, record.last_seq), (5, Seq(7)));
        assert_eq!(decode(5, record.body).unwrap(), [Entry::Barrier]);
        let end = record.end(JournalPosition::default());
        assert_eq!(first(&bytes[usize::try_from(end.offset).unwrap()..], 5).unwrap().row, 6);
        assert_eq!(first(&bytes, 5), None, "a record of an earlier use of the file");
    }

    #[test]
    fn a_record_that_is_not_whole_is_none() {
        let bytes = sealed(1);
        assert!((0..bytes.len()).all(|length| first(&bytes[..length], 0).is_none()));
        for at in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            assert_eq!(first(&torn, 0), None, "byte {at}");
        }
        assert_eq!(first(&[0; 100], 0), None);
    }

    #[test]
    fn a_file_says_where_it_begins_and_of_which_version_it_is() {
        let start = JournalPosition { row: 9, last_seq: Seq(80), offset: 700 };
        let header = file_header(start);
        assert_eq!(read_file_header(&header), Header::Starts(start));
        let mut newer = header;
        newer[8] = 3;
        assert_eq!(read_file_header(&newer), Header::OtherVersion(3));
        let mut torn = header;
        torn[20] ^= 1;
        assert_eq!(read_file_header(&torn), Header::Unfinished);
        assert_eq!(read_file_header(&header[..40]), Header::Unfinished);
        assert_eq!(read_file_header(&[0; FILE_HEADER]), Header::Unfinished);
    }
}
