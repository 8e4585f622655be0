//! The addresses that links can name.

use switchbox_azure::url_encoding;
use switchbox_model::DeviceId;

/// A node that a link can be attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The node that accepts tokens.
    Cbs,
    Management,
    /// The events of one partition.
    Events {
        entity: String,
        partition: String,
    },
    /// Messages for devices.
    ToDevices,
    /// Feedback about them.
    Feedback,
    /// Files that devices uploaded.
    FileNotifications,
    /// An address of a device.
    Device {
        id: DeviceId,
        node: DeviceNode,
    },
    /// Any other address.
    Other(String),
}

/// What a device uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceNode {
    /// Telemetry.
    Events,
    /// Messages for the device.
    Messages,
    Methods,
    Twin,
}

impl DeviceNode {
    /// The part of an address after the device's id.
    fn parse(parts: &[&str]) -> Option<Self> {
        match parts {
            [messages, node] if messages.eq_ignore_ascii_case("messages") => {
                if node.eq_ignore_ascii_case("events") {
                    return Some(Self::Events);
                }
                node.eq_ignore_ascii_case("devicebound").then_some(Self::Messages)
            }
            [methods, node] if methods.eq_ignore_ascii_case("methods") => {
                node.eq_ignore_ascii_case("devicebound").then_some(Self::Methods)
            }
            [twin] => twin.eq_ignore_ascii_case("twin").then_some(Self::Twin),
            _ => None,
        }
    }
}

impl Address {
    /// Accepts an address with or without `amqps://host` before the path. A consumer group may have any name, because each reader
    /// has its own position.
    pub(crate) fn parse(text: &str) -> Self {
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => text,
        };
        let path = path.trim_matches('/');
        let parts: Vec<_> = path.split('/').collect();
        match parts.as_slice() {
            ["$cbs"] => Self::Cbs,
            ["$management"] | [.., "$management"] => Self::Management,
            [entity @ .., group, _, of, partition]
                if group.eq_ignore_ascii_case("ConsumerGroups") && of.eq_ignore_ascii_case("Partitions") =>
            {
                Self::Events { entity: entity.join("/"), partition: (*partition).to_owned() }
            }
            ["messages", node] if node.eq_ignore_ascii_case("devicebound") => Self::ToDevices,
            ["messages", service, "feedback"] if service.eq_ignore_ascii_case("servicebound") => Self::Feedback,
            ["messages", service, "filenotifications"] if service.eq_ignore_ascii_case("servicebound") => {
                Self::FileNotifications
            }
            ["devices", id, rest @ ..] => {
                let id = url_encoding::decode(id).and_then(|id| DeviceId::new(&id).ok());
                match id.zip(DeviceNode::parse(rest)) {
                    Some((id, node)) => Self::Device { id, node },
                    None => Self::Other(path.chars().take(200).collect()),
                }
            }
            _ => Self::Other(path.chars().take(200).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_clients_write_them() {
        let events = |entity: &str| Address::Events { entity: entity.into(), partition: "2".into() };
        let lamp = |node| Address::Device { id: DeviceId::new("lamp-1").unwrap(), node };
        let other = |path: &str| Address::Other(path.into());
        for (text, expect) in [
            ("/devices/lamp-1/messages/events", lamp(DeviceNode::Events)),
            ("amqps://hub.example/devices/lamp%2D1/messages/events/", lamp(DeviceNode::Events)),
            ("/devices/lamp-1/messages/deviceBound", lamp(DeviceNode::Messages)),
            ("/devices/lamp-1/methods/devicebound", lamp(DeviceNode::Methods)),
            ("/devices/lamp-1/twin", lamp(DeviceNode::Twin)),
            ("/devices/lamp-1/modules/arm/twin", other("devices/lamp-1/modules/arm/twin")),
            ("/devices/lamp-1", other("devices/lamp-1")),
            ("/devices/a#b/twin", other("devices/a#b/twin")),
            ("$cbs", Address::Cbs),
            ("$management", Address::Management),
            ("amqps://127.0.0.1/hall/ConsumerGroups/$Default/Partitions/2", events("hall")),
            ("hall/ConsumerGroups/$Default/Partitions/2", events("hall")),
            ("/messages/events/consumergroups/mine/partitions/2", events("messages/events")),
            ("/messages/devicebound", Address::ToDevices),
            ("amqps://hub.example/messages/devicebound", Address::ToDevices),
            ("/messages/serviceBound/feedback", Address::Feedback),
            ("/messages/serviceBound/filenotifications", Address::FileNotifications),
            ("/messages/serviceBound/other", other("messages/serviceBound/other")),
            ("", other("")),
        ] {
            assert_eq!(Address::parse(text), expect, "{text}");
        }
    }
}
