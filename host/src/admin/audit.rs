//! The audit log: who wrote what through this API, when, and what came of it. Lines of JSON in files of the data folder that are
//! only ever appended to; nothing but this room writes there, and plugins have no files at all. A line is in its file before the
//! call is answered, and on the disk soon after. A file is named by where it begins in the whole log, so that a place in the log
//! stays the same when old files go.

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

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{model::limits, store::private};

/// The folder in the data folder.
const FOLDER: &str = "audit";
/// Lines of as long a time go to the disk together: the log of events waits behind each time.
pub(super) const TOGETHER: Duration = Duration::from_millis(100);
/// Read at a time when looking back: thousands of lines.
const LOOK_BACK_BYTES: u64 = 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) time: String,
    /// The token's name.
    pub(super) who: String,
    pub(super) address: String,
    /// Method and path, without parameters.
    pub(super) call: String,
    /// The HTTP status that answered it.
    pub(super) status: u16,
}

#[derive(Debug)]
struct Current {
    file: File,
    start: u64,
    bytes: u64,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Audit {
    folder: PathBuf,
    current: Arc<Mutex<Current>>,
    /// Somebody is about to call [`Audit::sync`].
    to_sync: Arc<AtomicBool>,
}

impl Audit {
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        private::make_folder(&folder)?;
        let start = starts(&folder)?.pop().unwrap_or(0);
        let mut current = open(&folder, start)?;
        if !ends_well(&folder, start)? {
            // A line that a crash cut off stays one that cannot be read, and takes no other with it.
            current.file.write_all(b"\n")?;
            current.bytes += 1;
        }
        Ok(Self { folder, current: Arc::new(Mutex::new(current)), to_sync: Arc::default() })
    }

    /// Appends a line. Blocks for as long as the disk takes.
    pub(super) fn append(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut current = self.current.lock();
        if current.bytes >= limits::AUDIT_FILE_BYTES {
            current.file.sync_data()?;
            *current = open(&self.folder, current.start + current.bytes)?;
            self.forget_old()?;
        }
        current.file.write_all(&text)?;
        current.bytes += u64::try_from(text.len()).unwrap_or(0);
        Ok(())
    }

    /// Whether somebody has to call [`Audit::sync`], [`TOGETHER`] from now, for what was appended. One of many is told so.
    pub(super) fn wants_sync(&self) -> bool {
        !self.to_sync.swap(true, Ordering::AcqRel)
    }

    /// Puts on the disk what was appended. Blocks.
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

    /// At most `limit` lines before this place, newest first, each with its place. Blocks for as long as the disk takes.
    pub(super) fn back(&self, before: Option<u64>, limit: usize) -> io::Result<Vec<(u64, Line)>> {
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

/// The lines that begin in this part of a file, each with its place, and where the first of them begins.
fn read_lines(path: &Path, from: u64, end: u64) -> io::Result<(u64, Vec<(u64, Line)>)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(end - from).read_to_end(&mut text)?;
    let (mut at, mut lines, mut first) = (from, Vec::new(), None);
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // What stands before the first line's end began before this part.
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

/// Where the files begin, in order.
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
    Ok(Current { file, start, bytes })
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
        Line { time: text("time"), who: text("who"), address: String::new(), call: "x".repeat(1_000), status: n }
    }

    fn statuses(lines: &[(u64, Line)]) -> Vec<u16> {
        lines.iter().map(|(_, line)| line.status).collect()
    }

    #[test]
    fn lines_are_read_newest_first_page_by_page_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        // More than is read at a time.
        (0..2_500).for_each(|n| audit.append(&line(n)).unwrap());
        let audit = Audit::open(folder.path()).unwrap();
        audit.append(&line(2_500)).unwrap();
        assert_eq!([(); 2].map(|()| audit.wants_sync()), [true, false]);
        audit.sync().unwrap();
        assert!(audit.wants_sync(), "for what is appended from now on");
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = audit.back(before, 700).unwrap();
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
        assert_eq!(statuses(&audit.back(None, 10).unwrap()), [2, 1]);
    }

    #[test]
    fn old_files_go_and_places_stay() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        let files = || starts(&folder.path().join(FOLDER)).unwrap();
        audit.append(&line(1)).unwrap();
        // As if the file were full.
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
        let newest = audit.back(None, 1).unwrap();
        assert_eq!(newest.first().map(|(at, line)| (*at, line.status)), Some((files()[limits::AUDIT_FILES - 1], 6)));
    }
}
