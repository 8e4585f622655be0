//! Effects that were just committed go to the connections of their devices.

use std::sync::Arc;

use super::{command_window::Offered, feeder, handle::Handle};
use switchbox_core::{outbox::Sink, registry::Device};
use switchbox_model::Message;
use switchbox_store::{CommandDoc, ConfigVersion};

impl Sink for Handle {
    fn config(&self, device: &Arc<Device>, version: &Arc<ConfigVersion>) {
        if let Some(presence) = self.presence(device.num)
            && presence.queue_config(version)
        {
            self.shared.to_wake.lock().push(presence);
        }
    }

    fn wake(&self) {
        let mut to_wake = self.shared.to_wake.lock();
        to_wake.drain(..).for_each(|presence| presence.link().wake());
    }

    fn command(&self, device: &Arc<Device>, command: &CommandDoc) -> bool {
        let Some(presence) = self.presence(device.num) else { return false };
        let offered = presence.commands().offer(presence.link(), command);
        match offered {
            Offered::Unconfirmed => self.shared.send_unconfirmed(&presence, command.clone()),
            Offered::Waits => feeder::wake(&self.shared, &presence),
            Offered::Sent | Offered::Absent => {}
        }
        offered != Offered::Absent
    }

    fn publish(&self, id: String, message: Message) {
        self.shared.outgoing.push(id, message);
    }
}
