//! How often the thread commits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use bytes::Bytes;

use super::*;
use crate::{docs::ConfigVersion, queries, schema};
use switchbox_journal::Journal;
use switchbox_model::{Cause, DeviceNum};

const LAMP: DeviceNum = DeviceNum(7);
const ROUNDS: u64 = 60;

fn config(version: u64) -> Doc {
    let (payload, cause) = (Bytes::from_static(b"on"), Cause::Api { caller: "operator".into() });
    Doc::Config(Arc::new(ConfigVersion { device: LAMP, version, time_ms: 0, payload, cause, acknowledged_ms: None }))
}

#[test]
fn reads_beside_writes_see_each_write_and_do_not_make_commits_more_frequent() {
    let folder = tempfile::tempdir().unwrap();
    let files = Journal::open(folder.path()).unwrap().files().clone();
    let mut db = schema::open_writer(folder.path()).unwrap();
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = commits.clone();
    let hook = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    db.commit_hook(Some(hook)).unwrap();
    let (requests, work) = mpsc::sync_channel(8);
    let thread = thread::spawn(move || run(db, &files, &work, 0, &|error| panic!("{error}")));
    let begun = Instant::now();
    for version in 1..=ROUNDS {
        let row = i64::try_from(version).unwrap();
        requests.send(MaterialiserRequest::Docs { row, docs: vec![config(version)] }).unwrap();
        let (found, newest) = mpsc::sync_channel(1);
        let read: DocumentRead =
            Box::new(move |db| found.send(queries::configs(db, LAMP, 1).unwrap()[0].version).unwrap());
        requests.send(MaterialiserRequest::Read(read)).unwrap();
        assert_eq!(newest.recv(), Ok(version), "what was submitted before");
    }
    let most = begun.elapsed().as_millis() / GATHER.as_millis();
    let made = commits.load(Ordering::Relaxed);
    assert!(made as u128 <= most, "{made} commits for {ROUNDS} reads; {most} were due");
    drop(requests);
    thread.join().unwrap();
    let after = schema::open_reader(folder.path()).unwrap();
    assert_eq!(queries::configs(&after, LAMP, 1).unwrap()[0].version, ROUNDS);
}
