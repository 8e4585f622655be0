//! Notifications of mosquitto bridges: brokers that connect as clients, and publish whether they are connected.

/// Returns true for the topic on which a bridge publishes whether it is connected, by a retained message and a will. Bridges do so by
/// default. So if a client may not publish there, its notification is dropped, and the client is not refused.
pub(super) fn is_notification(topic: &str) -> bool {
    topic.strip_prefix("$SYS/broker/connection/").is_some_and(|rest| rest.ends_with("/state"))
}
