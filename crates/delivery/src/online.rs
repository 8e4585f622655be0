//! A connected device, as its connection holds it: what it subscribes to, and what it has acknowledged.

use std::sync::Arc;

use super::{
    feeder,
    handle::Shared,
    link::{Feed, Outbound, Receipt},
    presence::Presence,
};
use switchbox_model::{CommandStatus, Settlement};
use switchbox_support::clock;

/// A device that is connected. Dropping it disconnects with the reason "connection lost".
pub struct Online {
    pub(super) presence: Arc<Presence>,
    pub(super) shared: Arc<Shared>,
    pub(super) ended: bool,
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
