//! Hands effects that were just committed to the connections of their devices.

use std::sync::Arc;

use super::{command_window::CommandOffer, handle::Handle, queue_reader};
use switchbox_core::{outbox::EffectSink, registry::Device};
use switchbox_model::Message;
use switchbox_store::{CommandDoc, ConfigVersion};

impl EffectSink for Handle {
    fn config(&self, device: &Arc<Device>, version: &Arc<ConfigVersion>) {
        let _span = tracing::debug_span!("delivery", device = %device.name, config = version.version).entered();
        if let Some(online_device) = self.online_device(device.num)
            && online_device.queue_config(version)
        {
            self.inner.to_wake.lock().push(online_device);
        }
    }

    fn wake(&self) {
        let mut to_wake = self.inner.to_wake.lock();
        to_wake.drain(..).for_each(|online_device| online_device.link.wake());
    }

    fn command(&self, device: &Arc<Device>, command: &CommandDoc) -> bool {
        let _span = tracing::debug_span!("delivery", device = %device.name, command = command.id).entered();
        let Some(online_device) = self.online_device(device.num) else { return false };
        let offered = online_device.commands.offer(online_device.link.as_ref(), command);
        match offered {
            CommandOffer::Unconfirmed => self.inner.send_unconfirmed(&online_device, command.clone()),
            CommandOffer::Queued => queue_reader::wake(&self.inner, &online_device),
            CommandOffer::Sent | CommandOffer::NotSubscribed => {}
        }
        offered != CommandOffer::NotSubscribed
    }

    fn publish(&self, id: String, message: Message) {
        self.inner.outgoing.push(id, message);
    }
}
