//! Reads the events of one [`EventSelection`] from the journal, page by page. A reader stores its position only, so an idle reader
//! uses no memory for events.

use std::{sync::Arc, time::Duration};

use crate::{
    context::Context, event_selection::EventSelection, journal_reads::JournalReads, partitions,
    start_position::StartPosition,
};
use switchbox_core::registry::Device;
use switchbox_model::{Entry, Event, EventData, RegistryName, Seq, event::FILE_UPLOADED};
use switchbox_store as store;
use switchbox_store::{JournalPage, JournalRow};

/// Bytes of the journal that are read at a time.
pub(crate) const PAGE_BYTES: usize = 64 * 1024;
/// A reader at the end of the journal reads again after this time, even if nothing has woken it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// An event and its device.
pub(crate) struct DeviceEvent {
    /// Of the journal.
    pub(crate) row: i64,
    pub(crate) event: Event,
    pub(crate) device: Arc<Device>,
}

/// The result of one read.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) found: Vec<DeviceEvent>,
    /// Events that were trimmed from the journal before this page.
    pub(crate) missed: u64,
    /// The end of the journal was reached.
    pub(crate) is_end: bool,
}

pub(crate) struct Reader {
    journal: JournalReads,
    context: Context,
    registry: RegistryName,
    selection: EventSelection,
    /// The next event, and the row from which to look for it.
    next: Seq,
    row: i64,
}

impl Reader {
    pub(crate) async fn begin(
        context: &Context,
        registry: RegistryName,
        selection: EventSelection,
        start: StartPosition,
    ) -> Result<Self, store::Error> {
        let next = start.find(&context.journal).await?;
        Ok(Self::at(context, registry, selection, next))
    }

    /// Continues at the position of another reader.
    pub(crate) fn at(
        context: &Context,
        registry: RegistryName,
        selection: EventSelection,
        (next, row): (Seq, i64),
    ) -> Self {
        Self { journal: context.journal.clone(), context: context.clone(), registry, selection, next, row }
    }

    /// The next event, and the row from which to look for it.
    pub(crate) fn next(&self) -> (Seq, i64) {
        (self.next, self.row)
    }

    /// Reads again from this place on.
    pub(crate) fn rewind(&mut self, (next, row): (Seq, i64)) {
        (self.next, self.row) = (next, row);
    }

    pub(crate) async fn page(&mut self) -> Result<Page, store::Error> {
        let JournalPage { rows, next } = self.journal.page(self.row, PAGE_BYTES).await?;
        let mut page = Page { is_end: rows.is_empty(), ..Page::default() };
        let of_row = |row: JournalRow| {
            let number = row.row;
            row.entries.into_iter().flat_map(Entry::into_events).map(move |event| (number, event))
        };
        for (row, event) in rows.into_iter().flat_map(of_row) {
            if event.seq < self.next {
                continue;
            }
            // Event numbers have no gaps, so a gap means that events were trimmed. A reader that starts at the beginning misses
            // none.
            if self.next > Seq(0) {
                page.missed += event.seq.0 - self.next.0;
            }
            self.next = Seq(event.seq.0 + 1);
            page.found.extend(self.select(row, event));
        }
        self.row = self.row.max(next);
        Ok(page)
    }

    /// Returns `None` for events that are not selected, and for events of devices that were deleted.
    fn select(&self, row: i64, event: Event) -> Option<DeviceEvent> {
        let is_kind = match self.selection {
            EventSelection::Telemetry { .. } => event.data.is_from_device(),
            EventSelection::CommandEnds => matches!(event.data, EventData::CommandSettled { .. }),
            EventSelection::FileUploads => event.data.subfolder() == FILE_UPLOADED,
        };
        if !is_kind {
            return None;
        }
        let device = self.context.handles.registry.get(event.device?)?;
        let in_registry = device.name.registry == self.registry
            && match self.selection {
                EventSelection::Telemetry { partition } => {
                    partitions::of(&device.name.id, self.context.partitions) == partition
                }
                EventSelection::CommandEnds | EventSelection::FileUploads => true,
            };
        in_registry.then_some(DeviceEvent { row, event, device })
    }

    /// Waits until there may be more events.
    pub(crate) async fn wait(&self) {
        let next = self.next.max(Seq(self.journal.end().1.0 + 1));
        // The result does not matter: the next read finds what there is.
        let _ = tokio::time::timeout(POLL_INTERVAL, self.journal.wait_until_written(next)).await;
    }
}
