//! What a bridge of mosquitto's, another broker that connects as a client, publishes for itself.

/// Where a bridge tells the other broker whether it is connected, by a retained message and a will. It does so unless it is told not
/// to, so a client that may not publish there is not sent away for it: its notification is left out.
pub(super) fn is_notification(topic: &str) -> bool {
    topic.strip_prefix("$SYS/broker/connection/").is_some_and(|rest| rest.ends_with("/state"))
}
