//! Reads of what is not committed yet: they see it, commit nothing, and lose nothing when they fail.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
};

use bytes::Bytes;

use super::*;
use crate::{docs::ConfigVersion, queries, schema};
use switchbox_journal::{Journal, record};
use switchbox_model::{Cause, DeviceNum, Entry};

const LAMP: DeviceNum = DeviceNum(7);

fn config(version: u64) -> Doc {
    let (payload, cause) = (Bytes::from_static(b"on"), Cause::Api { caller: "operator".into() });
    Doc::Config(Arc::new(ConfigVersion { device: LAMP, version, time_ms: 0, payload, cause, acknowledged_ms: None }))
}

/// The versions that this connection sees, newest first.
fn versions(db: &Connection) -> Vec<u64> {
    queries::configs(db, LAMP, 9).unwrap().iter().map(|config| config.version).collect()
}

/// `None` if the read panics.
fn read<T: Send + 'static>(
    pending: &mut PendingDocuments<'_>,
    read: impl FnOnce(&Connection) -> T + Send + 'static,
) -> Option<T> {
    let (found, reply) = mpsc::sync_channel(1);
    pending.read(Box::new(move |db| found.send(read(db)).unwrap())).unwrap();
    reply.try_recv().ok()
}

/// Rows that are written but not on the disk.
fn journal(folder: &Path, rows: i64) -> Journal {
    let mut journal = Journal::open(folder).unwrap();
    for _ in 0..rows {
        let mut bytes = Vec::new();
        record::begin(&mut bytes);
        record::encode(&Entry::Barrier, &mut bytes).unwrap();
        journal.append(&mut bytes, Seq(0), false).unwrap();
    }
    journal
}

#[test]
fn a_read_sees_what_is_committed_only_later_after_the_journal_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let files = journal(folder.path(), 2).files().clone();
    let mut db = schema::open_writer(folder.path()).unwrap();
    let durable = Arc::new(AtomicI64::new(-1));
    let (of_journal, at_commit) = (files.clone(), durable.clone());
    let hook = move || {
        at_commit.store(of_journal.durable_row(), Ordering::Relaxed);
        false
    };
    db.commit_hook(Some(hook)).unwrap();
    let other = schema::open_reader(folder.path()).unwrap();
    let mut pending = PendingDocuments::new(&db, &files);
    for row in [1_i64, 2] {
        pending.add(row, vec![config(row.unsigned_abs())]);
        let expected: Vec<_> = (1..=row.unsigned_abs()).rev().collect();
        assert_eq!(read(&mut pending, versions), Some(expected));
    }
    assert_eq!((versions(&other), durable.load(Ordering::Relaxed)), (vec![], -1), "a read committed");
    assert_eq!((pending.changes(), pending.since().is_some()), (2, true), "they wait for their commit");
    pending.commit(Some(Seq(5))).unwrap();
    assert_eq!((versions(&other), documents::applied(&other).unwrap()), (vec![2, 1], 2));
    assert_eq!(durable.load(Ordering::Relaxed), 2, "the journal could lose rows that were committed");
    assert_eq!((pending.changes(), pending.since().is_some()), (0, false));
}

#[test]
fn a_read_that_fails_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = journal(folder.path(), 3).files().clone();
    let db = schema::open_writer(folder.path()).unwrap();
    let other = schema::open_reader(folder.path()).unwrap();
    let mut pending = PendingDocuments::new(&db, &files);
    pending.add(1, vec![config(1)]);
    assert_eq!(read(&mut pending, versions), Some(vec![1]));
    pending.add(2, vec![config(2)]);
    assert_eq!(read(&mut pending, |db| db.prepare("SELECT nothing").is_err()), Some(true));
    assert_eq!(read(&mut pending, |_| panic!("a defect of the read")), None::<()>);
    // As SQLite does it when there is no memory for the read.
    assert_eq!(read(&mut pending, |db| db.execute_batch("ROLLBACK").is_ok()), Some(true));
    assert_eq!(read(&mut pending, versions), Some(vec![2, 1]));
    pending.add(3, vec![config(3)]);
    pending.commit(None).unwrap();
    assert_eq!((versions(&other), documents::applied(&other).unwrap()), (vec![3, 2, 1], 3));
}
