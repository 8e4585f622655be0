//! The newest event of a partition, as `$management` tells it and as it goes with each event to a reader that asked for it.

use std::time::{Duration, Instant};

use fe2o3_amqp_types::{
    messaging::DeliveryAnnotations,
    primitives::{OrderedMap, Value},
};

use crate::{
    context::Context,
    message::{symbol, timestamp},
    partitions,
};
use switchbox_core::registry::Device;
use switchbox_model::{Event, RegistryName};
use switchbox_store as store;
use switchbox_support::clock;

/// The capability that a reader asks for.
pub(crate) const CAPABILITY: &str = "com.microsoft:enable-receiver-runtime-metric";

/// Rows at the end of the journal that are searched for the last event of a partition.
const ROWS: usize = 4_096;
/// Rows that are read at a time.
const CHUNK: usize = 256;
/// The newest event is looked for again after this time at the earliest.
const INTERVAL: Duration = Duration::from_secs(1);

/// The delivery annotations of one reader.
pub(crate) struct LastEnqueued {
    context: Context,
    registry: RegistryName,
    partition: u16,
    known: Option<DeliveryAnnotations>,
    looked: Option<Instant>,
}

impl LastEnqueued {
    pub(crate) fn new(context: &Context, registry: &RegistryName, partition: u16) -> Self {
        Self { context: context.clone(), registry: registry.clone(), partition, known: None, looked: None }
    }

    /// The annotations of the next event. It is at most a second old.
    pub(crate) async fn annotations(&mut self) -> Result<Option<DeliveryAnnotations>, store::Error> {
        // Also where nothing was found: that took the longest search.
        if self.looked.is_none_or(|looked| looked.elapsed() >= INTERVAL) {
            self.looked = Some(Instant::now());
            self.known = find(&self.context, &self.registry, self.partition).await?.as_ref().map(of);
        }
        Ok(self.known.clone())
    }
}

fn of(event: &Event) -> DeliveryAnnotations {
    let time = |ms| Value::Timestamp(timestamp(ms));
    let mut annotations = OrderedMap::with_capacity(4);
    let number = i64::try_from(event.seq.0).unwrap_or(i64::MAX);
    annotations.insert(symbol("last_enqueued_sequence_number"), Value::Long(number));
    annotations.insert(symbol("last_enqueued_offset"), Value::String(number.to_string()));
    annotations.insert(symbol("last_enqueued_time_utc"), time(event.time_ms));
    annotations.insert(symbol("runtime_info_retrieval_time_utc"), time(clock::now_ms()));
    DeliveryAnnotations(annotations)
}

/// The newest event of a partition. Returns `None` if it is further back than [`ROWS`].
pub(crate) async fn find(
    context: &Context,
    registry: &RegistryName,
    number: u16,
) -> Result<Option<Event>, store::Error> {
    let is_in = |device: &Device| {
        device.name.registry == *registry && partitions::of(&device.name.id, context.partitions) == number
    };
    let (mut before, mut looked_at) = (i64::MAX, 0);
    while looked_at < ROWS {
        let rows = context.journal.back(before, CHUNK).await?;
        let Some(oldest) = rows.last().map(|row| row.row) else { break };
        looked_at += rows.len();
        before = oldest;
        for row in rows {
            let events = row.entries.into_iter().flat_map(switchbox_model::Entry::into_events);
            let events: Vec<_> = events.filter(|event| event.data.is_from_device()).collect();
            let found = events.into_iter().rev().find(|event| {
                event.device.and_then(|num| context.handles.registry.get(num)).is_some_and(|device| is_in(&device))
            });
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}
