//! The audit log: which caller changed what through this API, when, and with which result. It consists of JSON lines in append-only
//! files of the data folder. Only this module writes them. Room for a call's line is reserved before the call is carried out; its
//! line is in the file before the call is answered, and on the disk soon after. A file is named by its offset in the whole log, so
//! that a position stays valid when old files are deleted.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
pub(super) use switchbox_admin_api::AuditLine as Line;
use switchbox_model::limits;
use switchbox_store::private;

/// The folder in the data folder.
const FOLDER: &str = "audit";
/// The interval of syncs. The journal waits for each of them.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes that are read at a time when listing lines.
const LOOK_BACK_BYTES: u64 = 1024 * 1024;

/// Blocks are preallocated for so many bytes more than are reserved, so that few calls wait for it.
const PREALLOCATED_BYTES: u64 = 16 * limits::AUDIT_LINE_BYTES;

/// Maximum number of lines that are stored in memory while the file cannot be written: those of calls that were in progress.
const MAX_UNWRITTEN: usize = 1_000;

#[derive(Debug)]
struct Current {
    file: File,
    start: u64,
    bytes: u64,
    /// Bytes that calls in progress have reserved after that.
    reserved: u64,
    /// The offset up to which blocks were preallocated.
    preallocated: u64,
    /// Lines of completed calls that could not be written. They are written before any other.
    unwritten: Vec<Vec<u8>>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Audit {
    folder: PathBuf,
    current: Arc<Mutex<Current>>,
    /// Whether a caller of [`Audit::wants_sync`] is about to call [`Audit::sync`].
    to_sync: Arc<AtomicBool>,
    /// The last attempt to write or to reserve failed.
    broken: Arc<AtomicBool>,
}

/// Room for one line, which is given back when it is dropped: after the line was appended.
#[derive(Debug)]
pub(super) struct Reserved(Audit);

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut current = self.0.current.lock();
        current.reserved = current.reserved.saturating_sub(limits::AUDIT_LINE_BYTES);
    }
}

impl Audit {
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        private::make_folder(&folder)?;
        let start = starts(&folder)?.pop().unwrap_or(0);
        let mut current = open(&folder, start)?;
        if !ends_well(&folder, start)? {
            // A line that a crash cut off stays unreadable, but does not affect the next line.
            current.file.write_all(b"\n")?;
            current.bytes += 1;
        }
        let (to_sync, broken) = (Arc::default(), Arc::default());
        Ok(Self { folder, current: Arc::new(Mutex::new(current)), to_sync, broken })
    }

    /// Whether the last attempt to write or to reserve a line succeeded.
    pub(super) fn is_writable(&self) -> bool {
        !self.broken.load(Ordering::Acquire)
    }

    /// Reserves room for a line, so that a call which is carried out can be logged. Blocks for as long as the disk takes.
    pub(super) fn reserve(&self) -> io::Result<Reserved> {
        let mut current = self.current.lock();
        let reserved = self.prepare(&mut current).and_then(|()| current.reserve());
        self.broken.store(reserved.is_err(), Ordering::Release);
        drop(current);
        reserved.map(|()| Reserved(self.clone()))
    }

    /// As [`Audit::reserve`], from blocks that are preallocated already. Does not block. Returns `None` if that is not possible.
    pub(super) fn try_reserve(&self) -> Option<Reserved> {
        let mut current = self.current.try_lock()?;
        let reserved_bytes = current.reserved + limits::AUDIT_LINE_BYTES;
        let has_room = self.is_writable()
            && current.unwritten.is_empty()
            && current.bytes < limits::AUDIT_FILE_BYTES
            && current.bytes + reserved_bytes <= current.preallocated
            && is_deleted(&current.file).is_ok_and(|deleted| !deleted);
        has_room.then(|| {
            current.reserved = reserved_bytes;
            drop(current);
            Reserved(self.clone())
        })
    }

    /// As [`Audit::append`], into blocks that are preallocated already: the line is copied into the memory of the system, which takes a few
    /// microseconds. Returns `None` if that is not possible, because it would wait for the disk or for another caller that does.
    pub(super) fn try_append(&self, line: &Line) -> Option<io::Result<()>> {
        let current = self.current.try_lock()?;
        let waits = current.bytes + limits::AUDIT_LINE_BYTES > current.preallocated
            || current.bytes >= limits::AUDIT_FILE_BYTES
            || !current.unwritten.is_empty();
        (!waits).then(|| self.append_to(current, line))
    }

    /// Appends a line. Blocks for as long as the disk takes.
    pub(super) fn append(&self, line: &Line) -> io::Result<()> {
        self.append_to(self.current.lock(), line)
    }

    fn append_to(&self, mut current: MutexGuard<'_, Current>, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let written = self.prepare(&mut current).and_then(|()| current.write(&text));
        self.broken.store(written.is_err(), Ordering::Release);
        if written.is_err() && current.unwritten.len() < MAX_UNWRITTEN {
            current.unwritten.push(text);
        }
        written
    }

    /// Prepares an existing file that is not full, and appends all unwritten lines.
    fn prepare(&self, current: &mut Current) -> io::Result<()> {
        if is_deleted(&current.file)? {
            tracing::error!(folder = %self.folder.display(), "a file of the audit log was removed; a new one is begun");
            private::make_folder(&self.folder)?;
            self.next(current)?;
        } else if current.bytes >= limits::AUDIT_FILE_BYTES {
            current.file.sync_data()?;
            self.next(current)?;
            self.forget_old()?;
        }
        while let Some(line) = current.unwritten.first().cloned() {
            current.write(&line)?;
            current.unwritten.remove(0);
        }
        Ok(())
    }

    fn next(&self, current: &mut Current) -> io::Result<()> {
        let mut next = open(&self.folder, current.start + current.bytes)?;
        (next.reserved, next.unwritten) = (current.reserved, std::mem::take(&mut current.unwritten));
        *current = next;
        Ok(())
    }

    /// Whether the caller has to call [`Audit::sync`] after [`SYNC_INTERVAL`]. True for only one of many callers.
    pub(super) fn wants_sync(&self) -> bool {
        !self.to_sync.swap(true, Ordering::AcqRel)
    }

    /// Makes the appended lines durable. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.to_sync.store(false, Ordering::Release);
        let file = self.current.lock().file.try_clone()?;
        file.sync_data()
    }

    fn forget_old(&self) -> io::Result<()> {
        let starts = starts(&self.folder)?;
        let old = starts.len().saturating_sub(limits::AUDIT_FILES);
        starts.iter().take(old).try_for_each(|start| fs::remove_file(path(&self.folder, *start)))
    }

    /// At most `limit` lines before this position, newest first, each with its position. Blocks for as long as the disk takes.
    pub(super) fn read_back(&self, before: Option<u64>, limit: usize) -> io::Result<Vec<(u64, Line)>> {
        let mut found = Vec::new();
        for start in starts(&self.folder)?.into_iter().rev() {
            let mut end = fs::metadata(path(&self.folder, start))?.len();
            if let Some(before) = before {
                end = end.min(before.saturating_sub(start));
            }
            while end > 0 && found.len() < limit {
                let from = end.saturating_sub(LOOK_BACK_BYTES);
                let (first, lines) = read_lines(&path(&self.folder, start), from, end)?;
                found.extend(lines.into_iter().rev().map(|(at, line)| (start + at, line)));
                end = if first < end { first } else { from };
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

impl Current {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        // A line that was written in part is cut off, so that the next one is not part of it.
        self.file.write_all(line).inspect_err(|_| drop(self.file.set_len(self.bytes)))?;
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        Ok(())
    }

    /// Preallocates blocks for the lines of all calls in progress and one more.
    fn reserve(&mut self) -> io::Result<()> {
        let reserved_bytes = self.reserved + limits::AUDIT_LINE_BYTES;
        preallocate(&self.file, self.bytes, reserved_bytes + PREALLOCATED_BYTES)?;
        self.preallocated = self.bytes + reserved_bytes + PREALLOCATED_BYTES;
        self.reserved = reserved_bytes;
        Ok(())
    }
}

/// Preallocates blocks after the end of the file without changing its length. Some file systems do not support this.
#[cfg(target_os = "linux")]
fn preallocate(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };
    match fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn preallocate(_file: &File, _from: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}

/// Whether the file was removed, so that lines written into it would be lost.
#[cfg(unix)]
fn is_deleted(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
}

#[cfg(not(unix))]
fn is_deleted(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// The lines that begin in this part of a file, each with its position, and where the first of them begins.
fn read_lines(path: &Path, from: u64, end: u64) -> io::Result<(u64, Vec<(u64, Line)>)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(end - from).read_to_end(&mut text)?;
    let (mut at, mut lines, mut first) = (from, Vec::new(), None);
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // The bytes before the first line end belong to a line that begins before this part.
        if index > 0 || from == 0 {
            first.get_or_insert(at);
            lines.extend(serde_json::from_slice(line).ok().map(|line| (at, line)));
        }
        at += u64::try_from(line.len()).unwrap_or(0);
    }
    Ok((first.unwrap_or(end), lines))
}

fn path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}.jsonl"))
}

/// The offsets at which the files begin, in order.
fn starts(folder: &Path) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        starts.extend(name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

fn open(folder: &Path, start: u64) -> io::Result<Current> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path(folder, start))?;
    let bytes = file.metadata()?.len();
    Ok(Current { file, start, bytes, reserved: 0, preallocated: bytes, unwritten: Vec::new() })
}

fn ends_well(folder: &Path, start: u64) -> io::Result<bool> {
    let mut file = File::open(path(folder, start))?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u16) -> Line {
        let text = |what: &str| format!("{what} {n}");
        Line {
            time: text("time"),
            caller: text("who"),
            address: String::new(),
            call: "x".repeat(1_000),
            object: None,
            parameters: None,
            status: n,
        }
    }

    fn statuses(lines: &[(u64, Line)]) -> Vec<u16> {
        lines.iter().map(|(_, line)| line.status).collect()
    }

    #[test]
    fn lines_are_read_newest_first_page_by_page_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        // More than one piece of reading.
        (0..2_500).for_each(|n| audit.append(&line(n)).unwrap());
        let audit = Audit::open(folder.path()).unwrap();
        audit.append(&line(2_500)).unwrap();
        assert_eq!([(); 2].map(|()| audit.wants_sync()), [true, false]);
        audit.sync().unwrap();
        assert!(audit.wants_sync(), "for what is appended from now on");
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = audit.read_back(before, 700).unwrap();
            let Some((last, _)) = page.last() else { break };
            before = Some(*last);
            seen.extend(statuses(&page));
        }
        assert_eq!(seen, (0..=2_500).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_a_crash_cut_off_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        Audit::open(folder.path()).unwrap().append(&line(1)).unwrap();
        let file = path(&folder.path().join(FOLDER), 0);
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"time\":\"").unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        audit.append(&line(2)).unwrap();
        assert_eq!(statuses(&audit.read_back(None, 10).unwrap()), [2, 1]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_is_reserved_where_nothing_can_be_written_and_unwritten_lines_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        let under_way = audit.reserve().unwrap();
        let at = folder.path().join(FOLDER);
        fs::remove_dir_all(&at).unwrap();
        // Nothing can be created in place of the folder.
        fs::write(&at, "").unwrap();
        assert!(audit.reserve().is_err() && !audit.is_writable());
        assert!(audit.append(&line(1)).is_err());
        drop(under_way);
        fs::remove_file(&at).unwrap();
        audit.reserve().unwrap();
        audit.append(&line(2)).unwrap();
        assert!(audit.is_writable());
        assert_eq!(statuses(&audit.read_back(None, 10).unwrap()), [2, 1]);
        // Simulates a full disk.
        let full = tempfile::tempdir().unwrap();
        fs::create_dir(full.path().join(FOLDER)).unwrap();
        std::os::unix::fs::symlink("/dev/full", path(&full.path().join(FOLDER), 0)).unwrap();
        assert!(Audit::open(full.path()).unwrap().reserve().is_err());
    }

    #[test]
    fn most_calls_reserve_without_waiting_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        assert!(audit.try_reserve().is_none(), "nothing is preallocated yet");
        let first = audit.reserve().unwrap();
        let others: Vec<_> = std::iter::from_fn(|| audit.try_reserve()).collect();
        assert_eq!(others.len() as u64 * limits::AUDIT_LINE_BYTES, PREALLOCATED_BYTES);
        drop((first, others));
        assert!(audit.try_reserve().is_some(), "room that was given back is reserved again");
        fs::remove_file(path(&folder.path().join(FOLDER), 0)).unwrap();
        assert!(audit.try_reserve().is_none(), "the file is gone");
        drop(audit.reserve().unwrap());
        assert!(audit.try_append(&line(1)).is_some_and(|written| written.is_ok()), "there is room for it");
        assert_eq!(statuses(&audit.read_back(None, 10).unwrap()), [1]);
    }

    #[test]
    fn what_is_reserved_is_no_part_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        let both = [audit.reserve().unwrap(), audit.reserve().unwrap()];
        assert_eq!(audit.current.lock().reserved, 2 * limits::AUDIT_LINE_BYTES);
        (1..=2).for_each(|n| audit.append(&line(n)).unwrap());
        drop(both);
        assert_eq!(audit.current.lock().reserved, 0);
        let bytes = fs::read(path(&folder.path().join(FOLDER), 0)).unwrap();
        assert!(bytes.ends_with(b"}\n") && !bytes.contains(&0));
        let mut longest = line(1);
        (longest.call, longest.object) = ("\"".repeat(600), Some("x".repeat(4 * 1024)));
        let text = serde_json::to_vec(&longest).unwrap().len() + limits::AUDIT_PARAMETERS_BYTES;
        assert!(text as u64 <= limits::AUDIT_LINE_BYTES, "{text}");
    }

    #[test]
    fn old_files_go_and_places_stay() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        let files = || starts(&folder.path().join(FOLDER)).unwrap();
        audit.append(&line(1)).unwrap();
        // Simulates a full file.
        for n in 2..=limits::AUDIT_FILES + 2 {
            let mut current = audit.current.lock();
            current.file.set_len(limits::AUDIT_FILE_BYTES).unwrap();
            current.bytes = limits::AUDIT_FILE_BYTES;
            drop(current);
            audit.append(&line(u16::try_from(n).unwrap())).unwrap();
        }
        let full = limits::AUDIT_FILE_BYTES;
        let expected: Vec<_> = (2..).map(|n| n * full).take(limits::AUDIT_FILES).collect();
        assert_eq!(files(), expected);
        let newest = audit.read_back(None, 1).unwrap();
        assert_eq!(newest.first().map(|(at, line)| (*at, line.status)), Some((files()[limits::AUDIT_FILES - 1], 6)));
    }
}
