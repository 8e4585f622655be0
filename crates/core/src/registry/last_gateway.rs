//! The gateway over which a device last sent something. An event of the device costs one atomic store of the time. It is journaled when the
//! device is attached and when it is detached.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use switchbox_model::{DeviceId, registry::GatewayAccess};

/// The gateway over which one device last sent something, and when.
#[derive(Debug, Default)]
pub(super) struct LastGateway {
    /// Milliseconds since the Unix epoch; 0 = never.
    time_ms: AtomicU64,
    recorded: Mutex<Recorded>,
}

/// The gateway, and what the journal has of it.
#[derive(Debug, Default)]
struct Recorded {
    gateway: Option<DeviceId>,
    /// The time that the journal has; 0 if it has none of this gateway.
    time_ms: u64,
}

impl LastGateway {
    pub(super) fn attached(&self, gateway: &DeviceId, time_ms: u64) {
        *self.recorded.lock() = Recorded { gateway: Some(gateway.clone()), time_ms: 0 };
        self.record_event(time_ms);
    }

    pub(super) fn record_event(&self, time_ms: u64) {
        self.time_ms.store(time_ms, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<GatewayAccess> {
        let gateway = self.recorded.lock().gateway.clone()?;
        Some(GatewayAccess { gateway, time_ms: self.time_ms.load(Ordering::Relaxed) })
    }

    /// Returns the last access if the journal does not have it yet, and counts it as recorded.
    pub(super) fn take_new(&self) -> Option<GatewayAccess> {
        let access = self.get()?;
        let mut recorded = self.recorded.lock();
        (std::mem::replace(&mut recorded.time_ms, access.time_ms) != access.time_ms).then_some(access)
    }

    /// Records that the journal has this gateway. A newer one may have come meanwhile.
    pub(super) fn set(&self, access: GatewayAccess) {
        let GatewayAccess { gateway, time_ms } = access;
        let mut recorded = self.recorded.lock();
        if self.time_ms.fetch_max(time_ms, Ordering::Relaxed) <= time_ms {
            *recorded = Recorded { gateway: Some(gateway), time_ms };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(gateway: &str, time_ms: u64) -> GatewayAccess {
        GatewayAccess { gateway: DeviceId::new(gateway).unwrap(), time_ms }
    }

    #[test]
    fn what_the_journal_does_not_have_is_recorded_and_an_older_record_changes_nothing() {
        let (last, [hub, other]) = (LastGateway::default(), ["hub", "other"].map(|id| DeviceId::new(id).unwrap()));
        assert_eq!((last.get(), last.take_new()), (None, None));
        last.attached(&hub, 1);
        assert_eq!((last.take_new(), last.take_new()), (Some(access("hub", 1)), None));
        last.record_event(2);
        assert_eq!((last.take_new(), last.take_new()), (Some(access("hub", 2)), None));
        last.attached(&other, 2);
        assert_eq!(last.take_new(), Some(access("other", 2)));
        last.record_event(3);
        last.set(access("hub", 2));
        assert_eq!(last.get(), Some(access("other", 3)));
        last.set(access("other", 3));
        assert_eq!(last.take_new(), None);
        let restarted = LastGateway::default();
        restarted.set(access("other", 3));
        assert_eq!((restarted.get(), restarted.take_new()), (Some(access("other", 3)), None));
    }
}
