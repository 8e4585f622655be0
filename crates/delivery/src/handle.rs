//! The devices that are connected, and the parts of the host that delivery works with.

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::{
    command_locks::CommandLocks, link::DownlinkKind, online_device::OnlineDevice, publish_queue,
    waiting_calls::CallStats,
};
use switchbox_core::{
    ingest,
    outbox::CommandQueues,
    registry::{self, Device},
};
use switchbox_model::{CommandStatus, DeviceNum, Entry, EventData, Settlement};
use switchbox_proxy as proxy;
use switchbox_store as store;
use switchbox_store::LastSeen;
use switchbox_support::metrics::Metrics;

/// All devices that are connected. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) inner: Arc<Inner>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("delivery::Handle")
    }
}

/// The handles of the host that delivery works with.
#[derive(Debug, Clone)]
pub struct HostHandles {
    pub store: store::Handle,
    pub ingest: ingest::Handle,
    pub registry: registry::Handle,
    pub queues: CommandQueues,
    pub metrics: Metrics,
    /// The runtime of the tasks that read the devices' queues.
    pub runtime: tokio::runtime::Handle,
    /// How often a device may abandon a command that it fetched; the last time the command is rejected.
    pub command_deliveries: u32,
}

/// Devices whose queues are read at the same time.
const READERS: usize = 4;

/// What all clones of a [`Handle`] share.
pub(super) struct Inner {
    pub(super) store: store::Handle,
    pub(super) ingest: ingest::Handle,
    pub(super) registry: registry::Handle,
    pub(super) queues: CommandQueues,
    pub(super) metrics: Metrics,
    pub(super) runtime: tokio::runtime::Handle,
    /// Permits for reading a device's queue from the store.
    pub(super) readers: Semaphore,
    /// The devices that are connected.
    pub(super) online: RwLock<HashMap<DeviceNum, Arc<OnlineDevice>>>,
    /// Devices for which a config was queued, and whose connections are woken when the whole commit is applied.
    pub(super) to_wake: Mutex<Vec<Arc<OnlineDevice>>>,
    pub(super) calls: CallStats,
    pub(super) command_locks: CommandLocks,
    /// How often a device may abandon a command; the last time the command is rejected.
    pub(super) command_deliveries: u32,
    /// Messages that plugins have published and that are not delivered yet.
    pub(super) outgoing: Arc<publish_queue::PublishQueue>,
    /// Calls methods of devices over HTTP. Empty until it is set.
    pub(super) proxy: OnceLock<proxy::Handle>,
}

impl Handle {
    #[must_use]
    pub fn new(handles: HostHandles) -> Self {
        let HostHandles { store, ingest, registry, queues, metrics, runtime, command_deliveries } = handles;
        let inner = Inner {
            store,
            ingest,
            registry,
            queues,
            metrics,
            runtime,
            readers: Semaphore::new(READERS),
            online: RwLock::default(),
            to_wake: Mutex::default(),
            calls: CallStats::default(),
            command_locks: CommandLocks::default(),
            command_deliveries,
            outgoing: Arc::default(),
            proxy: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn online_device(&self, device: DeviceNum) -> Option<Arc<OnlineDevice>> {
        self.inner.online.read().get(&device).cloned()
    }

    #[must_use]
    pub fn is_connected(&self, device: DeviceNum) -> bool {
        self.inner.online.read().contains_key(&device)
    }

    /// Returns true if the device is connected over a gateway: the gateway over which the host last received something from it.
    #[must_use]
    pub fn is_attached(&self, device: DeviceNum) -> bool {
        self.inner.online.read().get(&device).is_some_and(|online_device| online_device.link.is_gateway())
    }

    /// Returns true if the device is connected and subscribes to this.
    #[must_use]
    pub fn is_subscribed(&self, device: DeviceNum, kind: DownlinkKind) -> bool {
        self.inner.online.read().get(&device).is_some_and(|online_device| online_device.is_subscribed(kind))
    }

    /// Waits until the queue of messages that plugins published has room. Returns false if it had to wait.
    pub async fn room_to_publish(&self) -> bool {
        self.inner.outgoing.wait_for_room().await
    }

    /// How many devices are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.inner.online.read().len()
    }

    /// Ends the device's connection, if it has one.
    pub fn close(&self, device: DeviceNum, reason: &str) {
        if let Some(online_device) = self.online_device(device) {
            online_device.link.close(reason);
        }
    }
}

impl Inner {
    /// Journals settlements, for which no caller waits.
    pub(super) fn settle(&self, settlements: Vec<Settlement>) {
        if !settlements.is_empty() {
            self.store.submit_unawaited(Entry::Settled(settlements));
        }
    }

    /// Called when a connection has ended: fails its method calls, ends the commands that expire with it, and journals when something was last
    /// received from the device, and its `disconnected` event.
    pub(super) fn finish_connection(&self, online_device: &OnlineDevice, reason: &str) {
        let expired = online_device.end().into_iter().map(|command| (command.num, command.id.as_ref().into()));
        self.end_commands(&online_device.device, CommandStatus::Expired, expired, None);
        let (device, LastSeen { heartbeat_ms, config_sent_ms, .. }) =
            (online_device.device.num, online_device.device.seen());
        if heartbeat_ms.or(config_sent_ms).is_some() {
            self.settle(vec![Settlement::LastSeen { device, heartbeat_ms, config_sent_ms }]);
        }
        if let Some(error) = online_device.device.take_new_error() {
            self.settle(vec![Settlement::Failed { device, error }]);
        }
        self.record_gateway(&online_device.device);
        self.ingest
            .submit_lifecycle_event(&online_device.device, EventData::Disconnected { reason: reason.to_owned() });
    }

    /// Journals the gateway over which something was last received from the device, if it has changed.
    pub(super) fn record_gateway(&self, device: &Device) {
        if let Some(access) = device.take_new_gateway_access() {
            self.settle(vec![Settlement::GatewayAccessed { device: device.num, access }]);
        }
    }

    /// The device is not connected any more, unless a newer connection has replaced this one.
    pub(super) fn disconnect(&self, online_device: &Arc<OnlineDevice>, reason: &str) {
        let mut online = self.online.write();
        // A newer connection of the same device may have replaced this one already.
        if online.get(&online_device.device.num).is_some_and(|current| Arc::ptr_eq(current, online_device)) {
            online.remove(&online_device.device.num);
            drop(online);
            self.finish_connection(online_device, reason);
        }
    }
}
