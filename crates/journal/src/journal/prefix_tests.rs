//! A journal returns a prefix of what was written, with all that was acknowledged and is still whole, or an error that says what is damaged.
//! This is tested for random entries, with files that are cut or changed at random places.

use std::{collections::HashMap, fs};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::Config};

use super::*;
use switchbox_model::{Entry, Event, EventData};

const SMALL: u64 = 4_096;

/// What happens to one of the files, at a place in it.
#[derive(Debug, Clone)]
enum Damage {
    Cut,
    Flip(u8),
    Zeros(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![Just(Damage::Cut), (0..8_u8).prop_map(Damage::Flip), (1_usize..600).prop_map(Damage::Zeros)]
}

fn entry(number: u64, bytes: usize) -> Entry {
    let payload = vec![number as u8; bytes].into();
    let data = EventData::Telemetry { subfolder: String::new(), payload, properties: vec![] };
    Entry::of_events(vec![Event { seq: Seq(number), time_ms: number, device: None, durable: true, data }])
}

/// A record as it is stored in its file.
struct Record {
    path: PathBuf,
    bytes: std::ops::Range<usize>,
    durable: bool,
}

fn append(journal: &mut Journal, entry: &Entry, number: u64, durable: bool) -> Record {
    let mut record = Vec::new();
    record::begin(&mut record);
    record::encode(entry, &mut record).unwrap();
    journal.append(&mut record, Seq(number), durable).unwrap();
    let inner = journal.files.0.read();
    let end = usize::try_from(inner.last.used()).unwrap();
    Record { path: inner.last.path().to_owned(), bytes: end - record.len()..end, durable }
}

fn read_all(journal: &Journal) -> Result<Vec<Entry>, Error> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let page = journal.files().page(from, 100_000)?;
        if page.rows.is_empty() {
            return Ok(found);
        }
        from = page.next;
        found.extend(page.rows.into_iter().flat_map(|row| row.entries));
    }
}

fn apply(damage: &Damage, at: usize, bytes: &mut Vec<u8>) {
    match damage {
        Damage::Cut => bytes.truncate(at),
        Damage::Flip(bit) => bytes[at] ^= 1 << bit,
        Damage::Zeros(count) => bytes.iter_mut().skip(at).take(*count).for_each(|byte| *byte = 0),
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(64) })]

    #[test]
    fn what_is_read_is_a_prefix_of_what_was_written_or_an_error(
        written in vec((0_usize..900, any::<bool>()), 1..40),
        damages in vec((any::<Index>(), any::<Index>(), damage()), 0..3),
    ) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut journal = Journal::open_with(folder.path(), SMALL).unwrap();
        let entries: Vec<_> = (1..).zip(&written).map(|(number, (bytes, _))| entry(number, *bytes)).collect();
        let records: Vec<_> = (1..)
            .zip(&entries)
            .zip(&written)
            .map(|((number, entry), (_, durable))| append(&mut journal, entry, number, *durable))
            .collect();
        drop(journal);
        let mut paths: Vec<_> = records.iter().map(|record| record.path.clone()).collect();
        paths.dedup();
        let all = || -> HashMap<_, _> { paths.iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect() };
        let before = all();
        for (file, place, damage) in &damages {
            let path = file.get(&paths);
            let used = records.iter().filter(|record| record.path == *path).map(|record| record.bytes.end).max();
            let mut bytes = fs::read(path).unwrap();
            let at = place.index(used.unwrap());
            if at < bytes.len() {
                apply(damage, at, &mut bytes);
                fs::write(path, bytes).unwrap();
            }
        }
        let after = all();
        let of = |files: &HashMap<PathBuf, Vec<u8>>, record: &Record| {
            files[&record.path].get(record.bytes.clone()).map(<[u8]>::to_vec)
        };
        let kept = records.iter().map(|record| record.durable && of(&before, record) == of(&after, record));
        let acknowledged = kept.enumerate().filter(|(_, kept)| *kept).map(|(at, _)| at + 1).max().unwrap_or(0);
        match Journal::open_with(folder.path(), SMALL) {
            Err(error) => {
                prop_assert!(!damages.is_empty(), "{error}");
                prop_assert!(matches!(error, Error::Damaged(_) | Error::OtherVersion { .. }), "{error}");
            }
            Ok(journal) => {
                let found = read_all(&journal).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert!(entries.starts_with(&found), "{} rows that were never written so", found.len());
                prop_assert!(found.len() >= acknowledged, "{} rows, {acknowledged} were acknowledged", found.len());
                prop_assert!(!damages.is_empty() || found.len() == entries.len());
            }
        }
    }
}
