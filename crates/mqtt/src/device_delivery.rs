//! A delivery over a client's connection: to its own device, or to a device that it attached as a gateway.

use std::{cmp::Ordering, sync::Arc, time::Instant};

use switchbox_core::registry::Device;
use switchbox_delivery::{DeliveryReport, DownlinkKind, Outbound};
use switchbox_model::{DeviceNum, event};
use switchbox_mqtt_session::session::{Body, Deliverable, Item};

#[derive(Debug, Clone)]
pub(crate) struct DeviceDelivery {
    /// `None` for the client's own device.
    pub(crate) device: Option<Arc<Device>>,
    pub(crate) outbound: Outbound,
}

impl DeviceDelivery {
    /// The number of the attached device that it is for.
    fn num(&self) -> Option<DeviceNum> {
        self.device.as_ref().map(|device| device.num)
    }

    /// Returns true if it is this method call.
    pub(crate) fn is_call(&self, call: u64) -> bool {
        matches!(self.outbound, Outbound::Method { rid, .. } if rid == call)
    }

    pub(crate) fn downlink_kind(&self) -> DownlinkKind {
        match self.outbound {
            Outbound::Config(_) => DownlinkKind::Config,
            Outbound::Command { .. } => DownlinkKind::Commands,
            Outbound::Method { .. } => DownlinkKind::Methods,
        }
    }
}

impl Deliverable for DeviceDelivery {
    fn size(&self) -> usize {
        let properties = match &self.outbound {
            Outbound::Command { properties: Some(properties), .. } => event::size(properties),
            _ => 0,
        };
        self.outbound.payload().len() + properties + size_of::<Self>()
    }

    fn expires_at(&self) -> Option<Instant> {
        match &self.outbound {
            Outbound::Command { expires, .. } => *expires,
            Outbound::Method { expires, .. } => Some(*expires),
            Outbound::Config(_) => None,
        }
    }

    fn obsolete_at(&self) -> Option<Instant> {
        match self.outbound {
            Outbound::Method { expires, .. } => Some(expires),
            Outbound::Config(_) | Outbound::Command { .. } => None,
        }
    }

    fn compare_version(&self, other: &Self) -> Option<Ordering> {
        match (&self.outbound, &other.outbound) {
            (Outbound::Config(config), Outbound::Config(others)) if self.num() == other.num() => {
                Some(config.version.cmp(&others.version))
            }
            _ => None,
        }
    }

    fn replaces(&self, older: &Self) -> bool {
        self.num() == older.num()
    }
}

/// Reports of what was sent and acknowledged, by the device.
#[derive(Default)]
pub(crate) struct DeliveryReports {
    pub(crate) own: Vec<DeliveryReport>,
    /// A config was sent to the client's own device. A flag, because only the last of several counts.
    pub(crate) config_sent: bool,
    pub(crate) attached: Vec<(Arc<Device>, DeliveryReport)>,
}

impl DeliveryReports {
    /// Reports an item that the client acknowledged or refused.
    pub(crate) fn add(&mut self, item: Item<DeviceDelivery>, taken: bool) {
        let Body::Device(DeviceDelivery { device, outbound }) = item.body else { return };
        let receipt = match outbound {
            Outbound::Config(config) if taken => DeliveryReport::ConfigAcknowledged { version: config.version },
            Outbound::Command { num, id, .. } if taken => DeliveryReport::CommandAcknowledged { num, id },
            Outbound::Command { num, id, .. } => DeliveryReport::CommandRefused { num, id },
            Outbound::Config(config) => DeliveryReport::ConfigRefused { version: config.version },
            Outbound::Method { .. } => return,
        };
        self.push(device, receipt);
    }

    /// Reports an item that was encoded for the socket. `again`: it is a retransmission.
    pub(crate) fn sent(&mut self, item: &Item<DeviceDelivery>, again: bool) {
        let Body::Device(DeviceDelivery { device, outbound }) = &item.body else { return };
        match (outbound, device) {
            (Outbound::Config(_), None) => self.config_sent = true,
            (Outbound::Config(_), Some(_)) => self.push(device.clone(), DeliveryReport::ConfigSent),
            (Outbound::Command { num, .. }, _) if !again => {
                self.push(device.clone(), DeliveryReport::CommandSent { num: *num });
            }
            (Outbound::Command { .. } | Outbound::Method { .. }, _) => {}
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && !self.config_sent && self.attached.is_empty()
    }

    fn push(&mut self, device: Option<Arc<Device>>, receipt: DeliveryReport) {
        match device {
            None => self.own.push(receipt),
            Some(device) => self.attached.push((device, receipt)),
        }
    }
}

/// Bytes of what the client is sent, as it was handed over.
pub(crate) fn payload_len(item: &Item<DeviceDelivery>) -> usize {
    match &item.body {
        Body::Message { message, .. } => message.payload.len(),
        Body::Device(DeviceDelivery { outbound, .. }) => outbound.payload().len(),
    }
}
