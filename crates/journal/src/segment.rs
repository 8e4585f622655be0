//! One file of the journal, named after the row before its first. Its bytes are written once and read by any thread. Zeros are written
//! ahead of them, so most commits overwrite bytes of the file and change no metadata. Then an fdatasync is one write of the disk, and not a
//! transaction of the file system.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error,
    blocks::{BLOCK, BlockFile, Blocks, floor},
    record::{self, FILE_HEADER, Header, JournalPosition},
};

/// The file grows by this many bytes of zeros, which are written together with the record that needs them.
pub const AHEAD: u64 = 1024 * 1024;
/// Bytes between two entries of the sparse index, about.
const INDEX_INTERVAL: u64 = 64 * 1024;

/// A file of the journal.
pub struct Segment {
    path: PathBuf,
    file: Arc<BlockFile>,
    /// The position before its first record.
    start: JournalPosition,
    /// The position after its last record.
    end: JournalPosition,
    /// Positions of some records, in order, the first at the start of the file. A reader starts at the last one before its own.
    sparse_index: Vec<JournalPosition>,
}

/// The last file, for appending to it.
pub struct LastFile {
    pub file: Arc<BlockFile>,
    pub start: JournalPosition,
    pub end: JournalPosition,
    /// Bytes that are used.
    pub used: u64,
}

/// The name of a file that begins at this position.
pub fn name(start: JournalPosition) -> String {
    format!("{:020}.log", start.row)
}

/// The row before the file's first, by its name. Returns `None` if it is not the name of a file of the journal.
pub fn row_of_name(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.parse().ok()
}

impl Segment {
    /// Begins a file; what it has of an earlier use is overwritten.
    pub fn begin(folder: &Path, start: JournalPosition, writer: &mut SegmentWriter) -> io::Result<Self> {
        let path = folder.join(name(start));
        let file = BlockFile::open(&path)?;
        writer.begin(&file, &record::file_header(start))?;
        Ok(Self { path, file: Arc::new(file), start, end: start, sparse_index: vec![start] })
    }

    /// Reads an existing file up to its last whole record. Changes nothing. Returns `None` if it has no whole header.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let problem = |e: io::Error| Error::Open { path: path.display().to_string(), problem: e.to_string() };
        let file = Arc::new(BlockFile::open_to_read(path).map_err(problem)?);
        let length = file.length().map_err(problem)?;
        let mut blocks = Blocks::default();
        let header = file.read(0..length.min(FILE_HEADER as u64), &mut blocks).map_err(problem)?;
        let start = match record::read_file_header(blocks.bytes().get(header).unwrap_or_default()) {
            Header::Starts(start) => start,
            Header::Unfinished => return Ok(None),
            Header::OtherVersion(found) => {
                let (found, known) = (i64::from(found), i64::from(record::VERSION));
                return Err(Error::OtherVersion { path: path.display().to_string(), found, known });
            }
        };
        let whole_file =
            Part { file: file.clone(), start, from: FILE_HEADER as u64, until: length, chunk_bytes: CHUNK };
        let mut segment = Self { path: path.to_owned(), file, start, end: start, sparse_index: vec![start] };
        // `inspect` examines what follows the last whole record.
        whole_file.walk(|_, end, _| {
            segment.record_end(end);
            Ok(true)
        })?;
        Ok(Some(segment))
    }

    pub fn start(&self) -> JournalPosition {
        self.start
    }

    pub fn end(&self) -> JournalPosition {
        self.end
    }

    pub fn file(&self) -> Arc<BlockFile> {
        self.file.clone()
    }

    /// Whether a reader has the file open.
    pub fn is_read(&self) -> bool {
        Arc::strong_count(&self.file) > 1
    }

    #[cfg(any(test, feature = "testing"))]
    pub fn set_file(&mut self, file: BlockFile) {
        self.file = Arc::new(file);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The byte in the file at which a position of the journal is.
    fn byte_of(&self, position: JournalPosition) -> u64 {
        FILE_HEADER as u64 + position.offset - self.start.offset
    }

    /// Bytes that are used.
    pub fn used(&self) -> u64 {
        self.byte_of(self.end)
    }

    /// Cuts off the bytes after the last record, so that they are never read as a record, and prepares the file for writing.
    pub fn resume(&mut self, writer: &mut SegmentWriter) -> io::Result<()> {
        let file = BlockFile::open(&self.path)?;
        file.set_len(self.used())?;
        file.sync_with_length()?;
        writer.resume(&file, self.used())?;
        self.file = Arc::new(file);
        Ok(())
    }

    /// A record was appended; the file now ends at `end`.
    pub fn record_end(&mut self, end: JournalPosition) {
        if self.sparse_index.last().is_none_or(|indexed| self.end.offset >= indexed.offset + INDEX_INTERVAL) {
            self.sparse_index.push(self.end);
        }
        self.end = end;
    }

    /// The records from the last indexed position on for which `is_before` is true.
    pub fn part(&self, is_before: impl Fn(JournalPosition) -> bool) -> Part {
        let position_count = self.sparse_index.partition_point(|indexed| is_before(*indexed));
        let start = self.sparse_index.get(position_count.saturating_sub(1)).copied().unwrap_or(self.start);
        Part { file: self.file.clone(), start, from: self.byte_of(start), until: self.used(), chunk_bytes: CHUNK }
    }
}

/// Writes to the last file, in whole blocks.
#[derive(Default)]
pub struct SegmentWriter {
    /// Begins with the bytes of the last block of the file if that is incomplete.
    blocks: Blocks,
    /// Bytes of the file, zeros included.
    size: u64,
}

impl SegmentWriter {
    fn begin(&mut self, file: &BlockFile, header: &[u8]) -> io::Result<()> {
        self.size = file.length()?;
        self.write(file, 0, header, true)
    }

    fn resume(&mut self, file: &BlockFile, used: u64) -> io::Result<()> {
        self.size = used;
        file.read(floor(used)..used, &mut self.blocks)?;
        Ok(())
    }

    /// Whether the file has to grow to have bytes up to `until`.
    pub fn grows(&self, until: u64) -> bool {
        until > self.size
    }

    /// Writes bytes after the last ones, which end at `used`: all blocks from the incomplete one on, with zeros at the end.
    pub fn write(&mut self, file: &BlockFile, used: u64, bytes: &[u8], durable: bool) -> io::Result<()> {
        let (first_byte, end) = (floor(used), used + bytes.len() as u64);
        let until = end.next_multiple_of(BLOCK as u64);
        let until = if until > self.size { until.next_multiple_of(AHEAD) } else { until };
        let in_blocks = |offset: u64| usize::try_from(offset - first_byte).map_err(io::Error::other);
        let (bytes_from, bytes_until) = (in_blocks(used)?, in_blocks(end)?);
        self.blocks.resize(bytes_from);
        self.blocks.resize(in_blocks(until)?);
        if let Some(target) = self.blocks.bytes_mut().get_mut(bytes_from..bytes_until) {
            target.copy_from_slice(bytes);
        }
        file.write(self.blocks.bytes(), first_byte, durable)?;
        // The whole blocks are written and are not needed any more.
        self.blocks.bytes_mut().copy_within(bytes_until - bytes_until % BLOCK..bytes_until, 0);
        self.size = self.size.max(until);
        Ok(())
    }
}

/// Records of one file, to be read in order without holding up its writer.
pub struct Part {
    file: Arc<BlockFile>,
    /// The position before the first record.
    start: JournalPosition,
    /// The byte in the file at which it begins.
    from: u64,
    /// The byte in the file at which it ends.
    until: u64,
    /// Bytes read at once.
    chunk_bytes: u64,
}

/// Bytes read at once at most.
const CHUNK: u64 = 256 * 1024;

/// How a walk ended: at the end of the part, because `take` returned false, or at bytes that are not a record.
enum WalkEnd {
    All,
    Enough,
    Broken { row: i64, problem: &'static str },
}

impl Part {
    /// The position before its first record.
    pub fn start(&self) -> JournalPosition {
        self.start
    }

    /// For a reader of about so many bytes, which begins somewhere between two positions of the sparse index.
    pub fn of_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = CHUNK.min((bytes as u64).saturating_add(INDEX_INTERVAL));
        self
    }

    /// Passes each record to `take` while that returns true: the positions before and after the record, and its body.
    pub fn for_each_record(
        self,
        take: impl FnMut(JournalPosition, JournalPosition, &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        match self.walk(take)? {
            WalkEnd::All | WalkEnd::Enough => Ok(()),
            WalkEnd::Broken { row, problem } => Err(Error::Corrupt { row, problem: problem.into() }),
        }
    }

    fn walk(
        self,
        mut take: impl FnMut(JournalPosition, JournalPosition, &[u8]) -> Result<bool, Error>,
    ) -> Result<WalkEnd, Error> {
        let Self { file, start: mut at, from: mut byte, until, chunk_bytes } = self;
        let mut blocks = Blocks::default();
        let mut next_bytes = chunk_bytes;
        while byte < until {
            let next = byte..byte + next_bytes.min(until - byte);
            let chunk = file.read(next, &mut blocks).map_err(|e| Error::Write(e.to_string()))?;
            let buffer = blocks.bytes().get(chunk).unwrap_or_default();
            let mut rest = buffer;
            while let Some(size) = record::size(rest).filter(|size| *size <= rest.len()) {
                let Some(record) = record::first(rest, at.row) else {
                    return Ok(WalkEnd::Broken { row: at.row + 1, problem: "its checksum is wrong" });
                };
                let end = record.end(at);
                if !take(at, end, record.body)? {
                    return Ok(WalkEnd::Enough);
                }
                at = end;
                rest = rest.get(size..).unwrap_or_default();
            }
            let read = buffer.len() - rest.len();
            if read == 0 && buffer.len() as u64 == until - byte {
                return Ok(WalkEnd::Broken { row: at.row + 1, problem: "it is longer than its file" });
            }
            // A record that is longer than the chunk is read at once next.
            next_bytes = if read == 0 {
                record::size(rest).map_or(chunk_bytes, |size| size as u64).max(chunk_bytes)
            } else {
                chunk_bytes
            };
            byte += read as u64;
        }
        Ok(WalkEnd::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_follows_what_was_there_and_zeros_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = BlockFile::open(&folder.path().join("file")).unwrap();
        let (mut writer, mut expected) = (SegmentWriter::default(), Vec::new());
        for (number, length) in (1_u8..).zip([10, BLOCK - 10, 1, 2 * BLOCK, 0, BLOCK - 1, 0, 3 * BLOCK + 5]) {
            let bytes = vec![number; length];
            writer.write(&file, expected.len() as u64, &bytes, number % 2 == 0).unwrap();
            expected.extend(bytes);
            let (all, mut read) = (file.length().unwrap(), Blocks::default());
            assert_eq!(all, AHEAD);
            let found = file.read(0..all, &mut read).unwrap();
            let (written, zeros) = read.bytes()[found].split_at(expected.len());
            assert!(written == expected && zeros.iter().all(|byte| *byte == 0), "after {length} bytes");
            // A writer that continues has the bytes of the incomplete block from the file.
            if number % 3 == 0 {
                writer = SegmentWriter::default();
                writer.resume(&file, expected.len() as u64).unwrap();
                writer.size = all;
            }
        }
    }
}
