//! Repairs a damaged store, so that a host can start on it: unreadable rows, and rows that depend on them, are moved to the folder
//! `damaged`. It deletes nothing, and reports the rows that it moved.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Error,
    backup::refuse_partial,
    decide::{self, Documents},
    lock::Lock,
    quarantine, schema,
};
use switchbox_journal::{
    JournalPosition,
    inspect::{self, Damage, Inspection},
    record,
    runs::{RECORDS_START, Run},
    segment, sync_folder,
};
use switchbox_model::Seq;

/// Numbers that are left out where it is not known how many events are missing.
const UNKNOWN_EVENTS: u64 = 1 << 20;

/// The result of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// One line for each thing that was done.
    pub lines: Vec<String>,
    /// The folder with the bytes that were cut.
    pub aside: Option<PathBuf>,
}

/// Repairs the store in the folder, which no host may be using. `without_journal`: the repaired store has the documents of `state.db` only,
/// and the journal is put aside.
pub fn repair(data: &Path, without_journal: bool) -> Result<Repaired, Error> {
    let _lock = Lock::take(data)?;
    refuse_partial(data)?;
    let inspection = inspect::inspect(&data.join(switchbox_journal::FOLDER))?;
    let documents = match decide::read_documents(data) {
        Ok(documents) => documents,
        // It is whole: the version that wrote it reads it.
        Err(error @ Error::OtherVersion { .. }) => return Err(error),
        Err(error) => return without_documents(data, &inspection, error),
    };
    let applied = documents.applied;
    if without_journal {
        return Repair::new(data, &inspection, &documents)?.restart_journal();
    }
    if inspection.damage.is_none() && applied <= inspection.end().row {
        // Says what is wrong with `state.db`, if it is too old.
        decide::decide(data)?;
        return Ok(Repaired { lines: vec!["nothing is damaged".into()], aside: None });
    }
    Repair::new(data, &inspection, &documents)?.cut(inspection.damage.as_ref())
}

/// Repairs a store whose `state.db` cannot be read: if the journal is whole and was never trimmed, `state.db` is moved aside, and the next start
/// makes it anew. `error`: why it cannot be read; returned if that is not possible.
fn without_documents(data: &Path, inspection: &Inspection, error: Error) -> Result<Repaired, Error> {
    if inspection.damage.is_some() || inspection.start().row > 0 || inspection.segments.is_empty() {
        return Err(error);
    }
    let failed = |e: io::Error| Error::Open { path: data.display().to_string(), problem: e.to_string() };
    let folder = quarantine::make_folder(data).map_err(failed)?;
    let state = schema::path(data);
    for path in [state.clone(), state.with_extension("db-wal"), state.with_extension("db-shm")] {
        if path.exists() {
            quarantine::move_into(&folder, &path).map_err(failed)?;
        }
    }
    let line =
        format!("state.db could not be read ({error}); the next start makes it anew from the journal, which is whole");
    Ok(Repaired { lines: vec![line], aside: Some(folder) })
}

/// A repair while it is made.
struct Repair<'a> {
    data: &'a Path,
    /// The files of the journal.
    inspection: &'a Inspection,
    /// The row up to which the documents have got.
    applied: i64,
    /// All events before this one are handled.
    low_water: Seq,
    /// The result so far.
    repaired: Repaired,
    /// Where the journal ends, as far as it is repaired.
    end: JournalPosition,
    /// Where the bytes go that are cut.
    folder: PathBuf,
}

impl<'a> Repair<'a> {
    fn new(data: &'a Path, inspection: &'a Inspection, documents: &Documents) -> Result<Self, Error> {
        let folder = quarantine::make_folder(data)
            .map_err(|e| Error::Open { path: data.display().to_string(), problem: e.to_string() })?;
        let repaired = Repaired { lines: Vec::new(), aside: Some(folder.clone()) };
        let low_water = documents.loaded.low_water;
        Ok(Self { data, inspection, applied: documents.applied, low_water, repaired, end: inspection.end(), folder })
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error + use<> {
        let path = self.data.display().to_string();
        move |error| Error::Open { path: path.clone(), problem: error.to_string() }
    }

    /// Moves all files of the journal aside, and begins a new one.
    fn restart_journal(mut self) -> Result<Repaired, Error> {
        let failed = self.failed();
        let last_seq = self.last_seq();
        for path in inspect::files(&self.inspection.folder)? {
            quarantine::move_into(&self.folder, &path).map_err(&failed)?;
        }
        self.begin(last_seq).map_err(&failed)?;
        let line = format!(
            "the whole journal was moved aside; it begins anew after row {}, the last one that state.db knows",
            self.applied
        );
        self.repaired.lines.push(line);
        sync_folder(&self.inspection.folder).map_err(&failed)?;
        Ok(self.repaired)
    }

    /// The highest number that an event may have had.
    fn last_seq(&self) -> Seq {
        let after = self.inspection.damage.iter().flat_map(|damage| &damage.after).map(|(_, run)| run.last_seq);
        let highest = after.chain([self.end.last_seq, self.low_water]).max().unwrap_or_default();
        Seq(highest.0 + UNKNOWN_EVENTS)
    }

    /// Cuts what is damaged. Then begins a new file of the journal, if it ends before the documents do.
    fn cut(mut self, damage: Option<&Damage>) -> Result<Repaired, Error> {
        let failed = self.failed();
        if let Some(damage) = damage {
            self.repaired.lines.push(damage.to_string());
            self.rewrite_behind_damage(damage).map_err(&failed)?;
        }
        if self.end.row < self.applied {
            let line = format!(
                "rows {} to {} are missing in the journal; what they changed is in state.db, and events in them that no plugin had handled \
                 are lost",
                self.end.row + 1,
                self.applied
            );
            self.repaired.lines.push(line);
            let last_seq = self.last_seq();
            self.begin(last_seq).map_err(&failed)?;
        }
        sync_folder(&self.inspection.folder).map_err(&failed)?;
        Ok(self.repaired)
    }

    /// Moves all files aside from the damaged one on. Then writes the readable runs again whose rows `state.db` has already, or before which no
    /// row is missing that it does not have. The others are cut: they depend on missing rows.
    fn rewrite_behind_damage(&mut self, damage: &Damage) -> io::Result<()> {
        let files = inspect::files(&self.inspection.folder).map_err(io::Error::other)?;
        let affected: Vec<_> = files.into_iter().filter(|path| *path >= damage.path).collect();
        for path in &affected {
            quarantine::move_into(&self.folder, path)?;
        }
        if self.inspection.segments.is_empty() {
            self.end.row = damage.row;
        }
        if damage.offset > RECORDS_START {
            // The part before the damage, with the header.
            self.write(&damage.path, 0..damage.offset, None)?;
        }
        let (mut is_cut, end_before) = (false, self.end);
        for (path, run) in &damage.after {
            let missing = run.first_row - 1 - self.end.row;
            is_cut |= missing > 0 && run.first_row - 1 > self.applied;
            if is_cut {
                self.report_cut(
                    run.first_row,
                    run.last_row,
                    "stand after missing rows that state.db does not have; they were cut",
                );
                continue;
            }
            if missing > 0 {
                self.report_cut(self.end.row + 1, run.first_row - 1, "cannot be read; state.db has what they changed");
                self.record_gap(run.first_row - 1)?;
            }
            self.rewrite_run(path, run)?;
        }
        if damage.offset == RECORDS_START && self.end == end_before {
            // The file has no row before the damage, but it says at which row the journal continues.
            self.write(&damage.path, 0..RECORDS_START, None)?;
        }
        if damage.after.is_empty() {
            self.repaired.lines.push(format!("nothing after row {} can be read; it was cut", self.end.row));
        }
        Ok(())
    }

    fn report_cut(&mut self, first: i64, last: i64, what: &str) {
        self.repaired.lines.push(format!("rows {first} to {last} {what}"));
    }

    /// Writes a run of rows into a new file of the journal.
    fn rewrite_run(&mut self, path: &Path, run: &Run) -> io::Result<()> {
        let start = JournalPosition { row: run.first_row - 1, ..self.end };
        self.write(&self.inspection.folder.join(segment::name(start)), run.from..run.until, Some((path, start)))?;
        let bytes = run.until - run.from;
        self.end = JournalPosition { row: run.last_row, last_seq: run.last_seq, offset: start.offset + bytes };
        Ok(())
    }

    /// Writes the note that the rows from the end of the journal to `after` are missing.
    fn record_gap(&self, after: i64) -> io::Result<()> {
        let path = self.inspection.folder.join(inspect::gap_name(self.end.row, after));
        let text = format!("rows {} to {after} were lost; `switchbox repair` noted it\n", self.end.row + 1);
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Writes a part of a file that was moved aside. `from` is its name there and the position where the new file begins. It is
    /// `None` if the name is the same; the part then includes the header.
    fn write(&self, to: &Path, part: std::ops::Range<u64>, from: Option<(&Path, JournalPosition)>) -> io::Result<()> {
        let name = from.map_or(to, |(path, _)| path).file_name().unwrap_or_default();
        let mut bytes = from.map_or_else(Vec::new, |(_, start)| record::file_header(start).to_vec());
        let mut source = File::open(self.folder.join(name))?;
        io::Seek::seek(&mut source, io::SeekFrom::Start(part.start))?;
        source.take(part.end - part.start).read_to_end(&mut bytes)?;
        write_new(to, &bytes)
    }

    /// Begins a file after the last row that `state.db` knows. The journal's folder may be missing.
    fn begin(&mut self, last_seq: Seq) -> io::Result<()> {
        fs::create_dir_all(&self.inspection.folder)?;
        let start = JournalPosition { row: self.applied, last_seq, offset: self.end.offset };
        if self.end.row > 0 {
            self.record_gap(self.applied)?;
        }
        self.end = start;
        write_new(&self.inspection.folder.join(segment::name(start)), &record::file_header(start))
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    // The journal's files are whole blocks.
    let length = (bytes.len() as u64).max(RECORDS_START).next_multiple_of(4_096);
    file.set_len(length)?;
    file.sync_all()
}
