//! Queues what happens to devices for clients that watch: under `registries/{r}/devices/{d}/` their events, states, configs, commands,
//! connects and disconnects. Wraps other components, and only passes on where nothing watches. Publishes nothing itself: it runs on the
//! journal's writer, and under locks of devices.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::queue::MirrorQueue;
use switchbox_core::{ingest::EventSink, outbox::EffectSink, registry::Device};
use switchbox_model::{Event, EventData, Message, MessageProperties};
use switchbox_store::{CommandDoc, ConfigVersion};
use switchbox_support::clock;

/// A component that is watched: does its work with `inner`, and queues it for watchers.
pub struct Mirrored<T> {
    inner: T,
    queue: MirrorQueue,
}

impl<T> Mirrored<T> {
    #[must_use]
    pub fn new(inner: T, queue: &MirrorQueue) -> Self {
        Self { inner, queue: queue.clone() }
    }

    fn mirror(&self, device: &Device, what: &str, rest: &str, payload: &[u8], user: Vec<(String, String)>) {
        let slash = if rest.is_empty() { "" } else { "/" };
        let (registry, id) = (device.name.registry.id(), &device.name.id);
        let properties =
            (!user.is_empty()).then(|| Box::new(MessageProperties { user, ..MessageProperties::default() }));
        let topic = format!("registries/{registry}/devices/{id}/{what}{slash}{rest}");
        // A copy: the original may share its memory with others, and this may wait in many queues.
        let payload = Bytes::copy_from_slice(payload);
        self.queue.push(Message { properties, ..Message::new(&topic, payload) });
    }

    fn mirror_event(&self, device: &Device, event: &Event) {
        match &event.data {
            EventData::Telemetry { subfolder, payload, properties } => {
                self.mirror(device, "events", subfolder, payload, properties.clone());
            }
            EventData::State { payload, .. } => self.mirror(device, "state", "", payload, vec![]),
            EventData::Connected => {
                self.lifecycle(device, json!({"event": "connected", "time": clock::rfc3339(event.time_ms)}))
            }
            EventData::Disconnected { reason } => {
                let time = clock::rfc3339(event.time_ms);
                self.lifecycle(device, json!({"event": "disconnected", "reason": reason, "time": time}));
            }
            _ => {}
        }
    }

    fn lifecycle(&self, device: &Device, what: serde_json::Value) {
        self.mirror(device, "lifecycle", "", what.to_string().as_bytes(), vec![]);
    }
}

impl<T: EventSink> EventSink for Mirrored<T> {
    fn offer(&self, device: Option<&Arc<Device>>, events: Vec<Event>) -> usize {
        if let Some(device) = device
            && self.queue.has_watchers()
        {
            events.iter().for_each(|event| self.mirror_event(device, event));
        }
        self.inner.offer(device, events)
    }

    fn wants_topic(&self, topic: &str) -> bool {
        self.inner.wants_topic(topic)
    }
}

impl<T: EffectSink> EffectSink for Mirrored<T> {
    fn config(&self, device: &Arc<Device>, version: &Arc<ConfigVersion>) {
        if self.queue.has_watchers() {
            self.mirror(device, "config", "", &version.payload, vec![]);
        }
        self.inner.config(device, version);
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn command(&self, device: &Arc<Device>, command: &CommandDoc) -> bool {
        if self.queue.has_watchers() {
            self.mirror(device, "commands", &command.subfolder, &command.payload, vec![]);
        }
        self.inner.command(device, command)
    }

    fn publish(&self, id: String, message: Message) {
        self.inner.publish(id, message);
    }
}
