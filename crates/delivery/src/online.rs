//! The handle by which a connection reports a device's subscriptions and acknowledgements to delivery.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    handle::Inner,
    link::{DeliveryReport, DownlinkKind, Outbound},
    online_device::OnlineDevice,
    queue_reader, traces,
    waiting_calls::NoResponse,
};
use switchbox_model::{CommandStatus, Settlement};
use switchbox_support::clock;

/// A device that is connected. Dropping it disconnects with the reason "connection lost".
pub struct Online {
    pub(super) online_device: Arc<OnlineDevice>,
    pub(super) inner: Arc<Inner>,
    pub(super) is_ended: bool,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Online").field(&self.online_device.device.name).finish()
    }
}

impl Online {
    /// The device subscribes. Of the config, the newest version is delivered at once, and then every later one.
    pub fn subscribe(&self, kind: DownlinkKind) {
        self.begin(kind, false);
    }

    /// Subscribes to later versions of the config only. Returns the current one, which the device reads by other means.
    #[must_use]
    pub fn follow_config(&self) -> Bytes {
        self.online_device.follow_config()
    }

    /// Resumes a subscription of a kept session. If the client subscribes again on this connection, as many clients do at each
    /// connect, the newest config is not delivered a second time.
    pub fn resume(&self, kind: DownlinkKind) {
        self.begin(kind, true);
    }

    fn begin(&self, kind: DownlinkKind, resumed: bool) {
        self.online_device.subscribe(kind, resumed);
        if kind == DownlinkKind::Commands
            && self.online_device.commands.open(&self.inner.queues, self.online_device.device.num)
        {
            queue_reader::wake_soon(&self.inner, &self.online_device);
        }
    }

    /// The device gets no more deliveries of this kind.
    pub fn unsubscribe(&self, kind: DownlinkKind) {
        self.online_device.unsubscribe(kind);
        if kind == DownlinkKind::Commands {
            self.online_device.commands.close();
        }
    }

    /// Whether a kept session retransmits this unacknowledged delivery under its packet id, as MQTT requires; delivery does not
    /// send it again then. Called before any subscription is resumed. Returns false if it must not be sent any more, such as a
    /// method call whose caller has already got an error.
    pub fn resumes(&self, outbound: &Outbound) -> bool {
        let command = match outbound {
            Outbound::Config(_) => return true,
            Outbound::Command(command) => command,
            Outbound::Method(_) => return false,
        };
        let is_open = self.inner.queues.is_open(self.online_device.device.num, command.num);
        if is_open {
            self.online_device.commands.resume(command.num, &command.id);
        }
        is_open
    }

    /// Journals the outcomes of deliveries. Commands that have ended by them make room for the next ones.
    pub fn acknowledged(&self, reports: impl IntoIterator<Item = DeliveryReport>) {
        let time_ms = clock::now_ms();
        let device = self.online_device.device.num;
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        // Once for all reports, because it takes a lock that the journal's writer needs, too.
        let newest = self.online_device.device.config().filter(|config| config.acknowledged_ms.is_none());
        let reports = reports.into_iter();
        let count = reports.size_hint().1.unwrap_or_default();
        let settled = reports.filter_map(|report| match report {
            DeliveryReport::ConfigAcknowledged { version } => {
                if let Some(config) = newest.as_ref().filter(|config| config.version == version) {
                    let metrics = &self.inner.metrics;
                    let trace = traces::config_acknowledged(metrics, &self.online_device.device.name, config);
                    metrics.delivery_time.record_between_ms(config.time_ms, time_ms, trace);
                }
                Some(Settlement::ConfigAcknowledged { device, version, time_ms })
            }
            DeliveryReport::CommandSent { num } => Some(Settlement::CommandSent { device, num, time_ms }),
            DeliveryReport::ConfigSent => {
                self.online_device.device.record_config_sent(time_ms);
                None
            }
            DeliveryReport::ConfigRefused { version } => {
                self.online_device.refused_config(version, time_ms);
                None
            }
            DeliveryReport::CommandAcknowledged { num, id } => {
                accepted.push((num, id.as_ref().into()));
                None
            }
            DeliveryReport::CommandRefused { num, id } => {
                refused.push((num, id.as_ref().into()));
                None
            }
            DeliveryReport::MethodRefused { rid } => {
                // Returns false if the caller has given up.
                self.online_device.calls.answer(rid, Err(NoResponse::Refused));
                None
            }
        });
        let mut settlements = Vec::new();
        for settlement in settled {
            // Most acknowledgements are settlements, but what was sent is none, and then no memory is needed.
            if settlements.is_empty() {
                settlements.reserve_exact(count);
            }
            settlements.push(settlement);
        }
        self.inner.settle(settlements);
        for (status, commands) in [(CommandStatus::Acknowledged, accepted), (CommandStatus::Rejected, refused)] {
            if !commands.is_empty() {
                self.inner.end_commands(&self.online_device.device, status, commands.into_iter(), None);
                queue_reader::wake(&self.inner, &self.online_device);
            }
        }
    }

    /// The device abandoned a command. Returns how often it has, if the command is to be sent again. Otherwise the command has ended: it was
    /// abandoned too often and is rejected now, or it had ended before.
    #[must_use]
    pub fn abandoned(&self, num: u64, id: &Arc<str>) -> Option<u32> {
        let (inner, device) = (&self.inner, &self.online_device.device);
        if !inner.queues.is_open(device.num, num) {
            return None;
        }
        let times = inner.abandoned(device.num, num);
        if times.is_none() {
            inner.end_commands(device, CommandStatus::Rejected, std::iter::once((num, id.as_ref().into())), None);
            queue_reader::wake(inner, &self.online_device);
        }
        times
    }

    /// Disconnects the device with this reason, which the `disconnected` event has.
    pub fn disconnect(mut self, reason: &str) {
        self.is_ended = true;
        self.inner.disconnect(&self.online_device, reason);
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        if !self.is_ended {
            self.inner.disconnect(&self.online_device, "connection lost");
        }
    }
}
