//! The journal: files of records (`log/`). One thread writes them, while any number of threads read. New files are made in advance
//! (`preallocated.rs`).

use std::{
    collections::VecDeque,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use parking_lot::RwLock;

use crate::{
    Error,
    inspect::{self, Inspection},
    preallocated::Preallocator,
    record::{self, JournalPosition},
    segment::{self, LastFile, Part, Segment, SegmentWriter},
};
use switchbox_model::Seq;
use switchbox_support::{fd_exhaustion, log_limit::LogLimit};

/// Bytes of a file, unless one record alone is larger.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// The folder of the journal, in the data folder.
pub const FOLDER: &str = "log";

/// The journal, for its one writer.
pub struct Journal {
    folder: PathBuf,
    /// The folder, kept open: when it has to be synced, there may be no free file descriptor.
    folder_handle: File,
    files: Arc<Files>,
    writer: SegmentWriter,
    segment_bytes: u64,
    preallocated: Preallocator,
    /// Limits the log lines about missing file descriptors.
    descriptor_lines: LogLimit,
}

/// The journal's files, as the writer and the readers share them.
pub struct Files(RwLock<Inner>);

struct Inner {
    /// The full files, in order.
    older: VecDeque<Segment>,
    /// The file that is written to.
    last: Segment,
    /// The last row that is on the disk for certain.
    durable: i64,
}

/// The oldest files, which are about to be deleted.
#[derive(Debug, Clone, Copy)]
pub struct OldestFiles {
    /// The last event before them.
    pub seq_before: Seq,
    /// The last event in them.
    pub last_seq: Seq,
    /// The first and the last row of the first of them.
    pub first_file: (i64, i64),
}

impl Journal {
    /// Opens or creates the journal in the data folder, unless it is damaged.
    pub fn open(data: &Path) -> Result<Self, Error> {
        Self::open_with(data, SEGMENT_BYTES)
    }

    /// Opens the journal like [`Self::open`], with files of `segment_bytes`.
    pub fn open_with(data: &Path, segment_bytes: u64) -> Result<Self, Error> {
        let inspection = inspect::inspect(&data.join(FOLDER))?;
        match &inspection.damage {
            Some(damage) => Err(Error::Damaged(damage.to_string())),
            None => Self::resume_with(inspection, segment_bytes),
        }
    }

    /// Opens a journal that was inspected and is not damaged. Unlike the inspection, this changes files.
    pub fn resume(inspection: Inspection) -> Result<Self, Error> {
        Self::resume_with(inspection, SEGMENT_BYTES)
    }

    fn resume_with(inspection: Inspection, segment_bytes: u64) -> Result<Self, Error> {
        let folder = inspection.folder;
        let problem = |e: io::Error| Error::Open { path: folder.display().to_string(), problem: e.to_string() };
        fs::create_dir_all(&folder).map_err(problem)?;
        for path in inspection.unbegun.iter().chain(&inspection.preallocated) {
            fs::remove_file(path).map_err(problem)?;
        }
        let mut older = inspection.segments;
        let mut writer = SegmentWriter::default();
        let last = match older.pop_back() {
            Some(mut last) => last.resume(&mut writer).map(|()| last),
            None => Segment::begin(&folder, JournalPosition::default(), &mut writer),
        };
        let last = last.map_err(problem)?;
        let folder_handle = File::open(&folder).map_err(problem)?;
        folder_handle.sync_all().map_err(problem)?;
        let durable = last.end().row;
        let files = Arc::new(Files(RwLock::new(Inner { older, last, durable })));
        let preallocated = Preallocator::new(&folder);
        let descriptor_lines = LogLimit::new(1, Instant::now());
        Ok(Self { folder, folder_handle, files, writer, segment_bytes, preallocated, descriptor_lines })
    }

    pub fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Appends the record that was begun and filled by [`record::begin`] and [`record::encode`]; `last_seq` is the last
    /// event in it or before it. `durable`: returns when it is on the disk. Returns the end of the journal.
    pub fn append(&mut self, record: &mut [u8], last_seq: Seq, durable: bool) -> Result<JournalPosition, Error> {
        let problem = |e: io::Error| Error::Write(e.to_string());
        let (bytes, mut last) = (record.len() as u64, self.files.last());
        let until = last.used + bytes;
        // A file that was made in advance is used before the last one has to grow, because growing takes as long as many commits.
        let is_full = until > self.segment_bytes || (self.writer.grows(until) && self.preallocated.is_ready());
        if is_full && last.start != last.end {
            self.roll(last.end).map_err(problem)?;
            last = self.files.last();
        } else if until > segment::AHEAD {
            self.preallocated.request(self.segment_bytes);
        }
        let end = JournalPosition { row: last.end.row + 1, last_seq, offset: last.end.offset + bytes };
        record::seal(record, end.row, last_seq, durable)?;
        self.writer.write(&last.file, last.used, record, durable).map_err(problem)?;
        if durable {
            last.file.sync().map_err(problem)?;
        }
        let mut inner = self.files.0.write();
        inner.last.record_end(end);
        if durable {
            inner.durable = end.row;
        }
        Ok(end)
    }

    /// Whether a record of this many bytes fits into the last file, which need not grow for it.
    pub fn has_room(&self, bytes: u64) -> bool {
        let until = self.files.0.read().last.used() + bytes;
        until <= self.segment_bytes && !self.writer.grows(until)
    }

    /// Continues in another file. Only the last file may ever be torn, so this one is synced, whatever is in it.
    fn roll(&mut self, start: JournalPosition) -> io::Result<()> {
        self.files.last().file.sync()?;
        let path = self.folder.join(segment::name(start));
        let reused = self.preallocated.take();
        if let Some(reused) = &reused {
            fs::rename(reused, &path)?;
        }
        let segment = match Segment::begin(&self.folder, start, &mut self.writer) {
            Err(error) if fd_exhaustion::is_cause_of(&error) => {
                // Writing continues in the last file until a file descriptor is free.
                if let Some(reused) = reused {
                    fs::rename(path, &reused)?;
                    self.preallocated.return_unused(reused);
                }
                if let Some(more) = self.descriptor_lines.allow(Instant::now()) {
                    tracing::warn!(%error, "no new file of the journal can be opened (ulimit -n); the last one grows{more}");
                }
                return Ok(());
            }
            begun => begun?,
        };
        self.folder_handle.sync_all()?;
        let mut inner = self.files.0.write();
        let full = std::mem::replace(&mut inner.last, segment);
        inner.older.push_back(full);
        inner.durable = start.row;
        Ok(())
    }

    /// Removes the files that hold no row after `row`. The last file stays, and while a backup copies them all files stay. `reuse`: some
    /// files are kept to be used again.
    pub fn trim(&mut self, row: i64, reuse: bool) -> io::Result<()> {
        if matches!(self.folder_handle.try_lock(), Err(TryLockError::WouldBlock)) {
            return Ok(());
        }
        let trimmed = self.trim_now(row, reuse);
        self.folder_handle.unlock()?;
        trimmed
    }

    /// As [`Self::trim`], with the folder locked.
    fn trim_now(&mut self, row: i64, reuse: bool) -> io::Result<()> {
        if !reuse {
            self.preallocated.clear()?;
        }
        while let Some(segment) = self.files.take_oldest(row) {
            // A reader of the file must not find other bytes in it.
            if segment.is_read() || !reuse {
                fs::remove_file(segment.path())?;
            } else {
                self.preallocated.recycle(segment.path())?;
            }
        }
        Ok(())
    }
}

/// Makes new names in the folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Files {
    /// Files that are only read. Returns `None` if there are none.
    pub fn of(mut segments: VecDeque<Segment>) -> Option<Self> {
        let last = segments.pop_back()?;
        let durable = last.end().row;
        Some(Self(RwLock::new(Inner { older: segments, last, durable })))
    }

    pub fn into_segments(self) -> VecDeque<Segment> {
        let Inner { mut older, last, .. } = self.0.into_inner();
        older.push_back(last);
        older
    }

    /// The position after the last record.
    pub fn end(&self) -> JournalPosition {
        self.0.read().last.end()
    }

    /// The file that is written to.
    fn last(&self) -> LastFile {
        let inner = self.0.read();
        let last = &inner.last;
        LastFile { file: last.file(), start: last.start(), end: last.end(), used: last.used() }
    }

    /// Removes the oldest file from the list if it has no row after `row`.
    fn take_oldest(&self, row: i64) -> Option<Segment> {
        let mut inner = self.0.write();
        inner.older.pop_front_if(|oldest| oldest.end().row <= row)
    }

    /// Returns when the row is on the disk.
    pub fn sync(&self, row: i64) -> io::Result<()> {
        let (file, reached) = {
            let inner = self.0.read();
            if inner.durable >= row {
                return Ok(());
            }
            (inner.last.file(), inner.last.end().row)
        };
        file.sync()?;
        let mut inner = self.0.write();
        inner.durable = inner.durable.max(reached);
        Ok(())
    }

    /// The first file with a position for which `reached` is true, to be read from the last indexed position before that one.
    pub fn first(&self, reached: impl Fn(JournalPosition) -> bool) -> Option<Part> {
        let inner = self.0.read();
        let older = inner.older.partition_point(|segment| !reached(segment.end()));
        let segment = inner.older.get(older).unwrap_or(&inner.last);
        reached(segment.end()).then(|| segment.part(|position| !reached(position)))
    }

    /// The newest file that begins before `row`, to be read from `rows` before that or from its own beginning.
    pub fn back(&self, row: i64, rows: i64) -> Option<(i64, Part)> {
        let inner = self.0.read();
        // The last file may have no row yet.
        let has_rows = |segment: &&Segment| segment.start().row + 1 < row && segment.end().row > segment.start().row;
        let older = inner.older.partition_point(|segment| segment.start().row + 1 < row);
        let segment = Some(&inner.last).filter(has_rows).or_else(|| inner.older.get(older.checked_sub(1)?))?;
        let from = (row.min(segment.end().row + 1) - rows).max(segment.start().row + 1);
        Some((from, segment.part(|position| position.row < from)))
    }

    /// The files up to the one that ends with `row`.
    pub fn oldest(&self, row: i64) -> Option<OldestFiles> {
        let inner = self.0.read();
        let first = inner.older.front()?;
        let last = inner.older.iter().take_while(|segment| segment.end().row <= row).last()?;
        Some(OldestFiles {
            seq_before: first.start().last_seq,
            last_seq: last.end().last_seq,
            first_file: (first.start().row + 1, first.end().row),
        })
    }

    /// The last row of the files that may be deleted: all of their rows are before the event, up to `applied`, and more than
    /// `keep_bytes` from the end. Returns `None` if no file may be deleted.
    pub fn trimmable(&self, seq: Seq, keep_bytes: u64, applied: i64) -> Option<i64> {
        let inner = self.0.read();
        let newest = inner.last.end().offset;
        let may_be_deleted =
            |end: JournalPosition| end.last_seq < seq && end.row <= applied && end.offset + keep_bytes < newest;
        inner.older.iter().map(Segment::end).take_while(|end| may_be_deleted(*end)).last().map(|end| end.row)
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("end", &self.end()).finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "testing"))]
impl Files {
    /// The file that is written to, and how many bytes of it are used.
    #[must_use]
    pub fn last_file(&self) -> (PathBuf, u64) {
        let inner = self.0.read();
        (inner.last.path().to_owned(), inner.last.used())
    }
}

#[cfg(any(test, feature = "testing"))]
impl Files {
    /// Rows up to this one are on the disk.
    pub fn durable_row(&self) -> i64 {
        self.0.read().durable
    }
}

#[cfg(any(test, feature = "testing"))]
impl Journal {
    /// Every write fails from here on.
    pub fn break_disk(&mut self) {
        let mut inner = self.files.0.write();
        let path = inner.last.path().to_owned();
        inner.last.set_file(crate::blocks::BlockFile::read_only(&path));
    }
}

#[cfg(test)]
mod prefix_tests;
#[cfg(test)]
mod tests;
