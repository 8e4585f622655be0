//! The rows of the journal, read beside the writer.

use std::collections::VecDeque;

use switchbox_model::{Entry, Seq};

use crate::{Error, journal::Files, record};

/// A commit of the journal.
#[derive(Debug)]
pub struct JournalRow {
    pub row: i64,
    pub entries: Vec<Entry>,
}

/// Rows in order, and the position after them.
#[derive(Debug, Default)]
pub struct JournalPage {
    pub rows: Vec<JournalRow>,
    /// The row to read from next.
    pub next: i64,
}

impl Files {
    /// Rows from `from` on, until about `bytes` of bodies are read. The page is empty if there are none yet.
    pub fn page(&self, from: i64, bytes: usize) -> Result<JournalPage, Error> {
        let mut page = JournalPage { rows: Vec::new(), next: from };
        let Some(part) = self.first(|end| end.row >= from) else { return Ok(page) };
        let mut read = 0;
        part.of_bytes(bytes).for_each_record(|_, end, body| {
            if end.row >= from {
                page.rows.push(JournalRow { row: end.row, entries: record::decode(end.row, body)? });
                page.next = end.row + 1;
                read += body.len();
            }
            Ok(read < bytes)
        })?;
        Ok(page)
    }

    /// At most `rows` rows before `before`, newest first, and not many more than `max` bytes of them, but at least one. The result is empty if
    /// there is no row before.
    pub fn back_page(&self, before: i64, rows: usize, max: usize) -> Result<Vec<JournalRow>, Error> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let Some((from, part)) = self.back(before, rows) else { return Ok(Vec::new()) };
        let (mut newest, mut bytes) = (VecDeque::new(), 0);
        part.for_each_record(|_, end, body| {
            if end.row >= from && end.row < before {
                bytes += body.len();
                newest.push_back((end.row, body.to_vec()));
            }
            while bytes > max && newest.len() > 1 {
                bytes -= newest.pop_front().map_or(0, |(_, body)| body.len());
            }
            Ok(end.row + 1 < before)
        })?;
        newest
            .into_iter()
            .rev()
            .map(|(row, body)| Ok(JournalRow { row, entries: record::decode(row, &body)? }))
            .collect()
    }

    /// Bytes of the journal from this row on, or a little more: it is counted from a position of the sparse index, so that nothing is read.
    pub fn bytes_from(&self, row: i64) -> u64 {
        self.first(|end| end.row >= row).map_or(0, |part| self.end().offset.saturating_sub(part.start().offset))
    }

    /// The row that contains the event, or the first one after it. Returns `None` past the end.
    pub fn row_of(&self, seq: Seq) -> Result<Option<i64>, Error> {
        let Some(part) = self.first(|end| end.last_seq >= seq) else { return Ok(None) };
        let mut found = None;
        part.for_each_record(|_, end, _| {
            found = (end.last_seq >= seq).then_some(end.row);
            Ok(found.is_none())
        })?;
        Ok(found)
    }
}
