//! The link of an attached device: deliveries to it go into the gateway's mailbox. Each attachment has a link of its own, so that a late
//! delivery of an earlier attachment is not sent.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    device_delivery::DeviceDelivery,
    mailbox::{Mailbox, State},
};
use switchbox_core::registry::Device;
use switchbox_delivery::{DownlinkKind, Link, Outbound};
use switchbox_model::QoS;

/// The link of one attachment.
pub(crate) struct AttachedLink {
    device: Arc<Device>,
    mailbox: Arc<Mailbox>,
    connection_epoch: u64,
    /// Set when the link has ended.
    ended_reason: Arc<OnceLock<String>>,
    /// The gateway subscribes to the device's commands with QoS 0, so they are not acknowledged.
    commands_unconfirmed: AtomicBool,
}

impl AttachedLink {
    pub(crate) fn new(device: Arc<Device>, mailbox: Arc<Mailbox>, connection_epoch: u64) -> Arc<Self> {
        Arc::new(Self {
            device,
            mailbox,
            connection_epoch,
            ended_reason: Arc::default(),
            commands_unconfirmed: AtomicBool::new(false),
        })
    }

    /// Why the link has ended. `None` if it has not.
    pub(crate) fn ended_reason(&self) -> Option<&str> {
        self.ended_reason.get().map(String::as_str)
    }

    /// Reads the QoS of the commands again, after the gateway's subscriptions to the device's topics changed.
    pub(crate) fn update_commands_unconfirmed(&self, state: &State) {
        let qos = state.attached_downlink_qos(&self.device.name.id, DownlinkKind::Commands);
        self.commands_unconfirmed.store(qos == Some(QoS::AtMostOnce), Ordering::Release);
    }

    /// Ends the link and removes its deliveries that were not sent yet.
    pub(crate) fn end(&self, why: &str) {
        let mut state = self.mailbox.lock();
        let _ = self.ended_reason.set(why.to_owned());
        let is_of_device = |device_delivery: &DeviceDelivery| {
            device_delivery.device.as_ref().is_some_and(|device| device.num == self.device.num)
        };
        state.session.withdraw(is_of_device);
        self.mailbox.notify_room(&mut state);
    }
}

impl Link for AttachedLink {
    fn queue(&self, outbound: Outbound) -> bool {
        let delivery = DeviceDelivery { device: Some(self.device.clone()), outbound };
        self.ended_reason().is_none()
            && self.mailbox.hand_over(self.connection_epoch, delivery, Some(&self.ended_reason))
    }

    fn wake(&self) {
        self.mailbox.work.wake();
    }

    fn confirms_commands(&self) -> bool {
        !self.commands_unconfirmed.load(Ordering::Acquire)
    }

    fn is_gateway(&self) -> bool {
        true
    }

    fn has_room(&self) -> bool {
        self.ended_reason().is_none() && self.mailbox.has_room_for_unconfirmed(self.connection_epoch)
    }

    /// Ends this link alone; the gateway's connection detaches the device and stays open.
    fn close(&self, reason: &str) {
        let _ = self.ended_reason.set(reason.to_owned());
        self.mailbox.request_revalidation();
    }
}
