//! A device is reached over one connection at a time, its own or a gateway's, and the newest has it: where it is now is
//! what it was attached to last. Two gateways that both want it do not take it from each other in turns: after it was taken from one
//! connection by another, a gateway has to wait. Never decides which connection may have it.

use std::{sync::Arc, time::Instant};

use super::{handle::Handle, link::Link, online::Online, online_device::OnlineDevice};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceId, EventData, limits};
use switchbox_support::clock;

/// The device was taken over by another connection a moment ago.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} has just been taken over from another connection; try again in {secs} s", secs = limits::TAKEOVER_PAUSE.as_secs())]
pub struct RecentTakeover(pub DeviceId);

/// No gateway takes it yet. `taken_over_at`: when it was taken over from another connection.
fn was_just_taken_over(taken_over_at: Option<Instant>, now: Instant) -> bool {
    taken_over_at.is_some_and(|at| now < at + limits::TAKEOVER_PAUSE)
}

impl Handle {
    /// The device is connected from now on (its `connected` event is journaled). A link that the device had before is
    /// replaced: its owner has closed it already, or [`Link::close`] is called.
    pub fn connect(&self, device: &Arc<Device>, link: Arc<dyn Link>) -> Online {
        self.connect_over(device, link, "the device connected again")
    }

    /// As [`Handle::connect`], over the connection of a gateway.
    pub fn attach(
        &self,
        device: &Arc<Device>,
        link: Arc<dyn Link>,
        gateway: &DeviceId,
    ) -> Result<Online, RecentTakeover> {
        if self
            .online_device(device.num)
            .is_some_and(|online_device| was_just_taken_over(online_device.taken_over_at(), Instant::now()))
        {
            self.inner.metrics.limit(limits::names::TAKEOVER_PAUSE);
            return Err(RecentTakeover(device.name.id.clone()));
        }
        let online = self.connect_over(device, link, &format!("attached to gateway {gateway}"));
        device.attached(gateway, clock::now_ms());
        self.inner.record_gateway(device);
        Ok(online)
    }

    fn connect_over(&self, device: &Arc<Device>, link: Arc<dyn Link>, why: &str) -> Online {
        let (online_device, before) = {
            let mut online = self.inner.online.write();
            let taken_over_at = online.contains_key(&device.num).then(Instant::now);
            let online_device = Arc::new(OnlineDevice::new(device.clone(), link, taken_over_at));
            (online_device.clone(), online.insert(device.num, online_device))
        };
        if let Some(before) = before {
            before.link().close(why);
            self.inner.ended(&before, why);
        }
        self.inner.ingest.lifecycle(device, EventData::Connected);
        Online { online_device, inner: self.inner.clone(), ended: false }
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
