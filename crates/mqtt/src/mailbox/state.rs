//! What a mailbox has under its session's lock. Plain data.

use std::collections::HashMap;

use crate::{
    device_delivery::DeviceDelivery,
    offline_sessions::SessionUsage,
    subscriptions::{AttachedSubscription, SubscriptionTarget, Subscriptions},
};
use switchbox_delivery::DownlinkKind;
use switchbox_model::{DeviceId, QoS, broker::SessionNum};
use switchbox_mqtt_session::{session::Session, topics::SlowConsumer};

/// Why a connection has to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Close {
    /// The client has connected again.
    TakenOver,
    Shutdown,
    /// By the host, with the reason for the log and the client.
    Administrative(String),
    /// The token, key or certificate that admitted the client expired.
    Expired,
    /// The client is not authorised any more, with the reason.
    Revoked(String),
}

/// A session with its subscriptions, and which connection has it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) session: Session<DeviceDelivery>,
    pub(crate) subscriptions: Subscriptions,
    /// Subscriptions of a gateway to topics of its devices, also of devices that are not attached any more: these are suspended until the
    /// gateway attaches them again.
    pub(crate) attached_subscriptions: HashMap<DeviceId, Vec<AttachedSubscription>>,
    /// Counts the session's connections, to recognise deliveries for an earlier one.
    pub(crate) connection_epoch: u64,
    /// A connection has the session.
    pub(crate) online: bool,
    /// Why the connection is asked to end. `None` if it is not.
    pub(crate) closing: Option<Close>,
    /// A publisher waits for room.
    pub(crate) publisher_waits: bool,
    /// The allowance for publishers that wait for room.
    pub(crate) slow_consumer: SlowConsumer,
    /// The session's number in the journal.
    pub(crate) session_num: Option<SessionNum>,
    /// The session outlives its connection, so its messages of QoS 1 and 2 are journaled.
    pub(crate) durable: bool,
    /// What the session counts for in the limits for offline clients.
    pub(crate) usage: SessionUsage,
}

impl State {
    /// As [`Subscriptions::downlink_qos`], for an attached device.
    pub(crate) fn attached_downlink_qos(&self, device: &DeviceId, kind: DownlinkKind) -> Option<QoS> {
        let of_device = self.attached_subscriptions.get(device)?.iter();
        of_device.filter(|subscription| subscription.kind == kind).map(|subscription| subscription.qos).max()
    }

    /// The Subscription Identifiers of the client's subscriptions to the downlink of the attached device, or of its own without one.
    pub(crate) fn downlink_ids(
        &self,
        attached: Option<&DeviceId>,
        kind: DownlinkKind,
        is_in_subfolder: bool,
    ) -> Vec<u32> {
        // `commands` without `/#` does not match the topic of a command with a sub-folder.
        let matches = |filter: &str| !is_in_subfolder || filter.ends_with('#');
        let Some(device) = attached else {
            let is_of_kind = |target| matches!(target, SubscriptionTarget::Downlink(of, _) if of == kind);
            return self.subscriptions.ids(|filter, target| is_of_kind(target) && matches(filter));
        };
        let of_device = self.attached_subscriptions.get(device).into_iter().flatten();
        let matching = of_device.filter(|subscription| subscription.kind == kind && matches(&subscription.filter));
        matching.filter_map(|subscription| subscription.id).collect()
    }
}
