//! Records, at the start, a `disconnected` event for each connection that was open when the host was killed.

use super::handle::Handle;
use switchbox_core::ingest::{self, NewEvent};
use switchbox_model::{EventData, Settlement};
use switchbox_store::QueueShare;

const REASON: &str = "the host ended";

impl Handle {
    /// Called before any device is admitted: journals the `disconnected` event of each device that was connected when the host was killed.
    /// Commands that were sent in the last moment may not have been recorded as sent, so all open commands of the device are marked as in
    /// doubt first.
    pub async fn close_orphaned_connections(&self) -> Result<(), ingest::Error> {
        for device in self.inner.registry.connected_at_stop() {
            if self.inner.queues.len(device.num) > 0 {
                let upto = self.inner.queues.last(device.num);
                self.inner.settle(vec![Settlement::CommandsInDoubt { device: device.num, upto }]);
            }
            let data = EventData::Disconnected { reason: REASON.to_owned() };
            let permit = self.inner.ingest.reserve(REASON.len(), QueueShare::Whole).await?;
            self.inner.ingest.submit(&device, vec![NewEvent::new(false, data)], permit, Box::new(|_| ()));
        }
        Ok(())
    }
}
