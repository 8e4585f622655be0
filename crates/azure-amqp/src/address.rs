//! The addresses that links can name.

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
    /// Any other address.
    Other(String),
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
        for (text, expect) in [
            ("$cbs", Address::Cbs),
            ("$management", Address::Management),
            ("amqps://127.0.0.1/hall/ConsumerGroups/$Default/Partitions/2", events("hall")),
            ("hall/ConsumerGroups/$Default/Partitions/2", events("hall")),
            ("/messages/events/consumergroups/mine/partitions/2", events("messages/events")),
            ("/messages/devicebound", Address::ToDevices),
            ("amqps://hub.example/messages/devicebound", Address::ToDevices),
            ("/messages/serviceBound/feedback", Address::Feedback),
            ("/messages/serviceBound/filenotifications", Address::FileNotifications),
            ("/messages/serviceBound/other", Address::Other("messages/serviceBound/other".into())),
            ("", Address::Other(String::new())),
        ] {
            assert_eq!(Address::parse(text), expect, "{text}");
        }
    }
}
