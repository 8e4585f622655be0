//! Brings committed effects to the devices that are connected, and what they answer back to the log.
//! Never knows topics or packets.

mod command_window;
mod commands;
mod feeder;
mod methods;
mod outgoing;
mod presence;
mod reach;
mod recovery;
mod sweep;
mod takeover;
mod waiting_calls;

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use command_window::Offered;
pub use commands::CancelError;
pub use methods::CallError;
pub use outgoing::Publisher;
pub use takeover::JustTaken;
pub use waiting_calls::Response;

use methods::Calls;
use presence::Presence;

use switchbox_core::{
    ingest,
    outbox::{Queues, Sink},
    registry::{self, Device},
};
use switchbox_model::{CommandStatus, DeviceNum, Entry, EventData, Message, Settlement};
use switchbox_proxy as proxy;
use switchbox_store as store;
use switchbox_store::{CommandDoc, ConfigVersion, Seen};
use switchbox_support::{clock, metrics::Metrics};

/// Something for a device, to be turned into packets by its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The device's config document. Only the newest matters: a link whose in-flight window is full keeps at most one
    /// waiting, the newest.
    Config { version: u64, payload: Bytes },
    Command {
        /// Its number among those of its device.
        num: u64,
        id: Arc<str>,
        subfolder: Arc<str>,
        payload: Bytes,
        /// It was sent before, perhaps on another connection.
        again: bool,
        /// After this it is not sent any more; the timer ends it.
        expires: Option<Instant>,
    },
    /// `rid` is unique among the device's calls under way.
    /// After `expires` nobody waits for its answer: it is not sent then.
    Method { rid: u64, name: Arc<str>, payload: Bytes, expires: Instant },
}

/// A device's connection, as delivery sees it. Called from the log's writer thread and from plugins: must not block.
pub trait Link: Send + Sync {
    /// Queues it; [`Link::wake`] is to follow. False when its queue is full (counted there) or it is closing.
    fn queue(&self, item: Outbound) -> bool;
    /// The connection learns that something is queued.
    fn wake(&self);
    /// As [`Link::queue`], and the connection learns of it at once.
    fn deliver(&self, item: Outbound) -> bool {
        let taken = self.queue(item);
        self.wake();
        taken
    }
    /// The device acknowledges the commands that it gets: its subscription has not QoS 0.
    fn confirms_commands(&self) -> bool {
        true
    }
    /// What is given now is sent soon.
    fn has_room(&self) -> bool {
        true
    }
    /// Ends the connection; `reason` goes to the log (and the MQTT 5 reason string).
    fn close(&self, reason: &str);
}

/// What a device can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feed {
    Config,
    Commands,
    Methods,
}

/// What was written to a device's socket, what it acknowledged (its PUBACK; for QoS 0 deliveries nothing), or cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    ConfigSent,
    CommandSent {
        num: u64,
    },
    /// Refused by a reason code, or too large for the device.
    ConfigRefused {
        version: u64,
    },
    Config {
        version: u64,
    },
    Command {
        num: u64,
        id: Arc<str>,
    },
    /// Refused by a reason code, or too large for the device.
    CommandRefused {
        num: u64,
        id: Arc<str>,
    },
}

/// All devices that are connected. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("delivery::Handle")
    }
}

/// The rooms that delivery works with.
#[derive(Debug, Clone)]
pub struct Parts {
    pub store: store::Handle,
    pub ingest: ingest::Handle,
    pub registry: registry::Handle,
    pub queues: Queues,
    pub metrics: Metrics,
    /// Where the devices' queues are read.
    pub runtime: tokio::runtime::Handle,
}

/// Devices whose queues are read at the same time.
const READERS: usize = 4;

struct Shared {
    store: store::Handle,
    ingest: ingest::Handle,
    registry: registry::Handle,
    queues: Queues,
    metrics: Metrics,
    runtime: tokio::runtime::Handle,
    readers: Semaphore,
    online: RwLock<HashMap<DeviceNum, Arc<Presence>>>,
    /// Devices that a config was queued for, whose connections are to be told.
    to_wake: Mutex<Vec<Arc<Presence>>>,
    calls: Calls,
    outgoing: Arc<outgoing::Queue>,
    proxy: OnceLock<proxy::Handle>,
}

impl Handle {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, ingest, registry, queues, metrics, runtime } = parts;
        let shared = Shared {
            store,
            ingest,
            registry,
            queues,
            metrics,
            runtime,
            readers: Semaphore::new(READERS),
            online: RwLock::default(),
            to_wake: Mutex::default(),
            calls: Calls::default(),
            outgoing: Arc::default(),
            proxy: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn presence(&self, device: DeviceNum) -> Option<Arc<Presence>> {
        self.shared.online.read().get(&device).cloned()
    }

    #[must_use]
    pub fn is_connected(&self, device: DeviceNum) -> bool {
        self.shared.online.read().contains_key(&device)
    }

    /// The device is connected and subscribes to this.
    #[must_use]
    pub fn takes(&self, device: DeviceNum, feed: Feed) -> bool {
        self.shared.online.read().get(&device).is_some_and(|presence| presence.takes(feed))
    }

    /// How many devices are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.shared.online.read().len()
    }

    /// Ends the device's connection, if it has one.
    pub fn close(&self, device: DeviceNum, reason: &str) {
        if let Some(presence) = self.presence(device) {
            presence.link().close(reason);
        }
    }
}

impl Shared {
    fn settle(&self, settlements: Vec<Settlement>) {
        if !settlements.is_empty() {
            self.store.note(Entry::Settled(settlements));
        }
    }

    /// What the connection leaves behind: nobody answers its calls, and the commands that were only for it have ended.
    fn ended(&self, presence: &Presence, reason: &str) {
        let expired = presence.end().into_iter().map(|command| (command.num, command.id.as_ref().into()));
        self.end_commands(presence.device(), CommandStatus::Expired, expired, None);
        let (device, Seen { heartbeat_ms, config_sent_ms, .. }) = (presence.device().num, presence.device().seen());
        if heartbeat_ms.or(config_sent_ms).is_some() {
            self.settle(vec![Settlement::LastSeen { device, heartbeat_ms, config_sent_ms }]);
        }
        if let Some(error) = presence.device().take_new_error() {
            self.settle(vec![Settlement::Failed { device, error }]);
        }
        self.note_gateway(presence.device());
        self.ingest.lifecycle(presence.device(), EventData::Disconnected { reason: reason.to_owned() });
    }

    /// The gateway over which the device was last heard of goes into the log, where it is not there yet.
    fn note_gateway(&self, device: &Device) {
        if let Some(access) = device.take_new_gateway_access() {
            self.settle(vec![Settlement::GatewayAccessed { device: device.num, access }]);
        }
    }

    fn disconnect(&self, presence: &Arc<Presence>, reason: &str) {
        let mut online = self.online.write();
        // A newer connection of the same device may have taken the place already.
        if online.get(&presence.device().num).is_some_and(|current| Arc::ptr_eq(current, presence)) {
            online.remove(&presence.device().num);
            drop(online);
            self.ended(presence, reason);
        }
    }
}

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

/// A device that is connected. Dropping it disconnects with the reason "connection lost".
pub struct Online {
    presence: Arc<Presence>,
    shared: Arc<Shared>,
    ended: bool,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Online").field(&self.presence.device().name).finish()
    }
}

impl Online {
    /// Config: its newest version is delivered at once, if there is one, and every later one.
    pub fn subscribe(&self, feed: Feed) {
        self.begin(feed, false);
    }

    /// The same for a subscription of a session that was kept. Where the client subscribes again now, as many do on each connect,
    /// it has the newest version already.
    pub fn resume(&self, feed: Feed) {
        self.begin(feed, true);
    }

    fn begin(&self, feed: Feed, resumed: bool) {
        self.presence.subscribe(feed, resumed);
        if feed == Feed::Commands && self.presence.commands().open(&self.shared.queues, self.presence.device().num) {
            feeder::wake_soon(&self.shared, &self.presence);
        }
    }

    pub fn unsubscribe(&self, feed: Feed) {
        self.presence.unsubscribe(feed);
        if feed == Feed::Commands {
            self.presence.commands().close();
        }
    }

    /// The session was kept, and was sent this without an acknowledgement: it sends it again as MQTT demands, under the
    /// same packet id, and delivery does not. Asked before any subscription is taken up. False: nobody is to get it any
    /// more, such as a method call, whose caller was told that the device was lost.
    pub fn resumes(&self, outbound: &Outbound) -> bool {
        let (num, id) = match outbound {
            Outbound::Config { .. } => return true,
            Outbound::Command { num, id, .. } => (num, id),
            Outbound::Method { .. } => return false,
        };
        let open = self.shared.queues.is_open(self.presence.device().num, *num);
        if open {
            self.presence.commands().resume(*num, id);
        }
        open
    }

    pub fn acknowledged(&self, receipts: impl IntoIterator<Item = Receipt>) {
        let time_ms = clock::now_ms();
        let device = self.presence.device().num;
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let settlements = receipts.into_iter().filter_map(|receipt| match receipt {
            Receipt::Config { version } => Some(Settlement::ConfigAcknowledged { device, version, time_ms }),
            Receipt::CommandSent { num } => Some(Settlement::CommandSent { device, num, time_ms }),
            Receipt::ConfigSent => {
                self.presence.device().config_sent(time_ms);
                None
            }
            Receipt::ConfigRefused { version } => {
                self.presence.refused_config(version, time_ms);
                None
            }
            Receipt::Command { num, id } => {
                taken.push((num, id.as_ref().into()));
                None
            }
            Receipt::CommandRefused { num, id } => {
                refused.push((num, id.as_ref().into()));
                None
            }
        });
        self.shared.settle(settlements.collect());
        for (status, commands) in [(CommandStatus::Acknowledged, taken), (CommandStatus::Rejected, refused)] {
            if !commands.is_empty() {
                self.shared.end_commands(self.presence.device(), status, commands.into_iter(), None);
                feeder::wake(&self.shared, &self.presence);
            }
        }
    }

    /// Ends it with a reason, for the `disconnected` event.
    pub fn disconnect(mut self, reason: &str) {
        self.ended = true;
        self.shared.disconnect(&self.presence, reason);
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.disconnect(&self.presence, "connection lost");
        }
    }
}
