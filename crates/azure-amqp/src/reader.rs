//! One partition of the journal, or the ends of commands, page by page. A reader keeps a place and nothing else, so one that stops costs no memory.

use std::{sync::Arc, time::Duration};

use crate::{context::Context, partitions, start_position::StartPosition};
use switchbox_core::registry::Device;
use switchbox_model::{Event, EventData, RegistryName, Seq};
use switchbox_store as store;
use switchbox_store::JournalPage;

/// Bytes of the log that are read in one go.
const PAGE_BYTES: usize = 256 * 1024;
/// A reader at the end looks again after this also if nothing woke it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Which events of a registry a reader selection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EventSelection {
    /// The telemetry of devices in this partition.
    Telemetry { partition: u16 },
    /// How commands ended.
    CommandEnds,
}

/// An event with the device that it is of.
pub(crate) struct DeviceEvent {
    pub(crate) event: Event,
    pub(crate) device: Arc<Device>,
}

/// What one look gives.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) found: Vec<DeviceEvent>,
    /// Events of the journal that are gone, and would have been read before these.
    pub(crate) missed: u64,
    /// There is nothing behind it yet.
    pub(crate) is_end: bool,
}

pub(crate) struct Reader {
    store: store::Handle,
    context: Context,
    registry: RegistryName,
    selection: EventSelection,
    /// The next event, and the row to look for it from on.
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
        let next = start.find(&context.parts.store).await?;
        Ok(Self::at(context, registry, selection, next))
    }

    /// Goes on where another reader was.
    pub(crate) fn at(
        context: &Context,
        registry: RegistryName,
        selection: EventSelection,
        (next, row): (Seq, i64),
    ) -> Self {
        Self { store: context.parts.store.clone(), context: context.clone(), registry, selection, next, row }
    }

    /// The next event, and the row to look for it from on.
    pub(crate) fn next(&self) -> (Seq, i64) {
        (self.next, self.row)
    }

    pub(crate) async fn page(&mut self) -> Result<Page, store::Error> {
        let JournalPage { rows, next } = self.store.journal_page(self.row, PAGE_BYTES).await?;
        let mut page = Page { is_end: rows.is_empty(), ..Page::default() };
        for event in rows.into_iter().flat_map(|row| row.entries).flat_map(switchbox_model::Entry::into_events) {
            if event.seq < self.next {
                continue;
            }
            // Numbers have no gaps, so a gap is what was trimmed. A reader from the beginning misses nothing.
            if self.next > Seq(0) {
                page.missed += event.seq.0 - self.next.0;
            }
            self.next = Seq(event.seq.0 + 1);
            page.found.extend(self.select(event));
        }
        self.row = self.row.max(next);
        Ok(page)
    }

    /// Events of devices that were deleted belong to no hub any more.
    fn select(&self, event: Event) -> Option<DeviceEvent> {
        let is_kind = match self.selection {
            EventSelection::Telemetry { .. } => matches!(event.data, EventData::Telemetry { .. }),
            EventSelection::CommandEnds => matches!(event.data, EventData::CommandSettled { .. }),
        };
        if !is_kind {
            return None;
        }
        let device = self.context.parts.registry.get(event.device?)?;
        let mine = device.name.registry == self.registry
            && match self.selection {
                EventSelection::Telemetry { partition } => {
                    partitions::of(&device.name.id, self.context.partitions) == partition
                }
                EventSelection::CommandEnds => true,
            };
        mine.then_some(DeviceEvent { event, device })
    }

    /// Waits until there may be more.
    pub(crate) async fn wait(&self) {
        let next = self.next.max(Seq(self.store.journal_end().1.0 + 1));
        // Over in either case: the next look says what is there.
        let _ = tokio::time::timeout(POLL_INTERVAL, self.store.wait_until_durable(next)).await;
    }
}
