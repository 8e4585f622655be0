//! Finds the devices of many events in a row. The events of adjacent executions are mostly adjacent too, so the row that was read last
//! usually has the next one.

use std::collections::HashMap;

use switchbox_model::{DeviceNum, Seq};
use switchbox_store as store;

/// How many rows are remembered; then all are forgotten.
const ROWS: usize = 64;

/// Finds the devices of events, and remembers the rows that it has read.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    store: &'a store::Handle,
    /// The device of each event in the rows that were read.
    devices: HashMap<Seq, Option<DeviceNum>>,
    rows: usize,
}

impl<'a> Origins<'a> {
    pub(super) fn new(store: &'a store::Handle) -> Self {
        Self { store, devices: HashMap::new(), rows: 0 }
    }

    /// The device that the event is of. Returns `None` if it has none, or is no longer kept.
    pub(super) async fn device_of(&mut self, seq: Seq) -> Result<Option<DeviceNum>, store::Error> {
        if let Some(device) = self.devices.get(&seq) {
            return Ok(*device);
        }
        let Some(row) = self.store.row_of(seq).await? else { return Ok(None) };
        if self.rows == ROWS {
            (self.devices, self.rows) = (HashMap::new(), 0);
        }
        self.rows += 1;
        // The page ends with its first row.
        let page = self.store.journal_page(row, 1).await?;
        for entry in page.rows.into_iter().flat_map(|row| row.entries) {
            self.devices.extend(entry.events().iter().map(|event| (event.seq, event.device)));
        }
        Ok(*self.devices.entry(seq).or_default())
    }
}
