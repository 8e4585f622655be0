//! Finds whole records in bytes that are not known to be any: after a record that cannot be read, and after the end of the journal.
//! Pure.

use std::ops::RangeInclusive;

use crate::record::{self, FILE_HEADER, RECORD_HEADER, Record};
use switchbox_model::Seq;

/// Records of one file that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The byte in the file at which it begins.
    pub from: u64,
    /// The byte after its last one.
    pub until: u64,
    pub first_row: i64,
    pub last_row: i64,
    pub last_seq: Seq,
    /// One of the records waited for the disk when it was written, so that all before it were on the disk.
    pub synced: bool,
}

/// Bytes that are compared with zeros at a time.
const CHUNK: usize = 4096;
/// Rows and events that may be missing in files that are gone.
const MISSING: u64 = 1 << 32;
const ZEROS: [u8; CHUNK] = [0; CHUNK];

/// The rows and events that records may have. A checksum is computed only if both are within the range.
#[derive(Debug, Clone)]
pub struct Range {
    rows: RangeInclusive<i64>,
    seqs: RangeInclusive<u64>,
}

impl Range {
    /// The range after this row and this event, in a journal of this many bytes.
    pub fn after(row: i64, seq: Seq, journal_bytes: u64) -> Self {
        let max = journal_bytes.saturating_add(MISSING);
        let last_row = row.saturating_add(i64::try_from(max).unwrap_or(i64::MAX));
        Self { rows: row + 1..=last_row, seqs: seq.0..=seq.0.saturating_add(max) }
    }

    /// The range after this row; the last event before it is not known.
    pub fn behind_row(row: i64, journal_bytes: u64) -> Self {
        Self { seqs: 0..=u64::MAX, ..Self::after(row, Seq(0), journal_bytes) }
    }

    /// The range up to this row and this event.
    fn before(row: i64, seq: Seq) -> Self {
        Self { rows: 1..=row, seqs: 0..=seq.0 }
    }

    /// Narrows the range to what may follow the run.
    pub fn advance(&mut self, run: &Run) {
        self.rows = run.last_row + 1..=*self.rows.end();
        self.seqs = run.last_seq.0..=*self.seqs.end();
    }

    /// The record that begins here, if it is whole and within the range.
    fn record<'a>(&self, bytes: &'a [u8]) -> Option<Record<'a>> {
        let (row, seq) = record::claimed_row(bytes)?;
        let is_plausible = self.rows.contains(&row) && self.seqs.contains(&seq.0);
        if is_plausible { record::first(bytes, row - 1) } else { None }
    }
}

/// All runs within the range in these bytes of a file, which begin at `from` in it. Records of an earlier use of the file have
/// smaller rows.
pub fn find(bytes: &[u8], from: u64, mut range: Range) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some((start, first)) = next_record(bytes, at, &range) {
        let mut run = Run {
            from: from + start as u64,
            until: 0,
            first_row: first.row,
            last_row: first.row,
            last_seq: first.last_seq,
            synced: first.is_synced(),
        };
        at = start + first.size();
        while let Some(record) = record::first(bytes.get(at..).unwrap_or_default(), run.last_row) {
            (run.last_row, run.last_seq) = (record.row, record.last_seq);
            run.synced |= record.is_synced();
            at += record.size();
        }
        run.until = from + at as u64;
        range.advance(&run);
        runs.push(run);
    }
    runs
}

/// The first whole record at or after `at`.
fn next_record<'a>(bytes: &'a [u8], mut at: usize, range: &Range) -> Option<(usize, Record<'a>)> {
    loop {
        if bytes.get(at..at + CHUNK) == Some(&ZEROS) {
            // A record may begin with zeros, in the last bytes of these.
            at += CHUNK - RECORD_HEADER;
            continue;
        }
        let rest = bytes.get(at..).filter(|rest| rest.len() > RECORD_HEADER)?;
        if let Some(record) = range.record(rest) {
            return Some((at, record));
        }
        at += 1;
    }
}

/// How many of the bytes after the journal's last record are of a torn write: 0 if all are zeros, or of an earlier use of the file. `row`, `seq`:
/// those of the last record.
pub fn torn(bytes: &[u8], row: i64, seq: Seq) -> usize {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let used = bytes.get(..used).unwrap_or_default();
    let is_next = record::claimed_row(used).is_some_and(|(claimed, _)| claimed == row + 1);
    let is_of_earlier_use = || next_record(used, 0, &Range::before(row, seq)).is_some();
    if is_next || !is_of_earlier_use() { used.len() } else { 0 }
}

/// The byte of a file at which its records begin.
pub const RECORDS_START: u64 = FILE_HEADER as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::Entry;

    fn sealed(row: i64, synced: bool) -> Vec<u8> {
        let mut record = Vec::new();
        record::begin(&mut record);
        record::encode(&Entry::Barrier, &mut record).unwrap();
        record::seal(&mut record, row, Seq(row.cast_unsigned()), synced).unwrap();
        record
    }

    fn rows(runs: &[Run]) -> Vec<(i64, i64)> {
        runs.iter().map(|run| (run.first_row, run.last_row)).collect()
    }

    #[test]
    fn records_behind_damage_are_found_wherever_they_stand() {
        let zeros = vec![0; 3 * CHUNK];
        for gap in [&b""[..], b"noise", &zeros, &zeros[..CHUNK + 1]] {
            let bytes =
                [&sealed(8, true), gap, &sealed(10, false), &sealed(11, false), gap, &sealed(15, true)].concat();
            let runs = find(&bytes, 100, Range::after(7, Seq(7), 1 << 20));
            assert_eq!(rows(&runs), [(8, 8), (10, 11), (15, 15)]);
            assert_eq!(runs.iter().map(|run| run.synced).collect::<Vec<_>>(), [true, false, true]);
            assert_eq!((runs[0].from, runs[2].until), (100, 100 + bytes.len() as u64));
        }
    }

    #[test]
    fn records_of_an_earlier_use_are_no_records() {
        let bytes = [sealed(3, true), sealed(4, true)].concat();
        assert_eq!(find(&bytes, 0, Range::after(7, Seq(7), 1 << 20)), []);
        assert_eq!(torn(&bytes[5..], 7, Seq(7)), 0);
        assert_eq!(torn(&[0; 100], 7, Seq(7)), 0);
    }

    #[test]
    fn a_torn_write_is_what_is_no_zeros_and_of_no_earlier_use() {
        let mut record = sealed(8, true);
        record.truncate(record.len() - 1);
        record.extend([0; 50]);
        assert_eq!(torn(&record, 7, Seq(7)), record.len() - 50);
        let reused = [&record[..], &sealed(3, true)].concat();
        assert_eq!(torn(&reused, 7, Seq(7)), reused.len());
        assert_eq!(torn(b"noise", 7, Seq(7)), 5);
    }
}
