//! A delivery over a client's connection: to its own device, or to a device that it attached as a gateway.

use std::{cmp::Ordering, sync::Arc, time::Instant};

use switchbox_core::registry::Device;
use switchbox_delivery::{DeliveryReport, DownlinkKind, Outbound, OutboundCall, OutboundCommand};
use switchbox_model::{DeviceNum, event};
use switchbox_mqtt_session::session::{Body, Deliverable, Item};

/// A config, command or method call for a device, as an item of the client's session.
#[derive(Debug, Clone)]
pub(crate) struct DeviceDelivery {
    /// `None` for the client's own device.
    pub(crate) device: Option<Arc<Device>>,
    pub(crate) outbound: Outbound,
}

impl DeviceDelivery {
    /// The number of the attached device that the delivery is for. `None` for the client's own device.
    fn num(&self) -> Option<DeviceNum> {
        self.device.as_ref().map(|device| device.num)
    }

    /// Returns true if the delivery is this method call.
    pub(crate) fn is_call(&self, call: u64) -> bool {
        matches!(&self.outbound, Outbound::Method(method) if method.rid == call)
    }

    pub(crate) fn downlink_kind(&self) -> DownlinkKind {
        match self.outbound {
            Outbound::Config(_) => DownlinkKind::Config,
            Outbound::Command(_) => DownlinkKind::Commands,
            Outbound::Method(_) => DownlinkKind::Methods,
        }
    }
}

impl Deliverable for DeviceDelivery {
    fn size(&self) -> usize {
        let content = match &self.outbound {
            Outbound::Command(command) => event::size(&command.properties) + size_of::<OutboundCommand>(),
            Outbound::Method(_) => size_of::<OutboundCall>(),
            Outbound::Config(_) => 0,
        };
        self.outbound.payload().len() + content + size_of::<Self>()
    }

    fn expires_at(&self) -> Option<Instant> {
        match &self.outbound {
            Outbound::Command(command) => command.expires,
            Outbound::Method(call) => Some(call.expires),
            Outbound::Config(_) => None,
        }
    }

    fn obsolete_at(&self) -> Option<Instant> {
        match &self.outbound {
            Outbound::Method(call) => Some(call.expires),
            Outbound::Config(_) | Outbound::Command(_) => None,
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
    /// Of the client's own device.
    pub(crate) own: Vec<DeliveryReport>,
    /// A config was sent to the client's own device. A flag, because only the last of several counts.
    pub(crate) config_sent: bool,
    /// Of the devices that the client has attached as a gateway.
    pub(crate) attached: Vec<(Arc<Device>, DeliveryReport)>,
    expected: usize,
}

impl DeliveryReports {
    /// `expected`: how many reports of the client's own device there may be, as a capacity.
    pub(crate) fn expecting(expected: usize) -> Self {
        Self { expected, ..Self::default() }
    }

    /// Reports an item that the client acknowledged (`is_accepted`) or refused.
    pub(crate) fn add(&mut self, item: Item<DeviceDelivery>, is_accepted: bool) {
        let Body::Device(DeviceDelivery { device, outbound }) = item.body else { return };
        let report = match outbound {
            Outbound::Config(config) if is_accepted => DeliveryReport::ConfigAcknowledged { version: config.version },
            Outbound::Command(command) => {
                let (num, id) = (command.num, command.id.clone());
                if is_accepted {
                    DeliveryReport::CommandAcknowledged { num, id }
                } else {
                    DeliveryReport::CommandRefused { num, id }
                }
            }
            Outbound::Config(config) => DeliveryReport::ConfigRefused { version: config.version },
            // The answer of an accepted call comes as a message of its own.
            Outbound::Method(_) if is_accepted => return,
            Outbound::Method(call) => DeliveryReport::MethodRefused { rid: call.rid },
        };
        self.push(device, report);
    }

    /// Reports an item that was encoded for the socket.
    pub(crate) fn add_sent(&mut self, item: &Item<DeviceDelivery>, is_retransmission: bool) {
        let Body::Device(DeviceDelivery { device, outbound }) = &item.body else { return };
        match (outbound, device) {
            (Outbound::Config(_), None) => self.config_sent = true,
            (Outbound::Config(_), Some(_)) => self.push(device.clone(), DeliveryReport::ConfigSent),
            (Outbound::Command(command), _) if !is_retransmission => {
                self.push(device.clone(), DeliveryReport::CommandSent { num: command.num });
            }
            (Outbound::Command(_) | Outbound::Method(_), _) => {}
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && !self.config_sent && self.attached.is_empty()
    }

    fn push(&mut self, device: Option<Arc<Device>>, report: DeliveryReport) {
        match device {
            None => {
                if self.own.is_empty() {
                    self.own.reserve(self.expected);
                }
                self.own.push(report);
            }
            Some(device) => self.attached.push((device, report)),
        }
    }
}

/// The length of an item's payload in bytes, before the item is encoded for its client.
pub(crate) fn payload_len(item: &Item<DeviceDelivery>) -> usize {
    match &item.body {
        Body::Message { message, .. } => message.payload.len(),
        Body::Device(DeviceDelivery { outbound, .. }) => outbound.payload().len(),
    }
}
