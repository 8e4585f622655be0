//! Brings committed effects to the devices that are connected, and what they answer back to the log.
//! Never knows topics or packets.

mod methods;
mod outgoing;
mod presence;
mod reach;

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::RwLock;

pub use methods::{CallError, Response};
pub use outgoing::Publisher;

use methods::Calls;
use presence::Presence;

use crate::{
    clock, ingest,
    model::{CommandStatus, DeviceNum, Entry, EventData, Message, Settlement},
    outbox::Sink,
    registry::Device,
    store::{self, CommandDoc, ConfigVersion},
};

/// Something for a device, to be turned into packets by its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The device's config document. Only the newest matters: a link whose in-flight window is full keeps at most one
    /// waiting, the newest.
    Config {
        version: u64,
        payload: Bytes,
    },
    Command {
        id: Arc<str>,
        subfolder: Arc<str>,
        payload: Bytes,
    },
    /// `rid` is unique among the device's calls under way.
    Method {
        rid: u64,
        name: Arc<str>,
        payload: Bytes,
    },
}

/// A device's connection, as delivery sees it. Called from the log's writer thread and from plugins: must not block.
pub trait Link: Send + Sync {
    /// False when its queue is full (counted there) or it is closing.
    fn deliver(&self, item: Outbound) -> bool;
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

/// What a device acknowledged (its PUBACK; for QoS 0 deliveries nothing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    Config { version: u64 },
    Command { id: Arc<str> },
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

struct Shared {
    store: store::Handle,
    ingest: ingest::Handle,
    online: RwLock<HashMap<DeviceNum, Arc<Presence>>>,
    calls: Calls,
    outgoing: Arc<outgoing::Queue>,
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle, ingest: ingest::Handle) -> Self {
        let shared =
            Shared { store, ingest, online: RwLock::default(), calls: Calls::default(), outgoing: Arc::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The device is connected from now on (its `connected` event is journaled). A link that the device had before is
    /// replaced: whoever made it has closed it already or is told to.
    pub fn connect(&self, device: &Arc<Device>, link: Arc<dyn Link>) -> Online {
        let presence = Arc::new(Presence::new(device.clone(), link));
        let before = self.shared.online.write().insert(device.num, presence.clone());
        if let Some(before) = before {
            before.link().close("the device connected again");
            self.shared.ended(&before, "the device connected again");
        }
        self.shared.ingest.lifecycle(device, EventData::Connected);
        Online { presence, shared: self.shared.clone(), ended: false }
    }

    /// At start: commands that were only for a device that was connected then.
    pub fn expire_left(&self, open: &[(DeviceNum, String)]) {
        for (device, id) in open {
            self.shared.settle_command(*device, id, CommandStatus::Expired);
        }
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

    fn settle_command(&self, device: DeviceNum, id: &str, status: CommandStatus) {
        self.settle(vec![Settlement::Command { device, id: id.to_owned(), status, time_ms: clock::now_ms() }]);
    }

    /// What the connection leaves behind: nobody answers its calls, and what it did not acknowledge is settled.
    fn ended(&self, presence: &Presence, reason: &str) {
        let time_ms = clock::now_ms();
        let device = presence.device().num;
        let expired = presence.end().into_iter().map(|id| Settlement::Command {
            device,
            id: id.as_ref().into(),
            status: CommandStatus::Expired,
            time_ms,
        });
        self.settle(expired.collect());
        self.ingest.lifecycle(presence.device(), EventData::Disconnected { reason: reason.to_owned() });
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
        if let Some(presence) = self.presence(device.num) {
            presence.config(version);
        }
    }

    fn command(&self, device: &Arc<Device>, command: &CommandDoc) {
        let presence = self.presence(device.num).filter(|presence| presence.takes(Feed::Commands));
        let sent = presence.is_some_and(|presence| presence.command(command));
        let status = if sent { CommandStatus::Sent } else { CommandStatus::Expired };
        self.shared.settle_command(device.num, &command.id, status);
    }

    fn publish(&self, id: Option<String>, message: Message) {
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
        self.presence.subscribe(feed);
    }

    pub fn unsubscribe(&self, feed: Feed) {
        self.presence.unsubscribe(feed);
    }

    pub fn acknowledged(&self, receipts: Vec<Receipt>) {
        let time_ms = clock::now_ms();
        let device = self.presence.device().num;
        let settlements = receipts.into_iter().filter_map(|receipt| match receipt {
            Receipt::Config { version } => Some(Settlement::ConfigAcknowledged { device, version, time_ms }),
            Receipt::Command { id } => self.presence.command_acknowledged(&id).then(|| Settlement::Command {
                device,
                id: id.as_ref().into(),
                status: CommandStatus::Acknowledged,
                time_ms,
            }),
        });
        self.shared.settle(settlements.collect());
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
