//! Finds what has to be kept before the journal is trimmed: events and executions that explain a current document, and, as long as there is
//! room, executions with effects. The materialiser writes it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Error, columns,
    kept::{KeepReason, KeptChange, KeptRecord},
    reader::Reader,
};
use switchbox_model::{Cause, EffectKey, Entry, Event, Handled, PluginName, Seq};

/// The shortest time between two scans of files for interesting executions. A host that fills files faster skips some of them, and then scans
/// the next one only until [`MAX_SCANNED`] executions are found.
const SCAN_INTERVAL: Duration = Duration::from_secs(10);
/// Executions that are kept of a scanned file, and as many more that failed, took long or were tried again.
const MAX_SCANNED: usize = 1_000;
/// Bytes of the journal that are read at once.
const PAGE_BYTES: usize = 1024 * 1024;
/// Pages of the journal after an event in which its execution is searched.
const PAGES: usize = 32;

/// A document that exists because of an execution.
#[derive(Debug, Clone)]
struct Reference {
    plugin: PluginName,
    attempt: u32,
    document: Document,
}

#[derive(Debug, Clone, Copy)]
enum Document {
    Config { device: u64, version: u64 },
    Command { device: u64, num: u64 },
}

/// What the documents refer to, kept between two trims: the documents are so read once for as much of the journal as is kept, and not for each
/// file.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// `references` has all references to events before this one.
    horizon: Seq,
    /// The documents that exist because of executions, by the event.
    references: BTreeMap<Seq, Vec<Reference>>,
    /// When files were last scanned for interesting executions.
    last_scan: Option<Instant>,
    /// Whether files were deleted since the last scan that were not scanned.
    has_skipped: bool,
}

impl Retention {
    /// What to write before the files up to and with `row` are deleted. All events before `low_water` are handled, and the
    /// documents show it.
    pub(super) fn change_before_trim(
        &mut self,
        reader: &Reader,
        row: i64,
        low_water: Seq,
    ) -> Result<KeptChange, Error> {
        let mut change = KeptChange::default();
        let Some(trimmed) = reader.oldest_files(row) else { return Ok(change) };
        if trimmed.last_seq >= self.horizon {
            self.read_references(&reader.documents(), trimmed.seq_before, &mut change)?;
            self.horizon = low_water;
        }
        self.references = self.references.split_off(&Seq(trimmed.seq_before.0 + 1));
        for (seq, references) in self.references.range(..=trimmed.last_seq) {
            for reference in references {
                if is_stored(&reader.documents(), reference.document)? {
                    change.keep.push((find(reader, *seq, reference)?, KeepReason::Referenced));
                }
            }
        }
        if self.last_scan.is_none_or(|last_scan| last_scan.elapsed() >= SCAN_INTERVAL) {
            self.last_scan = Some(Instant::now());
            let has_skipped = std::mem::take(&mut self.has_skipped);
            scan_executions(reader, trimmed.first_file, has_skipped, &mut change)?;
        } else {
            self.has_skipped = true;
        }
        Ok(change)
    }

    /// Reads what all documents refer to.
    fn read_references(&mut self, db: &Connection, after: Seq, change: &mut KeptChange) -> Result<(), Error> {
        self.references.clear();
        let mut referenced_events = HashSet::new();
        let mut record = |document, cause: &str| {
            if let Ok(Cause::Plugin { seq, plugin, attempt, .. }) = serde_json::from_str(cause) {
                referenced_events.insert(seq);
                if seq > after {
                    self.references.entry(seq).or_default().push(Reference { plugin, attempt, document });
                }
            }
        };
        columns::for_each_row(db, "SELECT device, version, cause FROM config", |r| {
            record(Document::Config { device: r.get(0)?, version: r.get(1)? }, r.get_ref(2)?.as_str()?);
            Ok(())
        })?;
        columns::for_each_row(db, "SELECT device, num, cause FROM command", |r| {
            record(Document::Command { device: r.get(0)?, num: r.get(1)? }, r.get_ref(2)?.as_str()?);
            Ok(())
        })?;
        columns::for_each_row(db, "SELECT DISTINCT seq, referenced FROM kept", |r| {
            let (seq, referenced): (_, bool) = (Seq(r.get(0)?), r.get(1)?);
            match (referenced, referenced_events.contains(&seq)) {
                (true, false) => change.released.push(seq),
                (false, true) => change.claimed.push(seq),
                _ => {}
            }
            Ok(())
        })
    }
}

fn is_stored(db: &Connection, document: Document) -> Result<bool, Error> {
    let found: Option<i64> = match document {
        Document::Config { device, version } => db
            .prepare_cached("SELECT 1 FROM config WHERE device = ?1 AND version = ?2")?
            .query_row(params![device, version], |r| r.get(0))
            .optional()?,
        Document::Command { device, num } => db
            .prepare_cached("SELECT 1 FROM command WHERE device = ?1 AND num = ?2")?
            .query_row(params![device, num], |r| r.get(0))
            .optional()?,
    };
    Ok(found.is_some())
}

/// Reads the execution that a document refers to, and its event.
fn find(reader: &Reader, seq: Seq, reference: &Reference) -> Result<KeptRecord, Error> {
    let mut kept = KeptRecord::default();
    let mut row = reader.row_of(seq)?;
    for _ in 0..PAGES {
        let Some(from) = row else { break };
        let page = reader.journal_page(from, PAGE_BYTES)?;
        row = (!page.rows.is_empty()).then_some(page.next);
        for entry in page.rows.into_iter().flat_map(|row| row.entries) {
            match entry {
                Entry::Handled(run) => {
                    kept.handled = run.each().find(|handled| handled.seq == seq && is_of(handled, reference));
                    if kept.handled.is_some() {
                        return Ok(kept);
                    }
                }
                entry if kept.event.is_none() => {
                    if let Some((event, by)) = entry.into_event(seq) {
                        (kept.event, kept.by) = (Some(event), by);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(kept)
}

fn is_of(handled: &Handled, reference: &Reference) -> bool {
    handled.plugin == reference.plugin && handled.attempt == reference.attempt
}

/// Executions with results, with their events if those are in the same file. `has_skipped`: stops when [`MAX_SCANNED`] are found.
fn scan_executions(
    reader: &Reader,
    (first, last): (i64, i64),
    has_skipped: bool,
    change: &mut KeptChange,
) -> Result<(), Error> {
    let mut events: HashMap<Seq, (Event, Option<EffectKey>)> = HashMap::new();
    let (mut from, mut found) = (first, 0);
    while from <= last && !(has_skipped && found >= MAX_SCANNED) {
        let page = reader.journal_page(from, PAGE_BYTES)?;
        if page.rows.is_empty() {
            break;
        }
        from = page.next;
        for entry in page.rows.into_iter().filter(|row| row.row <= last).flat_map(|row| row.entries) {
            match entry {
                Entry::Handled(run) => {
                    for handled in run.each().filter(Handled::is_interesting) {
                        let max = if handled.is_notable() { 2 * MAX_SCANNED } else { MAX_SCANNED };
                        if found >= max {
                            continue;
                        }
                        found += 1;
                        let (event, by) = events.get(&handled.seq).cloned().unzip();
                        let kept = KeptRecord { event, handled: Some(handled), by: by.flatten() };
                        change.keep.push((kept, KeepReason::Interesting));
                    }
                }
                entry => events.extend(entry.into_events_by().map(|(event, by)| (event.seq, (event, by)))),
            }
        }
    }
    Ok(())
}
