//! Free space on the disk. A file of zeros is kept in reserve. If the disk is full at a start, the file is removed, so that `state.db` can
//! be brought up to date and the journal can be trimmed. While space is short the journal keeps less.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use parking_lot::Mutex;

use switchbox_support::log_limit::LogLimit;

/// The reserve, in the data folder.
const FILE: &str = "reserve";
/// Bytes that are written at once.
const CHUNK: usize = 256 * 1024;
/// The reserve is made if this many times its size is free.
const RESERVE_FACTOR: u64 = 4;

#[derive(Debug)]
pub(super) struct Space {
    folder: PathBuf,
    reserve_bytes: u64,
    /// If fewer bytes are free, space is low.
    warn_bytes: u64,
    /// Limits the warning.
    warned: Mutex<LogLimit>,
}

impl Space {
    pub(super) fn new(folder: &Path, reserve_bytes: u64, warn_bytes: u64) -> Self {
        let warned = Mutex::new(LogLimit::new(1, Instant::now()));
        Self { folder: folder.to_owned(), reserve_bytes, warn_bytes, warned }
    }

    fn reserve(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Bytes that may still be written where the data folder is.
    pub(super) fn free(&self) -> io::Result<u64> {
        let status = rustix::fs::statvfs(&self.folder)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    /// By how much less than [`Self::warn_bytes`] is free.
    fn missing(&self) -> u64 {
        self.free().map_or(0, |free| self.warn_bytes.saturating_sub(free))
    }

    pub(super) fn is_low(&self) -> bool {
        self.missing() > 0
    }

    /// How many bytes of a journal of `size` bytes are kept if the settings say `bytes`: fewer while space is low. What is missing is taken
    /// from what the journal has, as the settings may allow more than the disk holds.
    pub(super) fn retention_bytes(&self, bytes: u64, size: u64) -> u64 {
        match self.missing() {
            0 => bytes,
            missing => bytes.min(size).saturating_sub(missing),
        }
    }

    /// Removes the reserve if fewer bytes than its size are free.
    pub(super) fn release_reserve(&self) -> io::Result<()> {
        let free = self.free()?;
        if free >= self.reserve_bytes {
            return Ok(());
        }
        match fs::remove_file(self.reserve()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed?;
                tracing::warn!(
                    free,
                    "the disk is full: the reserve file is removed, so that the journal can be trimmed"
                );
                Ok(())
            }
        }
    }

    /// Logs a warning if little space is free, and creates the reserve if it is missing and there is enough space.
    pub(super) fn check(&self) -> io::Result<()> {
        let free = self.free()?;
        if free < self.warn_bytes && self.warned.lock().allow(Instant::now()).is_some() {
            tracing::warn!(
                free,
                below = self.warn_bytes,
                data = %self.folder.display(),
                "free disk space is low; the journal keeps less (disk.warn-free-bytes), and the host stops when the disk is full"
            );
        }
        if self.reserve_bytes > 0 && free / RESERVE_FACTOR >= self.reserve_bytes && !self.reserve().exists() {
            self.make()?;
        }
        Ok(())
    }

    fn make(&self) -> io::Result<()> {
        let beside = self.folder.join(format!("{FILE}.new"));
        let mut file = fs::File::create(&beside)?;
        let allocated = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.reserve_bytes);
        if allocated.is_err() {
            // Not every file system can give room without writing it.
            let zeros = vec![0; CHUNK];
            for _ in 0..self.reserve_bytes.div_ceil(CHUNK as u64) {
                file.write_all(&zeros)?;
            }
        }
        file.sync_all()?;
        fs::rename(beside, self.reserve())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_made_and_removed_only_where_there_is_little_room() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::new(folder.path(), 100_000, 0);
        space.check().unwrap();
        assert_eq!(fs::metadata(space.reserve()).unwrap().len(), 100_000);
        space.release_reserve().unwrap();
        assert!(space.reserve().exists());
        let full = Space { reserve_bytes: u64::MAX, ..Space::new(folder.path(), 0, u64::MAX) };
        full.release_reserve().unwrap();
        full.release_reserve().unwrap();
        full.check().unwrap();
        assert!(!space.reserve().exists());
        assert!(full.is_low() && full.retention_bytes(1_000, 1_000) == 0);
        assert!(!space.is_low() && space.retention_bytes(1_000, 10) == 1_000);
    }

    #[test]
    fn a_journal_on_a_disk_that_is_smaller_than_its_setting_keeps_less_than_it_has() {
        const GIB: u64 = 1 << 30;
        let folder = tempfile::tempdir().unwrap();
        let free = Space::new(folder.path(), 0, 0).free().unwrap();
        // Other tests change what is free meanwhile.
        let low = Space::new(folder.path(), 0, free + 50 * GIB);
        for setting in [1_000 * GIB, u64::MAX] {
            let kept = low.retention_bytes(setting, 100 * GIB);
            assert!((40 * GIB..60 * GIB).contains(&kept), "{kept}");
        }
        assert_eq!(low.retention_bytes(10 * GIB, 100 * GIB), 0);
    }
}
