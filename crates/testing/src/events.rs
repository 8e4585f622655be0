//! Replaces the plugins: accepts every event that is offered to them, and records it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use switchbox_core::{ingest::EventSink, registry::Device};
use switchbox_model::{Event, EventData};

/// What was published, in the order of the journal. As if a plugin were triggered by `plugin/#`.
#[derive(Default)]
pub struct Events {
    published: Mutex<Vec<(String, Event)>>,
    batches: AtomicU64,
}

impl Events {
    /// Events of devices and topics, without those of the host's own, each with its device's id or nothing.
    #[must_use]
    pub fn published(&self) -> Vec<(String, Event)> {
        self.published.lock().clone()
    }

    #[must_use]
    pub fn payloads(&self) -> Vec<String> {
        let published = self.published.lock();
        published.iter().map(|(_, event)| String::from_utf8_lossy(event.data.payload()).into_owned()).collect()
    }

    /// How many times events were offered.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }
}

impl EventSink for Events {
    /// # Panics
    ///
    /// Panics if a payload is `panic`.
    fn offer(&self, device: Option<&Arc<Device>>, events: Vec<Event>) -> usize {
        let published = |event: &Event| {
            matches!(event.data, EventData::Telemetry { .. } | EventData::State { .. } | EventData::Topic { .. })
        };
        let events: Vec<_> = events.into_iter().filter(published).collect();
        if !events.is_empty() {
            assert!(events.iter().all(|event| event.data.payload() != b"panic"), "as the test asked");
            self.batches.fetch_add(1, Ordering::Relaxed);
            let id = device.map(|device| device.name.id.to_string()).unwrap_or_default();
            self.published.lock().extend(events.into_iter().map(|event| (id.clone(), event)));
        }
        0
    }

    fn wants_topic(&self, topic: &str) -> bool {
        topic.starts_with("plugin/")
    }
}
