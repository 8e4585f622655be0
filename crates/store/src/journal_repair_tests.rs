//! After a repair the store starts, has every row that may stay, and every byte that went is kept aside.

use std::{fs, path::Path};

use switchbox_journal::{FOLDER, Files, Journal, record};

use crate::{
    Error,
    decide::decide,
    journal_damage_tests::{APPLIED, ROWS, TestRecord, bytes, folder},
    repair,
};

fn flip(record: &TestRecord) {
    let mut bytes = fs::read(&record.path).unwrap();
    bytes[record.bytes.start + 30] ^= 1;
    fs::write(&record.path, bytes).unwrap();
}

/// The rows after the repair, read both ways, and what the repair said.
fn repaired(data: &Path, without_journal: bool) -> (Vec<i64>, String) {
    let damaged = bytes(&data.join(FOLDER));
    assert!(decide(data).is_err());
    let done = repair::repair(data, without_journal).unwrap();
    let text = done.lines.join("\n");
    let decided = decide(data).unwrap_or_else(|error| panic!("{error} after\n{text}"));
    assert!(crate::check(data).unwrap().problems.is_empty());
    let kept: Vec<Vec<u8>> =
        bytes(&data.join("damaged")).into_values().chain(bytes(&data.join(FOLDER)).into_values()).collect();
    for (path, bytes) in damaged.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "log")) {
        assert!(kept.contains(bytes), "{} is gone", path.display());
    }
    let files = Files::of(decided.inspection.segments).unwrap();
    let (mut rows, mut from) = (Vec::new(), 0);
    loop {
        let page = files.page(from, 1_000).unwrap();
        if page.rows.is_empty() {
            break;
        }
        rows.extend(page.rows.iter().map(|row| row.row));
        from = page.next;
    }
    let (mut back, mut before) = (Vec::new(), i64::MAX);
    loop {
        let page = files.back_page(before, 7, usize::MAX).unwrap();
        let Some(last) = page.last() else { break };
        before = last.row;
        back.extend(page.iter().map(|row| row.row));
    }
    back.reverse();
    assert_eq!(rows, back, "{text}");
    // The numbering continues after the repaired journal.
    let mut journal = Journal::open(data).unwrap();
    let end = journal.files().end();
    assert!(end.row >= APPLIED);
    let mut record = Vec::new();
    record::begin(&mut record);
    record::encode(&switchbox_model::Entry::Barrier, &mut record).unwrap();
    assert_eq!(journal.append(&mut record, end.last_seq, true).unwrap().row, end.row + 1);
    (rows, text)
}

fn without(rows: std::ops::RangeInclusive<i64>, until: i64) -> Vec<i64> {
    (1..=until).filter(|row| !rows.contains(row)).collect()
}

#[test]
fn what_the_documents_have_is_cut_out_of_the_middle() {
    let (data, written) = folder();
    for row in [5, 6, 20] {
        flip(&written[row - 1]);
    }
    let (rows, text) = repaired(data.path(), false);
    assert_eq!(rows, (1..=ROWS).filter(|row| ![5, 6, 20].contains(row)).collect::<Vec<_>>(), "{text}");
    assert!(text.contains("rows 5 to 6 cannot be read"), "{text}");
}

#[test]
fn what_builds_on_a_lost_row_goes_with_it() {
    let (data, written) = folder();
    flip(&written[usize::try_from(APPLIED).unwrap() + 2]);
    let (rows, text) = repaired(data.path(), false);
    assert_eq!(rows, (1..=APPLIED + 2).collect::<Vec<_>>(), "{text}");
    assert!(text.contains(&format!("rows {} to {ROWS} stand after missing rows", APPLIED + 4)), "{text}");
}

#[test]
fn a_file_whose_beginning_is_damaged_keeps_its_rows() {
    let (data, written) = folder();
    for index in [0, 20] {
        let mut bytes = fs::read(&written[index].path).unwrap();
        bytes[20] ^= 1;
        fs::write(&written[index].path, bytes).unwrap();
    }
    let (rows, text) = repaired(data.path(), false);
    assert_eq!(rows, without(0..=0, ROWS), "{text}");
}

#[test]
fn a_journal_whose_end_is_lost_continues_after_the_row_of_the_documents() {
    let (data, written) = folder();
    let from = &written[30].path;
    for path in written.iter().map(|record| &record.path).filter(|path| *path >= from) {
        let _ = fs::remove_file(path);
    }
    let first_gone = written.iter().find(|record| &record.path == from).unwrap().row;
    let (rows, text) = repaired(data.path(), false);
    assert_eq!(rows, without(first_gone..=ROWS, ROWS), "{text}");
    assert!(text.contains("are missing in the journal"), "{text}");
}

#[test]
fn a_journal_whose_folder_is_missing_begins_anew_after_the_row_of_the_documents() {
    let (data, _) = folder();
    fs::remove_dir_all(data.path().join(FOLDER)).unwrap();
    let error = decide(data.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("switchbox repair"), "{error}");
    let done = repair::repair(data.path(), false).unwrap();
    assert!(done.lines[0].contains(&format!("rows 1 to {APPLIED} are missing")), "{:?}", done.lines);
    let decided = decide(data.path()).unwrap();
    assert_eq!((decided.applied, decided.inspection.end().row), (APPLIED, APPLIED));
}

#[test]
fn without_its_journal_the_store_continues_with_its_documents() {
    let (data, written) = folder();
    let after = |record: &&TestRecord| record.row > APPLIED + 1;
    let keep: Vec<_> = written.iter().filter(after).map(|record| record.path.clone()).collect();
    let state = crate::schema::open_writer(data.path()).unwrap();
    let gathered = crate::write_batch::WriteBatch { row: 3, ..Default::default() };
    crate::documents::commit(&state, &gathered).unwrap();
    drop(state);
    for record in written.iter().filter(|record| !keep.contains(&record.path)) {
        let _ = fs::remove_file(&record.path);
    }
    let error = repair::repair(data.path(), false).unwrap_err().to_string();
    assert!(error.contains("--without-journal"), "{error}");
    let done = repair::repair(data.path(), true).unwrap();
    assert!(done.lines[0].contains("begins anew after row 3"), "{:?}", done.lines);
    assert_eq!(decide(data.path()).unwrap().inspection.end().row, 3);
}

#[test]
fn documents_that_cannot_be_read_are_made_anew_from_a_whole_journal() {
    let (data, _) = folder();
    for name in ["state.db-wal", "state.db-shm"] {
        fs::remove_file(data.path().join(name)).unwrap();
    }
    fs::write(data.path().join("state.db"), [7; 8_192]).unwrap();
    match decide(data.path()) {
        Err(Error::Damaged(text)) => assert!(text.contains("state.db") && text.contains("switchbox repair"), "{text}"),
        decided => panic!("{:?}", decided.map(|_| ())),
    }
    let done = repair::repair(data.path(), false).unwrap();
    assert!(done.lines[0].contains("makes it anew"), "{:?}", done.lines);
    let decided = decide(data.path()).unwrap();
    assert_eq!((decided.applied, decided.inspection.end().row), (0, ROWS));
}

#[test]
fn documents_of_another_version_are_neither_damaged_nor_changed_by_a_repair() {
    let (data, _) = folder();
    let state = crate::schema::open_writer(data.path()).unwrap();
    state.pragma_update(None, "user_version", 2).unwrap();
    // Closed, it would have no write-ahead log.
    std::mem::forget(state);
    let before = bytes(data.path());
    for without_journal in [false, true] {
        let error = repair::repair(data.path(), without_journal).unwrap_err();
        assert!(matches!(error, Error::OtherVersion { found: 2, .. }), "{error}");
    }
    let error = crate::check(data.path()).unwrap_err();
    assert!(matches!(error, Error::OtherVersion { found: 2, .. }), "{error}");
    assert!(before == bytes(data.path()), "it was changed");
}
