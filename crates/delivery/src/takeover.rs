//! A device has one connection at a time, its own or a gateway's: the one that connected or attached it last. After a takeover, a
//! gateway has to wait before it may attach the device, so that two gateways do not take it from each other in a loop. Whether a
//! connection may have the device is decided elsewhere.

use std::{sync::Arc, time::Instant};

use super::{handle::Handle, link::Link, online::Online, online_device::OnlineDevice};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceId, EventData, limits};
use switchbox_support::clock;

/// The error of an attach that comes too soon after a takeover.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} has just been taken over from another connection; try again in {secs} s", secs = limits::TAKEOVER_PAUSE.as_secs())]
pub struct RecentTakeover(pub DeviceId);

/// Returns true if the pause after the takeover is not over yet.
fn was_just_taken_over(taken_over_at: Option<Instant>, now: Instant) -> bool {
    taken_over_at.is_some_and(|at| now < at + limits::TAKEOVER_PAUSE)
}

impl Handle {
    /// Makes the device connected over this link and journals its `connected` event. The link that the device had before is closed.
    pub fn connect(&self, device: &Arc<Device>, link: Arc<dyn Link>) -> Online {
        self.connect_over(device, link, "the device connected again")
    }

    /// As [`Handle::connect`], for a device that a gateway attaches.
    pub fn attach(
        &self,
        device: &Arc<Device>,
        link: Arc<dyn Link>,
        gateway: &DeviceId,
    ) -> Result<Online, RecentTakeover> {
        if self
            .online_device(device.num)
            .is_some_and(|online_device| was_just_taken_over(online_device.taken_over_at, Instant::now()))
        {
            self.inner.metrics.limit(limits::names::TAKEOVER_PAUSE);
            return Err(RecentTakeover(device.name.id.clone()));
        }
        let online = self.connect_over(device, link, &format!("attached to gateway {gateway}"));
        device.record_attached(gateway, clock::now_ms());
        self.inner.record_gateway(device);
        Ok(online)
    }

    fn connect_over(&self, device: &Arc<Device>, link: Arc<dyn Link>, why: &str) -> Online {
        let (online_device, previous) = {
            let mut online = self.inner.online.write();
            let taken_over_at = online.contains_key(&device.num).then(Instant::now);
            let online_device = Arc::new(OnlineDevice::new(device.clone(), link, taken_over_at));
            (online_device.clone(), online.insert(device.num, online_device))
        };
        if let Some(previous) = previous {
            previous.link.close(why);
            self.inner.finish_connection(&previous, why);
        }
        self.inner.ingest.submit_lifecycle_event(device, EventData::Connected);
        Online { online_device, inner: self.inner.clone(), is_ended: false }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_device_stays_for_a_while_where_it_was_taken_over_to_and_not_where_it_came_freely() {
        let now = Instant::now();
        let moment = Duration::from_millis(1);
        for (after, expect) in [
            (None, false),
            (Some(Duration::ZERO), true),
            (Some(limits::TAKEOVER_PAUSE - moment), true),
            (Some(limits::TAKEOVER_PAUSE), false),
        ] {
            assert_eq!(was_just_taken_over(after.map(|_| now), now + after.unwrap_or_default()), expect, "{after:?}");
        }
    }
}
