//! Whatever happens to the bytes of a data folder, a start never silently loses an acknowledged record that is whole, and it
//! changes nothing when it refuses.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use switchbox_journal::{Journal, record};
use switchbox_model::{Entry, Event, EventData, Seq};

use crate::{Error, decide::decide, documents, schema, write_batch::WriteBatch};

const SMALL: u64 = 4_096;
pub(super) const ROWS: i64 = 60;
/// The documents are a little behind.
pub(super) const APPLIED: i64 = 50;

/// A record of the journal as it was written.
pub(super) struct TestRecord {
    pub(super) path: PathBuf,
    pub(super) bytes: Range<usize>,
    pub(super) row: i64,
    acknowledged: bool,
}

fn append(journal: &mut Journal, row: i64, durable: bool) -> TestRecord {
    let seq = Seq(row.cast_unsigned());
    let data = EventData::Telemetry { subfolder: String::new(), payload: vec![7; 200].into(), properties: vec![] };
    let mut record = Vec::new();
    record::begin(&mut record);
    let event = Event { seq, time_ms: 0, device: None, durable, data };
    record::encode(&Entry::of_events(vec![event]), &mut record).unwrap();
    journal.append(&mut record, seq, durable).unwrap();
    let (path, used) = journal.files().last_file();
    let end = usize::try_from(used).unwrap();
    TestRecord { path, bytes: end - record.len()..end, row, acknowledged: durable }
}

/// A folder as a crash leaves it.
pub(super) fn folder() -> (tempfile::TempDir, Vec<TestRecord>) {
    let data = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(data.path(), SMALL).unwrap();
    let written = (1..=ROWS).map(|row| append(&mut journal, row, row % 3 != 0)).collect();
    let state = schema::open_writer(data.path()).unwrap();
    documents::commit(&state, &WriteBatch { row: APPLIED, ..WriteBatch::default() }).unwrap();
    // Closed, it would have no write-ahead log.
    std::mem::forget(state);
    (data, written)
}

/// Every file with its bytes. The index of SQLite's write-ahead log is memory that processes share, and says nothing.
pub(super) fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes(&path));
        } else if path.extension().is_none_or(|extension| extension != "db-shm") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Changes a file, and gives what undoes it.
fn changed(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> impl FnOnce() {
    let before = fs::read(path).unwrap();
    let mut after = before.clone();
    change(&mut after);
    let (first, until) = (before.iter().zip(&after).position(|(a, b)| a != b), before.len().min(after.len()));
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(after.len() as u64).unwrap();
    let until = first.map_or(0, |_| until);
    file.write_all_at(&after[first.unwrap_or(0)..until], first.unwrap_or(0) as u64).unwrap();
    let path = path.to_owned();
    move || fs::write(path, before).unwrap()
}

/// Panics when an acknowledged record that is still whole would be lost.
fn judge(data: &Path, written: &[TestRecord], originals: &BTreeMap<PathBuf, Vec<u8>>, what: &str) -> bool {
    let before = bytes(data);
    let decided = decide(data);
    assert!(before == bytes(data), "{what}: deciding changed the folder");
    match decided {
        Err(Error::Damaged(text)) => {
            assert!(text.contains("switchbox repair") || text.contains("switchbox restore"), "{text}");
            true
        }
        Err(Error::OtherVersion { .. }) => true,
        Err(error) => panic!("{what}: {error}"),
        Ok(decided) => {
            let end = decided.inspection.end().row;
            let whole = |record: &&TestRecord| {
                record.acknowledged
                    && before[&record.path].get(record.bytes.clone())
                        == originals[&record.path].get(record.bytes.clone())
            };
            let lost = written.iter().filter(whole).find(|record| record.row > end);
            assert!(lost.is_none(), "{what}: row {} is lost", lost.unwrap().row);
            assert!(end >= decided.applied, "{what}");
            false
        }
    }
}

#[test]
fn no_acknowledged_record_is_lost_without_a_word_whatever_happens_to_the_journal() {
    let (data, written) = folder();
    let originals = bytes(data.path());
    assert!(!judge(data.path(), &written, &originals, "nothing"));
    let files: Vec<_> = originals.keys().filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    assert!(files.len() >= 4, "{files:?}");
    let (mut refused, mut taken) = (0, 0);
    let mut check = |path: &Path, what: String, change: &dyn Fn(&mut Vec<u8>)| {
        let undo = changed(path, change);
        let is_refused = judge(data.path(), &written, &originals, &format!("{}: {what}", path.display()));
        undo();
        *(if is_refused { &mut refused } else { &mut taken }) += 1;
    };
    for (index, path) in files.iter().enumerate() {
        let used = written.iter().filter(|record| &record.path == *path).map(|record| record.bytes.end).max().unwrap();
        // Each file in other places, and the last one in more.
        let (from, step) = (index * 13, if index + 1 == files.len() { 29 } else { 211 });
        for at in (from..used + 100).step_by(step) {
            check(path, format!("byte {at} is flipped"), &|bytes| bytes[at] ^= 0x10);
            check(path, format!("it ends at {at}"), &|bytes| bytes.truncate(at));
            check(path, format!("512 bytes are zero from {at}"), &|bytes| bytes[at / 512 * 512..][..512].fill(0));
        }
    }
    assert!(refused > 50 && taken > 20, "{refused} {taken}");
}

#[test]
fn a_missing_file_and_an_older_state_are_refused_with_what_is_missing() {
    let (data, written) = folder();
    let originals = bytes(data.path());
    let refused = |undo: &dyn Fn(), part: &str| {
        let before = bytes(data.path());
        let error = decide(data.path()).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
        assert!(before == bytes(data.path()), "it changed the folder");
        undo();
    };
    let first = written.first().unwrap().path.clone();
    let away = data.path().join("away");
    // A file in the middle.
    let middle = written[30].path.clone();
    fs::rename(&middle, &away).unwrap();
    refused(&|| fs::rename(&away, &middle).unwrap(), "records are whole");
    // The last one: the documents know rows of it.
    let last = written[written.len() - 1].path.clone();
    let late: Vec<_> =
        written.iter().filter(|record| record.row <= APPLIED && record.path > first).map(|r| r.path.clone()).collect();
    for path in late.iter().chain([&last]).collect::<std::collections::BTreeSet<_>>() {
        fs::remove_file(path).unwrap();
    }
    refused(&|| (), "state.db knows rows up to 50");
    for (path, bytes) in &originals {
        fs::write(path, bytes).unwrap();
    }
    // `state.db` beside a journal that begins later.
    fs::remove_file(&first).unwrap();
    assert!(decide(data.path()).is_ok(), "the journal is trimmed as far as the documents have got");
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        fs::rename(data.path().join(name), data.path().join(name.replace("state", "away"))).unwrap();
    }
    refused(&|| (), "state.db is missing: it is older than the journal");
}

#[test]
fn a_damaged_state_is_refused_and_left_alone() {
    let (data, _) = folder();
    for name in ["state.db-wal", "state.db-shm"] {
        fs::remove_file(data.path().join(name)).unwrap();
    }
    fs::write(data.path().join("state.db"), [7; 8_192]).unwrap();
    let before = bytes(data.path());
    let error = decide(data.path()).err().unwrap().to_string();
    assert!(error.contains("state.db"), "{error}");
    assert!(before == bytes(data.path()), "it changed the folder");
}
