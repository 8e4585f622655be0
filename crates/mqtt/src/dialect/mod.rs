//! Topics to operations and back. Pure: reads text, decides nothing about who is connected, sends nothing.
//!
//! A dialect is a module that reads topics and writes them, and a line in each function of [`Dialect`]. Nothing else of the server
//! knows of which dialect a client is.

pub mod attach;
pub mod azure;
pub mod gateway_errors;
pub mod identity;
pub mod iot_core;
mod operation;
pub mod twin;

use std::borrow::Cow;

pub use operation::{Control, Publish, Subscribe, TopicRefusal};
use switchbox_delivery::Outbound;
use switchbox_model::{DeviceId, Property, limits};

/// In which topics a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Google Cloud IoT Core and ClearBlade IoT Core; ordinary topics too.
    #[default]
    IotCore,
    AzureIotHub,
}

/// How a dialect's server differs beside its topics.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The client may publish with QoS 2.
    pub exactly_once: bool,
    /// The config in force is sent on subscribe, as a whole document. Otherwise the client asks for it, and is sent what changes.
    pub sends_config: bool,
    /// The device may speak for others.
    pub gateways: bool,
    pub subscriptions: usize,
    /// The longest that a client may be silent for, and what counts for one that promises nothing.
    pub keep_alive_secs: Option<u16>,
    /// The topic says what stands beside a payload; otherwise the packet does.
    pub properties_in_topic: bool,
    /// What an empty payload of a method call is sent as.
    pub no_arguments: &'static [u8],
}

impl Dialect {
    #[must_use]
    pub fn rules(self) -> Rules {
        match self {
            Self::IotCore => Rules {
                exactly_once: true,
                sends_config: true,
                gateways: true,
                subscriptions: limits::SUBSCRIPTIONS,
                keep_alive_secs: None,
                properties_in_topic: false,
                no_arguments: b"",
            },
            Self::AzureIotHub => Rules {
                exactly_once: false,
                sends_config: false,
                gateways: false,
                subscriptions: 5,
                keep_alive_secs: Some(1_177),
                properties_in_topic: true,
                // An SDK reads it as JSON, whatever it is.
                no_arguments: b"null",
            },
        }
    }

    /// Reads the topic of a publish by `device` (`None`: a client that is no device).
    #[must_use]
    pub fn publish<'a>(self, device: Option<&DeviceId>, topic: &'a str, retain: bool) -> Publish<'a> {
        match self {
            Self::IotCore => iot_core::publish(device, topic),
            Self::AzureIotHub => azure::publish(device, topic, retain),
        }
    }

    /// Reads the filter of a subscription by `device` (`None`: a client that is no device).
    #[must_use]
    pub fn subscribe(self, device: Option<&DeviceId>, filter: &str) -> Subscribe {
        match self {
            Self::IotCore => iot_core::subscribe(device, filter),
            Self::AzureIotHub => azure::subscribe(device, filter),
        }
    }

    /// The topic that this is delivered on, in pieces.
    #[must_use]
    pub fn topic<'a>(self, device: &'a DeviceId, item: &'a Outbound) -> [Cow<'a, str>; 6] {
        match self {
            Self::IotCore => iot_core::topic(device, item),
            Self::AzureIotHub => [azure::topic(device, item), "".into(), "".into(), "".into(), "".into(), "".into()],
        }
    }

    /// The response topic of a method call (MQTT 5). `None`: the call's own topic says where the answer goes.
    #[must_use]
    pub fn response_topic(self, device: &DeviceId, name: &str, rid: u64) -> Option<String> {
        match self {
            Self::IotCore => Some(iot_core::response_topic(device, name, rid)),
            Self::AzureIotHub => None,
        }
    }

    /// Where a will of the device's on this topic is kept, and what it says beside its payload. `None`: as the client wrote it. A
    /// will may be published when it is not known any more in which dialect it was written.
    pub fn will(self, device: &DeviceId, topic: &str) -> Option<Result<(String, Vec<Property>), TopicRefusal>> {
        match self {
            Self::IotCore => None,
            Self::AzureIotHub => {
                Some(azure::will(device, topic).map(|properties| (iot_core::events_topic(device), properties)))
            }
        }
    }
}
