//! The journal on a disk of its own kind: whole, torn, damaged, trimmed.

use std::fs;

use super::*;
use crate::{
    JournalRow,
    preallocated::{self, FILE_EXTENSION},
};
use switchbox_model::{Entry, Event, EventData};

const SMALL: u64 = 4_096;

fn event(seq: u64) -> Event {
    let data = EventData::Telemetry { subfolder: "x".repeat(40), payload: vec![7; 200].into(), properties: vec![] };
    Event { seq: Seq(seq), time_ms: 0, device: None, durable: true, data }
}

/// One row with one event, both of this number.
fn append(journal: &mut Journal, number: u64) {
    let mut record = Vec::new();
    record::begin(&mut record);
    record::encode(&Entry::of_events(vec![event(number)]), &mut record).unwrap();
    let end = journal.append(&mut record, Seq(number), number.is_multiple_of(2)).unwrap();
    assert_eq!(end.row, i64::try_from(number).unwrap());
}

fn numbers(rows: &[JournalRow]) -> Vec<i64> {
    for row in rows {
        assert!(
            matches!(&row.entries[..], [Entry::Events { events, .. }] if events[0].seq.0 == row.row.cast_unsigned()),
            "{row:?}"
        );
    }
    rows.iter().map(|row| row.row).collect()
}

fn all(journal: &Journal) -> Vec<i64> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let page = journal.files().page(from, 1_000).unwrap();
        if page.rows.is_empty() {
            return found;
        }
        found.extend(numbers(&page.rows));
        from = page.next;
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(FOLDER)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

#[test]
fn what_was_written_is_read_again_over_many_files_and_after_opening() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    (1..=100).for_each(|number| append(&mut journal, number));
    assert!(files(folder.path(), "log").len() > 5);
    for _ in 0..2 {
        assert_eq!(all(&journal), (1..=100).collect::<Vec<_>>());
        assert_eq!(
            journal.files().back_page(50, 3, usize::MAX).unwrap().iter().map(|r| r.row).collect::<Vec<_>>(),
            [49, 48, 47]
        );
        assert_eq!(journal.files().row_of(Seq(77)).unwrap(), Some(77));
        assert_eq!(journal.files().row_of(Seq(0)).unwrap(), Some(1));
        assert_eq!(journal.files().row_of(Seq(101)).unwrap(), None);
        let end = journal.files().end();
        drop(journal);
        journal = Journal::open_with(folder.path(), SMALL).unwrap();
        assert_eq!(journal.files().end(), end);
    }
}

#[test]
fn going_back_reaches_the_first_row_and_ends_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    assert!(journal.files().back_page(i64::MAX, 9, usize::MAX).unwrap().is_empty());
    (1..=60).for_each(|number| append(&mut journal, number));
    let (mut found, mut before) = (Vec::new(), i64::MAX);
    loop {
        let rows = journal.files().back_page(before, 7, usize::MAX).unwrap();
        let Some(oldest) = rows.last() else { break };
        assert!(rows.len() <= 7);
        before = oldest.row;
        found.extend(numbers(&rows));
    }
    assert_eq!(found, (1..=60).rev().collect::<Vec<_>>());
}

#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    (1..=2).for_each(|number| append(&mut journal, number));
    let kept = journal.files().end();
    // It is not synced, and neither is anything after it.
    append(&mut journal, 3);
    drop(journal);
    damage(&files(folder.path(), "log")[0], offset(kept) + 40);
    let mut journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.files().end(), kept);
    append(&mut journal, 3);
    drop(journal);
    let journal = Journal::open(folder.path()).unwrap();
    assert_eq!(all(&journal), [1, 2, 3], "a row of before came back");
}

/// The offset in the first file of a position of the journal.
fn offset(end: JournalPosition) -> usize {
    record::FILE_HEADER + usize::try_from(end.offset).unwrap()
}

fn damage(path: &Path, at: usize) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_damaged_record_before_one_that_was_synced_is_named_and_nothing_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    (1..=2).for_each(|number| append(&mut journal, number));
    let kept = journal.files().end();
    (3..=7).for_each(|number| append(&mut journal, number));
    drop(journal);
    let path = files(folder.path(), "log").remove(0);
    let bytes = damage(&path, offset(kept) + 40);
    let error = Journal::open(folder.path()).err().unwrap().to_string();
    let expected = format!(
        "row 3 is expected at byte {}; after it 4 records are whole, from row 4 on, with events up to 7",
        offset(kept)
    );
    assert!(error.contains(&expected), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn damage_in_a_full_file_is_named_and_nothing_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    (1..=60).for_each(|number| append(&mut journal, number));
    drop(journal);
    let path = files(folder.path(), "log").remove(1);
    let bytes = damage(&path, 500);
    let error = Journal::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("records are whole"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_file_of_another_version_or_of_something_else_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    (1..=60).for_each(|number| append(&mut journal, number));
    drop(journal);
    let path = files(folder.path(), "log").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    for version in [0, 2, 99] {
        bytes[8] = version;
        fs::write(&path, &bytes).unwrap();
        let error = Journal::open(folder.path()).err().unwrap();
        assert!(matches!(error, Error::OtherVersion { found, known: 1, .. } if found == i64::from(version)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "it was changed");
    }
    fs::write(&path, "something else").unwrap();
    let error = Journal::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("not a file of the journal"), "{error}");
}

#[test]
fn a_file_that_was_only_begun_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    (1..=60).for_each(|number| append(&mut journal, number));
    let end = journal.files().end();
    drop(journal);
    fs::write(folder.path().join(FOLDER).join(segment::name(end)), [0; 100]).unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    append(&mut journal, 61);
    assert_eq!(all(&journal), (1..=61).collect::<Vec<_>>());
}

#[test]
fn only_what_is_not_needed_is_trimmed_and_its_files_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
    (1..=100).for_each(|number| append(&mut journal, number));
    assert_eq!(journal.files().trimmable(Seq(1), 0, 100), None);
    assert_eq!(journal.files().trimmable(Seq(100), 0, 3), None);
    assert_eq!(journal.files().trimmable(Seq(100), 1 << 20, 100), None);
    let row = journal.files().trimmable(Seq(50), 0, 100).unwrap();
    assert!((20..50).contains(&row), "{row}");
    let count = |extension| files(folder.path(), extension).len();
    let full = count("log");
    journal.trim(row, true).unwrap();
    assert_eq!(all(&journal), (row + 1..=100).collect::<Vec<_>>());
    let (trimmed, preallocated_files) = (count("log"), count(FILE_EXTENSION));
    assert!(trimmed < full);
    assert_eq!(
        preallocated_files,
        preallocated::MAX_READY.min(full - trimmed),
        "what goes is kept to be used again, up to so many"
    );
    (101..=120).for_each(|number| append(&mut journal, number));
    let begun = count("log") - trimmed;
    assert!(begun > 0);
    assert_eq!(
        count(FILE_EXTENSION),
        preallocated_files.saturating_sub(begun),
        "a file that is begun takes the place of a spare one"
    );
    (121..=140).for_each(|number| append(&mut journal, number));
    drop(journal);
    let journal = Journal::open_with(folder.path(), SMALL).unwrap();
    assert_eq!(all(&journal), (row + 1..=140).collect::<Vec<_>>(), "rows of before in files that are used again");
}
