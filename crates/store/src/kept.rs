//! Executions and events that outlive the journal, in a table of `state.db`.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::Error;
use switchbox_model::{EffectKey, Event, Handled, Seq};

/// An event, what a plugin made of it, or both.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KeptRecord {
    pub event: Option<Event>,
    pub handled: Option<Handled>,
    /// The effect that caused the event. It has a separate column: an event may be kept twice, and only one of the two has it.
    #[serde(skip)]
    pub by: Option<EffectKey>,
}

/// What is written before files of the journal are deleted.
#[derive(Debug, Default)]
pub(super) struct KeptChange {
    pub(super) keep: Vec<(KeptRecord, KeepReason)>,
    /// No document refers to the effects of these any more.
    pub(super) released: Vec<Seq>,
    /// A document refers to the effects of these, which were kept for another reason.
    pub(super) claimed: Vec<Seq>,
}

/// Why a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepReason {
    /// A document refers to it.
    Referenced,
    /// The execution has effects or log lines, failed, was tried again or took long. The oldest of these are deleted if there are too many.
    Interesting,
}

/// Writes the new kept records and deletes the oldest unreferenced ones beyond `bytes`.
pub(super) fn write(db: &Connection, change: &KeptChange, bytes: u64) -> Result<(), Error> {
    let tx = db.unchecked_transaction()?;
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

/// Inserts a record, or completes the one that exists.
fn put(db: &Connection, kept: &KeptRecord, why: KeepReason) -> Result<(), Error> {
    let key = match (&kept.handled, &kept.event) {
        (Some(handled), _) => (handled.seq.0, handled.plugin.as_str(), handled.attempt),
        (None, Some(event)) => (event.seq.0, "", 0),
        (None, None) => return Ok(()),
    };
    let by = kept.by.as_ref().map(ToString::to_string);
    let body = postcard::to_stdvec(kept).map_err(|e| Error::Sqlite(e.to_string()))?;
    // If the record exists already, the larger one stays: it has the event.
    db.prepare_cached(
        "INSERT INTO kept (seq, plugin, attempt, referenced, size, body, came_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (seq, plugin, attempt) DO UPDATE SET
            referenced = max(referenced, excluded.referenced),
            body = CASE WHEN excluded.size > size THEN excluded.body ELSE body END,
            size = max(size, excluded.size),
            came_of = coalesce(excluded.came_of, came_of)",
    )?
    .execute(params![key.0, key.1, key.2, why == KeepReason::Referenced, body.len(), body, by])?;
    Ok(())
}

/// Keeps the event of a dead letter that is removed: a document may refer to it if the dead letter was redriven.
pub(super) fn put_event(db: &Connection, event: Event) -> Result<(), Error> {
    put(db, &KeptRecord { event: Some(event), ..KeptRecord::default() }, KeepReason::Interesting)
}

/// Decodes the columns `body` and `came_of`.
pub(super) fn read(body: &[u8], by: Option<&str>) -> Result<KeptRecord, Error> {
    let kept: KeptRecord =
        postcard::from_bytes(body).map_err(|e| Error::Sqlite(format!("a kept execution cannot be read: {e}")))?;
    Ok(KeptRecord { by: by.and_then(|by| by.parse().ok()), ..kept })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{columns, schema};
    use switchbox_model::{EventData, Outcome, PluginName};

    fn kept(seq: u64) -> KeptRecord {
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
        KeptRecord { event: Some(event), handled: Some(handled), by: None }
    }

    #[test]
    fn the_cause_of_an_event_is_kept_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = schema::open_writer(folder.path()).unwrap();
        let by: Option<EffectKey> = "7.wake.1".parse().ok();
        let of_effect = KeptRecord { by: by.clone(), ..kept(1) };
        // The first record again, written by code without its cause.
        let keep = [of_effect, kept(1), kept(2)].map(|kept| (kept, KeepReason::Interesting)).into();
        write(&db, &KeptChange { keep, ..KeptChange::default() }, 10_000).unwrap();
        let mut found = Vec::new();
        columns::for_each_row(&db, "SELECT body, came_of FROM kept ORDER BY seq", |r| {
            let (body, by): (Vec<u8>, Option<String>) = (r.get(0)?, r.get(1)?);
            found.push(read(&body, by.as_deref()).unwrap().by);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [by, None]);
    }

    fn seqs(db: &Connection) -> Vec<u64> {
        let mut found = Vec::new();
        columns::for_each_row(db, "SELECT seq FROM kept ORDER BY num", |r| {
            found.push(r.get(0)?);
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn the_oldest_go_that_no_document_refers_to() {
        let folder = tempfile::tempdir().unwrap();
        let db = schema::open_writer(folder.path()).unwrap();
        let keep = vec![
            (kept(1), KeepReason::Referenced),
            (kept(2), KeepReason::Interesting),
            (kept(3), KeepReason::Interesting),
            (kept(4), KeepReason::Interesting),
        ];
        write(&db, &KeptChange { keep, ..KeptChange::default() }, 2_500).unwrap();
        assert_eq!(seqs(&db), [1, 3, 4]);
        write(&db, &KeptChange { released: vec![Seq(1)], claimed: vec![Seq(3)], ..KeptChange::default() }, 1_500)
            .unwrap();
        assert_eq!(seqs(&db), [3, 4], "released, it is the oldest");
        write(&db, &KeptChange { keep: vec![(kept(3), KeepReason::Interesting)], ..KeptChange::default() }, 0).unwrap();
        assert_eq!(seqs(&db), [3], "what is claimed stays so");
    }
}
