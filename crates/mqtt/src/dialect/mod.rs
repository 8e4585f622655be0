//! Maps topics to operations and back. Pure: reads and writes text only.
//!
//! A dialect is a module that reads and writes topics, and a line in each function of [`Dialect`]. No other part of the server depends on
//! the dialect of a client.

pub mod attach;
pub mod azure;
mod azure_provisioning;
pub mod gateway_errors;
pub mod identity;
pub mod iot_core;
mod operation;

use std::borrow::Cow;

pub use operation::{Control, Publish, Subscribe, TopicRefusal};
use switchbox_azure::method_payload;
use switchbox_delivery::Outbound;
use switchbox_model::{DeviceId, Property, limits};

/// The topics that a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Google Cloud IoT Core and ClearBlade IoT Core; ordinary topics too.
    #[default]
    IotCore,
    AzureIotHub,
    /// A device that is not registered yet and may do nothing except register.
    AzureProvisioning,
}

/// How dialects differ besides their topics.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The client may publish with QoS 2.
    pub exactly_once: bool,
    /// The current config is sent on subscribe, as a whole document. Otherwise the client requests it, and later changes are sent.
    pub sends_config: bool,
    /// The device may be a gateway.
    pub gateways: bool,
    pub subscriptions: usize,
    /// The longest keep-alive, which also holds for a client that asks for none.
    pub keep_alive_secs: Option<u16>,
    /// Properties are in the topic; otherwise they are in the packet.
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
            Self::AzureIotHub | Self::AzureProvisioning => Rules {
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

    /// Reads the topic of a publish by `device`, or by a client that is not a device.
    #[must_use]
    pub fn publish<'a>(self, device: Option<&DeviceId>, topic: &'a str, retain: bool) -> Publish<'a> {
        match self {
            Self::IotCore => iot_core::publish(device, topic),
            Self::AzureIotHub => azure::publish(device, topic, retain),
            Self::AzureProvisioning => azure_provisioning::publish(topic),
        }
    }

    /// Reads the filter of a subscription by `device`, or by a client that is not a device.
    #[must_use]
    pub fn subscribe(self, device: Option<&DeviceId>, filter: &str) -> Subscribe {
        match self {
            Self::IotCore => iot_core::subscribe(device, filter),
            Self::AzureIotHub => azure::subscribe(device, filter),
            Self::AzureProvisioning => azure_provisioning::subscribe(filter),
        }
    }

    /// The topic that this is delivered on, in pieces.
    #[must_use]
    pub fn topic<'a>(self, device: &'a DeviceId, item: &'a Outbound) -> [Cow<'a, str>; 6] {
        match self {
            Self::IotCore => iot_core::topic(device, item),
            // A client that is not a device gets no deliveries for devices.
            Self::AzureIotHub | Self::AzureProvisioning => azure::topic(device, item),
        }
    }

    /// Checks that the device can read a method call with this payload. The error says why not.
    pub fn check_call(self, payload: &[u8]) -> Result<(), &'static str> {
        match self {
            Self::IotCore => Ok(()),
            Self::AzureIotHub | Self::AzureProvisioning => method_payload::check(payload),
        }
    }

    /// The response topic of a method call (MQTT 5). `None` if the answer's topic follows from the call's topic.
    #[must_use]
    pub fn response_topic(self, device: &DeviceId, name: &str, rid: u64) -> Option<String> {
        match self {
            Self::IotCore => Some(iot_core::response_topic(device, name, rid)),
            Self::AzureIotHub | Self::AzureProvisioning => None,
        }
    }

    /// The topic under which a will of the device is stored, and its properties. `None` if it is stored as the client wrote it. Stored
    /// wills do not depend on the dialect, because the dialect is not known when a stored will is published.
    pub fn will(self, device: &DeviceId, topic: &str) -> Option<Result<(String, Vec<Property>), TopicRefusal>> {
        match self {
            Self::IotCore => None,
            Self::AzureIotHub | Self::AzureProvisioning => {
                Some(azure::will(device, topic).map(|properties| (iot_core::events_topic(device), properties)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_of_azure_needs_json_for_a_method_call() {
        for (dialect, text, json) in [(Dialect::IotCore, true, true), (Dialect::AzureIotHub, false, true)] {
            assert_eq!(dialect.check_call(b"not json").is_ok(), text, "{dialect:?}");
            assert_eq!(dialect.check_call(b"{\"to\":5}").is_ok(), json, "{dialect:?}");
        }
    }
}
