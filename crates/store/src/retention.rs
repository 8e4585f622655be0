//! What outlives the trimming of the log: the events and executions that explain a document which is still there, and, as
//! long as there is room, executions in which something happened. Looks before the files go; writes nothing itself.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{Error, documents, reader::Reader};
use switchbox_model::{Cause, EffectKey, Entry, Event, Handled, PluginName, Seq};

/// Files are looked through for executions in which something happened no more often than this: a host that fills them
/// faster keeps those of some files only, and of these no more than the first.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Executions that are kept of such a file, and as many more that failed, took long or were tried again.
const LOOK_MOST: usize = 1_000;
/// How far behind an event its execution is looked for, bytes and pages of that size.
const PAGE_BYTES: usize = 1024 * 1024;
const PAGES: usize = 32;

/// An event, what a plugin made of it, or both.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Kept {
    pub event: Option<Event>,
    pub handled: Option<Handled>,
    /// The effect that the event came of. In a column of its own: older rows have none.
    #[serde(skip)]
    pub by: Option<EffectKey>,
}

/// What is to be written before the files go.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) keep: Vec<(Kept, Why)>,
    /// No document refers to what came of these any more.
    pub(super) released: Vec<Seq>,
    /// A document refers to what came of these, which was kept for another reason.
    pub(super) claimed: Vec<Seq>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A document refers to it.
    Referenced,
    /// Something happened in it; the oldest make room.
    Interesting,
}

/// A document that is there because of an execution.
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
/// log as is kept, not for each file.
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
    pub(super) fn before(&mut self, reader: &Reader, row: i64, low_water: Seq) -> Result<Change, Error> {
        let mut change = Change::default();
        let Some(trimmed) = reader.oldest_files(row) else { return Ok(change) };
        if trimmed.last >= self.horizon {
            self.learn(&reader.documents(), trimmed.before, &mut change)?;
            self.horizon = low_water;
        }
        self.known = self.known.split_off(&Seq(trimmed.before.0 + 1));
        for (seq, references) in self.known.range(..=trimmed.last) {
            for reference in references {
                if still(&reader.documents(), reference.document)? {
                    change.keep.push((find(reader, *seq, reference)?, Why::Referenced));
                }
            }
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            let hurries = std::mem::take(&mut self.hurries);
            look_through(reader, trimmed.first_file, hurries, &mut change)?;
        } else {
            self.hurries = true;
        }
        Ok(change)
    }

    /// Reads what all documents refer to.
    fn learn(&mut self, db: &Connection, after: Seq, change: &mut Change) -> Result<(), Error> {
        self.known.clear();
        let mut all = HashSet::new();
        let mut note = |document, cause: &str| {
            if let Ok(Cause::Plugin { seq, plugin, attempt, .. }) = serde_json::from_str(cause) {
                all.insert(seq);
                if seq > after {
                    self.known.entry(seq).or_default().push(Reference { plugin, attempt, document });
                }
            }
        };
        documents::each(db, "SELECT device, version, cause FROM config", |r| {
            note(Document::Config { device: r.get(0)?, version: r.get(1)? }, r.get_ref(2)?.as_str()?);
            Ok(())
        })?;
        documents::each(db, "SELECT device, num, cause FROM command", |r| {
            note(Document::Command { device: r.get(0)?, num: r.get(1)? }, r.get_ref(2)?.as_str()?);
            Ok(())
        })?;
        documents::each(db, "SELECT DISTINCT seq, referenced FROM kept", |r| {
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

fn still(db: &Connection, document: Document) -> Result<bool, Error> {
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

fn find(reader: &Reader, seq: Seq, reference: &Reference) -> Result<Kept, Error> {
    let mut kept = Kept::default();
    let mut row = reader.row_of(seq)?;
    for _ in 0..PAGES {
        let Some(from) = row else { break };
        let page = reader.log_page(from, PAGE_BYTES)?;
        row = (!page.rows.is_empty()).then_some(page.next);
        for entry in page.rows.into_iter().flat_map(|row| row.entries) {
            match entry {
                Entry::Handled(handled) if handled.seq == seq && is_of(&handled, reference) => {
                    kept.handled = Some(handled);
                    return Ok(kept);
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

/// Executions in which something happened, with their events where those stand in the same file. A caller in a hurry does not look
/// for more that are notable when there are enough.
fn look_through(reader: &Reader, (first, last): (i64, i64), hurries: bool, change: &mut Change) -> Result<(), Error> {
    let mut events: HashMap<Seq, (Event, Option<EffectKey>)> = HashMap::new();
    let (mut from, mut taken) = (first, 0);
    while from <= last && !(hurries && taken >= LOOK_MOST) {
        let page = reader.log_page(from, PAGE_BYTES)?;
        if page.rows.is_empty() {
            break;
        }
        from = page.next;
        for entry in page.rows.into_iter().filter(|row| row.row <= last).flat_map(|row| row.entries) {
            match entry {
                Entry::Handled(handled) if handled.is_interesting() => {
                    let most = if handled.is_notable() { 2 * LOOK_MOST } else { LOOK_MOST };
                    if taken >= most {
                        continue;
                    }
                    taken += 1;
                    let (event, by) = events.get(&handled.seq).cloned().unzip();
                    let kept = Kept { event, handled: Some(handled), by: by.flatten() };
                    change.keep.push((kept, Why::Interesting));
                }
                entry => events.extend(entry.into_events_by().map(|(event, by)| (event.seq, (event, by)))),
            }
        }
    }
    Ok(())
}

/// Writes what is to be kept and lets go of the oldest that nothing refers to, past `bytes`.
pub(super) fn write(db: &mut Connection, change: &Change, bytes: u64) -> Result<(), Error> {
    let tx = db.transaction()?;
    for Seq(seq) in &change.released {
        tx.prepare_cached("UPDATE kept SET referenced = 0 WHERE seq = ?1")?.execute([seq])?;
    }
    for Seq(seq) in &change.claimed {
        tx.prepare_cached("UPDATE kept SET referenced = 1 WHERE seq = ?1")?.execute([seq])?;
    }
    for (kept, why) in &change.keep {
        put(&tx, kept, *why)?;
    }
    tx.execute(
        "DELETE FROM kept WHERE referenced = 0 AND num <= (SELECT max(num) FROM
            (SELECT num, sum(size) OVER (ORDER BY num DESC) AS newer FROM kept WHERE referenced = 0) WHERE newer > ?1)",
        [bytes],
    )?;
    Ok(tx.commit()?)
}

fn put(db: &Connection, kept: &Kept, why: Why) -> Result<(), Error> {
    let key = match (&kept.handled, &kept.event) {
        (Some(handled), _) => (handled.seq.0, handled.plugin.as_str(), handled.attempt),
        (None, Some(event)) => (event.seq.0, "", 0),
        (None, None) => return Ok(()),
    };
    let by = kept.by.as_ref().map(ToString::to_string);
    let body = postcard::to_stdvec(kept).map_err(|e| Error::Sqlite(e.to_string()))?;
    // Once with its event and once without: with it.
    db.prepare_cached(
        "INSERT INTO kept (seq, plugin, attempt, referenced, size, body, came_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (seq, plugin, attempt) DO UPDATE SET
            referenced = max(referenced, excluded.referenced),
            body = CASE WHEN excluded.size > size THEN excluded.body ELSE body END,
            size = max(size, excluded.size),
            came_of = coalesce(excluded.came_of, came_of)",
    )?
    .execute(params![key.0, key.1, key.2, why == Why::Referenced, body.len(), body, by])?;
    Ok(())
}

/// The event of a dead letter that goes: a document may refer to it, when the letter was driven again.
pub(super) fn put_event(db: &Connection, event: Event) -> Result<(), Error> {
    put(db, &Kept { event: Some(event), ..Kept::default() }, Why::Interesting)
}

/// Of the columns `body` and `came_of`.
pub(super) fn read(body: &[u8], by: Option<&str>) -> Result<Kept, Error> {
    let kept: Kept =
        postcard::from_bytes(body).map_err(|e| Error::Sqlite(format!("a kept execution cannot be read: {e}")))?;
    Ok(Kept { by: by.and_then(|by| by.parse().ok()), ..kept })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;
    use switchbox_model::{EventData, Outcome};

    fn kept(seq: u64) -> Kept {
        let data = EventData::Topic { topic: "t".into(), payload: vec![0; 1_000].into(), properties: vec![] };
        let event = Event { seq: Seq(seq), time_ms: 0, device: None, durable: true, data };
        let handled = Handled {
            plugin: PluginName::new("relay").unwrap(),
            digest: "sha256:0".into(),
            seq: Seq(seq),
            attempt: 1,
            time_ms: 0,
            took_us: 7,
            logs: vec![],
            outcome: Outcome::Done { effects: vec![] },
        };
        Kept { event: Some(event), handled: Some(handled), by: None }
    }

    #[test]
    fn what_an_event_came_of_is_kept_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = schema::open_writer(folder.path()).unwrap();
        let by: Option<EffectKey> = "7.wake.1".parse().ok();
        let of_effect = Kept { by: by.clone(), ..kept(1) };
        // The same again, from a place where its cause was not to be seen.
        let keep = [of_effect, kept(1), kept(2)].map(|kept| (kept, Why::Interesting)).into();
        write(&mut db, &Change { keep, ..Change::default() }, 10_000).unwrap();
        let mut found = Vec::new();
        documents::each(&db, "SELECT body, came_of FROM kept ORDER BY seq", |r| {
            let (body, by): (Vec<u8>, Option<String>) = (r.get(0)?, r.get(1)?);
            found.push(read(&body, by.as_deref()).unwrap().by);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [by, None]);
    }

    fn seqs(db: &Connection) -> Vec<u64> {
        let mut found = Vec::new();
        documents::each(db, "SELECT seq FROM kept ORDER BY num", |r| {
            found.push(r.get(0)?);
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn the_oldest_go_that_no_document_refers_to() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = schema::open_writer(folder.path()).unwrap();
        let keep = vec![
            (kept(1), Why::Referenced),
            (kept(2), Why::Interesting),
            (kept(3), Why::Interesting),
            (kept(4), Why::Interesting),
        ];
        write(&mut db, &Change { keep, ..Change::default() }, 2_500).unwrap();
        assert_eq!(seqs(&db), [1, 3, 4]);
        write(&mut db, &Change { released: vec![Seq(1)], claimed: vec![Seq(3)], ..Change::default() }, 1_500).unwrap();
        assert_eq!(seqs(&db), [3, 4], "released, it is the oldest");
        write(&mut db, &Change { keep: vec![(kept(3), Why::Interesting)], ..Change::default() }, 0).unwrap();
        assert_eq!(seqs(&db), [3], "what is claimed stays so");
    }
}
