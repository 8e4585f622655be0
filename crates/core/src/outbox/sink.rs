//! The receiver of committed effects. Says what is handed over, not how it is sent.

use std::sync::Arc;

use crate::registry::Device;
use switchbox_model::Message;
use switchbox_store::{CommandDoc, ConfigVersion};

/// Where committed effects go. Called on the thread that has the journal's writer: must not block.
pub trait EffectSink: Send + Sync {
    /// A config was applied. Its connection is not woken before [`EffectSink::wake`].
    fn config(&self, device: &Arc<Device>, version: &Arc<ConfigVersion>);
    /// Wakes the connections of the devices that got a config.
    fn wake(&self);
    /// A command was queued. Returns false when the device cannot take a command now.
    fn command(&self, device: &Arc<Device>, command: &CommandDoc) -> bool;
    /// A message for an ordinary topic; `id` is the effect's key. With QoS 1 or 2 it is among the outgoing documents until it
    /// is settled as published.
    fn publish(&self, id: String, message: Message);
}
