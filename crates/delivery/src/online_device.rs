//! One connected device: what it subscribes to, which config it has been sent, and the calls that wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    command_window::{CommandRef, CommandWindow},
    link::{DownlinkKind, Link, Outbound},
    waiting_calls::WaitingCalls,
};
use switchbox_core::registry::Device;
use switchbox_model::registry::{DeviceError, ErrorKind};
use switchbox_store::ConfigVersion;

/// A device while it is connected.
pub(super) struct OnlineDevice {
    pub(super) device: Arc<Device>,
    pub(super) link: Arc<dyn Link>,
    /// The kinds that it subscribes to, as bits.
    subscribed: AtomicU8,
    handed_config: Mutex<HandedConfig>,
    /// The method calls that wait for its answers.
    pub(super) calls: WaitingCalls,
    pub(super) commands: CommandWindow,
    /// When this connection took the device over from another one.
    pub(super) taken_over_at: Option<Instant>,
}

/// The newest config version that was handed to the link. Its lock orders "the newest on subscribe" with "every change".
#[derive(Debug, Default)]
struct HandedConfig {
    version: u64,
    /// The version was queued for a kept subscription: the client has not subscribed on this connection yet.
    resumed: bool,
}

fn bit(kind: DownlinkKind) -> u8 {
    match kind {
        DownlinkKind::Config => 1,
        DownlinkKind::Commands => 2,
        DownlinkKind::Methods => 4,
    }
}

impl OnlineDevice {
    pub(super) fn new(device: Arc<Device>, link: Arc<dyn Link>, taken_over_at: Option<Instant>) -> Self {
        Self {
            device,
            link,
            subscribed: AtomicU8::new(0),
            handed_config: Mutex::default(),
            calls: WaitingCalls::default(),
            commands: CommandWindow::default(),
            taken_over_at,
        }
    }

    pub(super) fn is_subscribed(&self, kind: DownlinkKind) -> bool {
        self.subscribed.load(Ordering::Acquire) & bit(kind) != 0
    }

    /// `resumed`: the subscription is one of the kept session, and the client has not sent SUBSCRIBE for it on this connection.
    pub(super) fn subscribe(&self, kind: DownlinkKind, resumed: bool) {
        let mut handed = self.handed_config.lock();
        self.subscribed.fetch_or(bit(kind), Ordering::AcqRel);
        if kind != DownlinkKind::Config {
            return;
        }
        let has_newest = std::mem::replace(&mut handed.resumed, resumed);
        // Subscribing again sends the newest version again, like a retained message. The first SUBSCRIBE after a resumed subscription does
        // not, because the client got the version on this connection already.
        if let Some(config) = self.device.config().filter(|config| !has_newest || config.version != handed.version) {
            handed.version = config.version;
            self.link.deliver(Outbound::Config(config));
        }
    }

    /// Subscribes to versions after the current one, and returns the current one.
    pub(super) fn follow_config(&self) -> Bytes {
        let mut handed = self.handed_config.lock();
        self.subscribed.fetch_or(bit(DownlinkKind::Config), Ordering::AcqRel);
        let config = self.device.config();
        handed.version = config.as_ref().map_or(0, |config| config.version);
        config.map(|config| config.payload.clone()).unwrap_or_default()
    }

    pub(super) fn unsubscribe(&self, kind: DownlinkKind) {
        self.subscribed.fetch_and(!bit(kind), Ordering::AcqRel);
    }

    /// Returns true if the version was queued and the link has to be woken.
    pub(super) fn queue_config(&self, config: &Arc<ConfigVersion>) -> bool {
        let mut handed = self.handed_config.lock();
        if !self.is_subscribed(DownlinkKind::Config) || config.version <= handed.version {
            return false;
        }
        handed.version = config.version;
        self.link.queue(Outbound::Config(config.clone()))
    }

    /// The device refused this version.
    pub(super) fn refused_config(&self, version: u64, time_ms: u64) {
        let message = format!("config version {version} was refused, or is larger than the device takes");
        self.device.record_error(DeviceError { time_ms, kind: ErrorKind::InvalidArgument, message });
    }

    /// Fails all calls. Returns the commands that expire with this connection.
    pub(super) fn end(&self) -> Vec<CommandRef> {
        self.subscribed.store(0, Ordering::Release);
        self.calls.end();
        self.commands.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::{Cause, DeviceName, DeviceNum, RegistryName, registry::DeviceSpec};
    use switchbox_store::{DeviceDoc, LastSeen};

    /// The versions that were queued, with 0 for each time that the connection was woken.
    #[derive(Default)]
    struct Versions(Mutex<Vec<u64>>);

    impl Link for Versions {
        fn queue(&self, item: Outbound) -> bool {
            let Outbound::Config(config) = &item else { panic!("{item:?}") };
            self.0.lock().push(config.version);
            true
        }

        fn wake(&self) {
            self.0.lock().push(0);
        }

        fn close(&self, _: &str) {}
    }

    fn version(version: u64) -> Arc<ConfigVersion> {
        let cause = Cause::Api { caller: "test".into() };
        let payload = bytes::Bytes::new();
        Arc::new(ConfigVersion { device: DeviceNum(1), version, time_ms: 0, payload, cause, acknowledged_ms: None })
    }

    #[test]
    fn a_client_that_subscribes_on_each_connect_is_handed_one_copy_and_one_that_subscribes_again_another() {
        // A config of a commit is queued without waking the connection, which is woken when all of the commit is applied.
        for (resumed, handed) in [(true, vec![1, 0, 1, 0, 2]), (false, vec![1, 0, 1, 0, 1, 0, 2])] {
            let name = DeviceName::parse("lamp-1", &RegistryName::default_registry()).unwrap();
            let spec = DeviceSpec::default();
            let doc = DeviceDoc { num: DeviceNum(1), name, spec, created_ms: 0, password: None, revision: 0 };
            let device = Arc::new(Device::new(doc, LastSeen::default()));
            device.set_config(version(1));
            let link = Arc::new(Versions::default());
            let online_device = OnlineDevice::new(device, link.clone(), None);
            for resumed in [resumed, false, false] {
                online_device.subscribe(DownlinkKind::Config, resumed);
            }
            online_device.queue_config(&version(2));
            online_device.queue_config(&version(1));
            assert_eq!(*link.0.lock(), handed, "resumed: {resumed}");
        }
    }
}
