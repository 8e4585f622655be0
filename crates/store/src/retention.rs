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

/// Files are looked through for executions in which something happened no more often than this: a host that fills them
/// faster keeps those of some files only, and of these no more than the first.
const SCAN_INTERVAL: Duration = Duration::from_secs(10);
/// Executions that are kept of such a file, and as many more that failed, took long or were tried again.
const MAX_SCANNED: usize = 1_000;
/// How far after an event its execution is looked for, bytes and pages of that size.
const PAGE_BYTES: usize = 1024 * 1024;
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

/// Remembers between two trimmings what the documents refer to, so that they are read through once for as much of the
/// journal as is kept, not for each file.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// All references to events before this one are known.
    horizon: Seq,
    known: BTreeMap<Seq, Vec<Reference>>,
    looked: Option<Instant>,
    /// Files went since then without being looked through.
    hurries: bool,
}

impl Retention {
    /// What to write before the files up to and with `row` go. All events before `low_water` are handled, and the
    /// documents show it.
    pub(super) fn before(&mut self, reader: &Reader, row: i64, low_water: Seq) -> Result<KeptChange, Error> {
        let mut change = KeptChange::default();
        let Some(trimmed) = reader.oldest_files(row) else { return Ok(change) };
        if trimmed.last >= self.horizon {
            self.read_references(&reader.documents(), trimmed.before, &mut change)?;
            self.horizon = low_water;
        }
        self.known = self.known.split_off(&Seq(trimmed.before.0 + 1));
        for (seq, references) in self.known.range(..=trimmed.last) {
            for reference in references {
                if is_stored(&reader.documents(), reference.document)? {
                    change.keep.push((find(reader, *seq, reference)?, KeepReason::Referenced));
                }
            }
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= SCAN_INTERVAL) {
            self.looked = Some(Instant::now());
            let hurries = std::mem::take(&mut self.hurries);
            scan_executions(reader, trimmed.first_file, hurries, &mut change)?;
        } else {
            self.hurries = true;
        }
        Ok(change)
    }

    /// Reads what all documents refer to.
    fn read_references(&mut self, db: &Connection, after: Seq, change: &mut KeptChange) -> Result<(), Error> {
        self.known.clear();
        let mut all = HashSet::new();
        let mut record = |document, cause: &str| {
            if let Ok(Cause::Plugin { seq, plugin, attempt, .. }) = serde_json::from_str(cause) {
                all.insert(seq);
                if seq > after {
                    self.known.entry(seq).or_default().push(Reference { plugin, attempt, document });
                }
            }
        };
        columns::each(db, "SELECT device, version, cause FROM config", |r| {
            record(Document::Config { device: r.get(0)?, version: r.get(1)? }, r.get_ref(2)?.as_str()?);
            Ok(())
        })?;
        columns::each(db, "SELECT device, num, cause FROM command", |r| {
            record(Document::Command { device: r.get(0)?, num: r.get(1)? }, r.get_ref(2)?.as_str()?);
            Ok(())
        })?;
        columns::each(db, "SELECT DISTINCT seq, referenced FROM kept", |r| {
            let (seq, referenced): (_, bool) = (Seq(r.get(0)?), r.get(1)?);
            match (referenced, all.contains(&seq)) {
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

/// Executions with results, with their events if those are in the same file. A caller that is short of time stops when there are
/// enough notable ones.
fn scan_executions(
    reader: &Reader,
    (first, last): (i64, i64),
    hurries: bool,
    change: &mut KeptChange,
) -> Result<(), Error> {
    let mut events: HashMap<Seq, (Event, Option<EffectKey>)> = HashMap::new();
    let (mut from, mut taken) = (first, 0);
    while from <= last && !(hurries && taken >= MAX_SCANNED) {
        let page = reader.journal_page(from, PAGE_BYTES)?;
        if page.rows.is_empty() {
            break;
        }
        from = page.next;
        for entry in page.rows.into_iter().filter(|row| row.row <= last).flat_map(|row| row.entries) {
            match entry {
                Entry::Handled(run) => {
                    for handled in run.each().filter(Handled::is_interesting) {
                        let most = if handled.is_notable() { 2 * MAX_SCANNED } else { MAX_SCANNED };
                        if taken >= most {
                            continue;
                        }
                        taken += 1;
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
