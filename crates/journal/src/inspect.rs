//! Inspects the journal's files: each is whole, torn by an incomplete write, or damaged. It changes nothing, so that a start, a
//! check and a repair can decide first. After a torn end, nothing was certainly on the disk; after damage, something was.

use std::{
    collections::{HashMap, VecDeque},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Error,
    blocks::{BlockFile, Blocks},
    preallocated::FILE_EXTENSION,
    record::JournalPosition,
    runs::{self, RECORDS_START, Range, Run},
    segment::{self, Segment},
};
use switchbox_model::Seq;

/// The extension of notes that a repair has written: rows are missing between two files. Their names are `{row before}-{row after}.gap`.
pub const GAP: &str = "gap";
/// Bytes; no disk writes fewer at once.
const SECTOR: u64 = 512;

/// The files of the journal, as they are.
pub struct Inspection {
    pub folder: PathBuf,
    /// Whole and in order, up to the end of the journal or to what is damaged.
    pub segments: VecDeque<Segment>,
    /// The bytes after the last record, if they are of a write that never ended.
    pub torn: Option<Torn>,
    /// The last file, if the host had only just begun it when it ended.
    pub unbegun: Option<PathBuf>,
    /// Files that were made in advance, or kept to be used again.
    pub preallocated: Vec<PathBuf>,
    /// The first damage, if there is any. The fields above then describe the journal up to it.
    pub damage: Option<Damage>,
}

/// The bytes of a write that never ended, at the end of the last file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    pub path: PathBuf,
    /// The byte in the file at which they begin.
    pub offset: u64,
    /// How many bytes they are.
    pub bytes: u64,
    /// Whole records among them, whose commits did not wait for the disk.
    pub records: i64,
}

/// A place where a record should be, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    /// The byte in the file.
    pub offset: u64,
    /// The last row before it.
    pub row: i64,
    /// The last event before it.
    pub seq: Seq,
    /// The description of the damage, for the operator.
    pub problem: String,
    /// The records after it that can be read, each run with its file.
    pub after: Vec<(PathBuf, Run)>,
}

impl Damage {
    /// How many records after it can be read.
    pub fn records_behind(&self) -> i64 {
        self.after.iter().map(|(_, run)| run.last_row - run.first_row + 1).sum()
    }

    /// The first row after it that can be read.
    fn next_row(&self) -> Option<i64> {
        self.after.first().map(|(_, run)| run.first_row)
    }

    fn last_seq(&self) -> Option<Seq> {
        self.after.last().map(|(_, run)| run.last_seq)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, row, seq, problem, .. } = self;
        write!(f, "{}: {problem}: row {} is expected at byte {offset}", path.display(), row + 1)?;
        match (self.next_row(), self.last_seq()) {
            (Some(next), Some(last)) => write!(
                f,
                "; after it {} records are whole, from row {next} on, with events up to {last} (the last one before it is {seq})",
                self.records_behind()
            ),
            _ => write!(f, "; nothing after it can be read"),
        }
    }
}

impl Inspection {
    /// The position after the last whole record.
    pub fn end(&self) -> JournalPosition {
        self.segments.back().map(Segment::end).unwrap_or_default()
    }

    /// The position before the first record.
    pub fn start(&self) -> JournalPosition {
        self.segments.front().map(Segment::start).unwrap_or_default()
    }
}

/// Inspects the files in the journal's folder, which may be missing.
pub fn inspect(folder: &Path) -> Result<Inspection, Error> {
    let listed = list(folder)?;
    let mut found = Inspection {
        folder: folder.to_owned(),
        segments: VecDeque::new(),
        torn: None,
        unbegun: None,
        preallocated: listed.preallocated,
        damage: None,
    };
    let count = listed.files.len();
    for (index, path) in listed.files.iter().enumerate() {
        let segment = Segment::read(path)?.filter(|segment| segment::row_of_name(path) == Some(segment.start().row));
        let defect = match segment {
            Some(segment) => match found.segments.back().map(Segment::end) {
                Some(before) if !follows(before, segment.start(), &listed.gaps) => Some(Defect::Broken),
                _ => {
                    found.segments.push_back(segment);
                    None
                }
            },
            None if index + 1 == count && was_never_begun(path, found.end(), listed.bytes)? => {
                found.unbegun = Some(path.clone());
                None
            }
            None => Some(Defect::NoHeader),
        };
        if let Some(defect) = defect {
            let rest = listed.files.get(index..).unwrap_or_default();
            found.damage = Some(damage_of(&found, defect, rest, listed.bytes)?);
            return Ok(found);
        }
    }
    inspect_end(&mut found, listed.bytes)?;
    Ok(found)
}

/// What is wrong with a file.
enum Defect {
    /// The file does not begin at the row where the file before ends.
    Broken,
    /// The file does not begin with a header.
    NoHeader,
}

/// Whether a file that begins at `start` follows one that ends at `before`, perhaps with a gap that a repair has noted.
fn follows(before: JournalPosition, start: JournalPosition, gaps: &HashMap<i64, i64>) -> bool {
    let is_next = start.row == before.row && start.last_seq == before.last_seq;
    let is_behind_gap = gaps.get(&before.row) == Some(&start.row) && start.last_seq >= before.last_seq;
    (is_next || is_behind_gap) && start.offset >= before.offset
}

/// Describes the damage. `rest`: the files from the first damaged one on.
fn damage_of(found: &Inspection, defect: Defect, rest: &[PathBuf], journal_bytes: u64) -> Result<Damage, Error> {
    let end = found.end();
    let (mut row, mut range) = (end.row, Range::after(end.row, end.last_seq, journal_bytes));
    let mut after = Vec::new();
    let (path, offset, problem) = match (defect, found.segments.back()) {
        (Defect::Broken, Some(last)) => {
            add_runs(last.path(), last.used(), &mut range, &mut after)?;
            (last.path().to_owned(), last.used(), "it is damaged")
        }
        (_, before) => {
            let path = rest.first().cloned().unwrap_or_default();
            // Of a journal whose first file cannot be read, the name says where it begins.
            if let Some(named) = segment::row_of_name(&path).filter(|_| before.is_none()) {
                (row, range) = (named, Range::behind_row(named, journal_bytes));
            }
            (path, 0, "it is not a file of the journal, or its first bytes are damaged")
        }
    };
    for file in rest {
        add_runs(file, RECORDS_START, &mut range, &mut after)?;
    }
    Ok(Damage { path, offset, row, seq: end.last_seq, problem: problem.into(), after })
}

/// Adds the runs of records in the file from the byte `from` on.
fn add_runs(path: &Path, from: u64, range: &mut Range, to: &mut Vec<(PathBuf, Run)>) -> Result<(), Error> {
    for run in runs::find(&bytes_from(path, from)?, from, range.clone()) {
        range.advance(&run);
        to.push((path.to_owned(), run));
    }
    Ok(())
}

/// Looks at the bytes after the last whole record: sets `torn` or `damage`, if there are any.
fn inspect_end(found: &mut Inspection, journal_bytes: u64) -> Result<(), Error> {
    let Some(last) = found.segments.back() else { return Ok(()) };
    let (path, used, end) = (last.path().to_owned(), last.used(), last.end());
    let bytes = bytes_from(&path, used)?;
    let runs = runs::find(&bytes, used, Range::after(end.row, end.last_seq, journal_bytes));
    let torn = runs::torn(&bytes, end.row, end.last_seq) as u64;
    let length = used + bytes.len() as u64;
    let damaged = |problem: &str, runs: Vec<Run>| Damage {
        path: path.clone(),
        offset: used,
        row: end.row,
        seq: end.last_seq,
        problem: problem.into(),
        after: runs.into_iter().map(|run| (path.clone(), run)).collect(),
    };
    if runs.iter().any(|run| run.synced) {
        found.damage = Some(damaged("it is damaged", runs));
    } else if torn > 0 && used + torn == length && !length.is_multiple_of(SECTOR) {
        // The host writes whole blocks.
        found.damage = Some(damaged("it was cut off from outside, within a record", runs));
    } else if torn > 0 {
        let records = runs.iter().map(|run| run.last_row - run.first_row + 1).sum();
        found.torn = Some(Torn { path, offset: used, bytes: torn, records });
    }
    Ok(())
}

/// Whether the host ended after it had created the file and before its first write: the file has only zeros, or records of an earlier use.
fn was_never_begun(path: &Path, end: JournalPosition, journal_bytes: u64) -> Result<bool, Error> {
    let bytes = bytes_from(path, 0)?;
    let is_stale = Segment::read(path)?.is_some_and(|segment| segment.end().row <= end.row);
    let is_blank = bytes.iter().all(|byte| *byte == 0);
    Ok(is_blank || (is_stale && runs::find(&bytes, 0, Range::after(end.row, end.last_seq, journal_bytes)).is_empty()))
}

fn bytes_from(path: &Path, from: u64) -> Result<Vec<u8>, Error> {
    let read = || {
        let file = BlockFile::open_to_read(path)?;
        let length = file.length()?;
        let mut blocks = Blocks::default();
        let found = if from < length { file.read(from..length, &mut blocks)? } else { 0..0 };
        Ok(blocks.bytes().get(found).unwrap_or_default().to_vec())
    };
    read().map_err(|e: io::Error| Error::Open { path: path.display().to_string(), problem: e.to_string() })
}

/// The files in the journal's folder.
#[derive(Default)]
struct Listed {
    /// The files of the journal, in order.
    files: Vec<PathBuf>,
    preallocated: Vec<PathBuf>,
    /// The row before each gap, and the one after it less one.
    gaps: HashMap<i64, i64>,
    /// The sum of the lengths of `files`.
    bytes: u64,
}

fn list(folder: &Path) -> Result<Listed, Error> {
    let problem = |e: io::Error| Error::Open { path: folder.display().to_string(), problem: e.to_string() };
    let mut listed = Listed::default();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listed),
        entries => entries.map_err(problem)?,
    };
    for entry in entries {
        let entry = entry.map_err(problem)?;
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => {
                listed.bytes += entry.metadata().map_err(problem)?.len();
                listed.files.push(path);
            }
            Some(FILE_EXTENSION) => listed.preallocated.push(path),
            Some(GAP) => listed.gaps.extend(gap_of_name(&path)),
            _ => {}
        }
    }
    listed.files.sort();
    Ok(listed)
}

/// The files of the journal in order.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    Ok(list(folder)?.files)
}

/// The paths of the notes about gaps.
pub fn gap_notes(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let gaps = list(folder)?.gaps;
    Ok(gaps.into_iter().map(|(before, after)| folder.join(gap_name(before, after))).collect())
}

/// The file name of a note that the rows from `before + 1` to `after` are missing.
pub fn gap_name(before: i64, after: i64) -> String {
    format!("{before:020}-{after:020}.{GAP}")
}

fn gap_of_name(path: &Path) -> Option<(i64, i64)> {
    let (before, after) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((before.parse().ok()?, after.parse().ok()?))
}
