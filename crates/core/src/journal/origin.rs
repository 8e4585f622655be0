//! Finds the devices of many events in a row. The events of adjacent executions are mostly adjacent too, so the row that was read last
//! usually has the next one.

use std::collections::HashMap;

use switchbox_model::{DeviceNum, Seq};
use switchbox_store as store;

/// Rows that are remembered.
const ROWS: usize = 64;

#[derive(Debug)]
pub(super) struct Origins<'a> {
    store: &'a store::Handle,
    known: HashMap<Seq, Option<DeviceNum>>,
    rows: usize,
}

impl<'a> Origins<'a> {
    pub(super) fn new(store: &'a store::Handle) -> Self {
        Self { store, known: HashMap::new(), rows: 0 }
    }

    /// Returns `None` also if the event is no longer kept.
    pub(super) async fn of(&mut self, seq: Seq) -> Result<Option<DeviceNum>, store::Error> {
        if let Some(known) = self.known.get(&seq) {
            return Ok(*known);
        }
        let Some(row) = self.store.row_of(seq).await? else { return Ok(None) };
        if self.rows == ROWS {
            (self.known, self.rows) = (HashMap::new(), 0);
        }
        self.rows += 1;
        // The page ends with its first row.
        let page = self.store.journal_page(row, 1).await?;
        for entry in page.rows.into_iter().flat_map(|row| row.entries) {
            self.known.extend(entry.events().iter().map(|event| (event.seq, event.device)));
        }
        Ok(*self.known.entry(seq).or_default())
    }
}
