//! Reads and writes whole blocks of a file, with direct I/O where the file system can do that: the bytes are not copied through the page cache.
//! Direct I/O needs addresses, offsets and lengths that are multiples of a block.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Bytes of a block. No disk has larger blocks, and no page of memory is smaller.
pub(crate) const BLOCK: usize = 4096;

/// The offset at which the block begins that contains this offset.
pub(crate) fn floor(offset: u64) -> u64 {
    offset - offset % BLOCK as u64
}

/// Bytes in memory that begin at a multiple of a block.
#[derive(Debug, Default)]
pub struct Blocks {
    memory: Vec<u8>,
    /// The part of `memory` that is used; it begins at a multiple of a block.
    used: Range<usize>,
}

impl Blocks {
    /// The bytes in use.
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.used.clone()).unwrap_or_default()
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.used.clone()).unwrap_or_default()
    }

    /// Resizes to this many bytes: existing bytes stay, new ones are zeros.
    pub fn resize(&mut self, length: usize) {
        let before = self.used.len();
        if self.used.start + length > self.memory.len() {
            let mut memory = vec![0; length.next_power_of_two() + BLOCK];
            let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
            if let Some(target) = memory.get_mut(start..start + before) {
                target.copy_from_slice(self.bytes());
            }
            (self.memory, self.used) = (memory, start..start + before);
        }
        self.used.end = self.used.start + length;
        if let Some(new) = self.bytes_mut().get_mut(before..) {
            new.fill(0);
        }
    }
}

/// A file of blocks.
#[derive(Debug)]
pub struct BlockFile {
    /// The file, read and written through the page cache.
    cached: File,
    /// The same file with direct I/O. `None` if the file system refuses that.
    direct: Option<File>,
}

impl BlockFile {
    /// Opens or creates a file to read and write.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Self::open_with(path, options)
    }

    /// Opens an existing file to read it.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        Self::open_with(path, options)
    }

    fn open_with(path: &Path, mut options: OpenOptions) -> io::Result<Self> {
        let cached = options.open(path)?;
        // Some file systems refuse it only when it is used.
        let direct = options.custom_flags(DIRECT).open(path).ok().filter(|direct| {
            let mut block = Blocks::default();
            block.resize(BLOCK);
            direct.read_at(block.bytes_mut(), 0).is_ok()
        });
        Ok(Self { cached, direct })
    }

    /// Writes whole blocks. Data that must be durable is written directly; otherwise the page cache is faster.
    pub fn write(&self, blocks: &[u8], at: u64, durable: bool) -> io::Result<()> {
        let file = self.direct.as_ref().filter(|_| durable).unwrap_or(&self.cached);
        file.write_all_at(blocks, at)
    }

    pub fn set_len(&self, length: u64) -> io::Result<()> {
        self.cached.set_len(length)
    }

    pub fn length(&self) -> io::Result<u64> {
        Ok(self.cached.metadata()?.len())
    }

    /// Returns when all written bytes are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.cached.sync_data()
    }

    /// As [`BlockFile::sync`]; the length of the file is on the disk as well.
    pub fn sync_with_length(&self) -> io::Result<()> {
        self.cached.sync_all()
    }

    /// Reads the bytes of the file in `range`. Returns where they are in `into`. Before a direct read, the system writes the bytes
    /// that only its page cache has.
    pub fn read(&self, range: Range<u64>, into: &mut Blocks) -> io::Result<Range<usize>> {
        let first = floor(range.start);
        let (skip, needed) = (to_usize(range.start - first), to_usize(range.end - first));
        into.resize(0);
        into.resize(needed.next_multiple_of(BLOCK));
        let file = self.direct.as_ref().unwrap_or(&self.cached);
        let mut read = 0;
        while read < needed {
            let rest = into.bytes_mut().get_mut(read..).unwrap_or_default();
            match file.read_at(rest, first + read as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(skip..needed)
    }

    #[cfg(any(test, feature = "testing"))]
    #[allow(clippy::unwrap_used, reason = "for tests")]
    pub fn read_only(path: &Path) -> Self {
        Self { cached: File::open(path).unwrap(), direct: None }
    }
}

#[cfg(target_os = "linux")]
const DIRECT: i32 = libc::O_DIRECT;
#[cfg(not(target_os = "linux"))]
const DIRECT: i32 = 0;

/// A length that fits into memory.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_begin_where_a_block_may_and_keep_their_bytes_when_they_grow() {
        let mut blocks = Blocks::default();
        for length in [1, BLOCK, 3 * BLOCK + 1, 100 * BLOCK] {
            let before = blocks.bytes().to_vec();
            blocks.resize(length);
            assert_eq!(blocks.bytes().as_ptr().align_offset(BLOCK), 0);
            assert_eq!(blocks.bytes().len(), length);
            assert_eq!(&blocks.bytes()[..before.len()], before);
            blocks.bytes_mut().fill(7);
        }
    }

    #[test]
    fn what_was_written_in_either_way_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = BlockFile::open(&folder.path().join("file")).unwrap();
        let mut blocks = Blocks::default();
        let mut expected = Vec::new();
        for (number, durable) in [true, false, true, false, false, true].into_iter().enumerate() {
            blocks.resize(0);
            blocks.resize(2 * BLOCK);
            blocks.bytes_mut().fill(number as u8 + 1);
            // Each write overwrites the second block of the write before.
            let at = number * BLOCK;
            expected.truncate(at);
            expected.extend_from_slice(blocks.bytes());
            file.write(blocks.bytes(), at as u64, durable).unwrap();
            let mut read = Blocks::default();
            let found = file.read(5..expected.len() as u64, &mut read).unwrap();
            assert_eq!(&read.bytes()[found], &expected[5..]);
        }
        file.set_len(5000).unwrap();
        let mut read = Blocks::default();
        let found = file.read(4990..5000, &mut read).unwrap();
        assert_eq!(&read.bytes()[found], &expected[4990..5000]);
        assert!(file.read(4990..5001, &mut read).is_err(), "after the end");
    }
}
