//! How many connections a listener admits, and under which names its limits are counted.

use switchbox_model::limits::{LimitName, names};

/// How much there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections at a time.
    pub connections: usize,
    /// Connections of one address at a time, other than this machine's own.
    pub per_address: usize,
    /// Connections accepted a second; the burst is twice as many.
    pub per_second: u32,
    /// Connections whose client has not authenticated yet.
    pub unauthenticated: usize,
    pub names: Names,
}

/// The limits as the metrics and the log name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    pub(super) connections: LimitName,
    pub(super) per_address: LimitName,
    pub(super) per_second: LimitName,
    pub(super) per_second_per_address: LimitName,
    pub(super) unauthenticated: LimitName,
}

impl Names {
    pub const MQTT: Self = Self {
        connections: names::CONNECTIONS,
        per_address: names::CONNECTIONS_PER_ADDRESS,
        per_second: names::CONNECTS_PER_SECOND,
        per_second_per_address: names::CONNECTS_PER_SECOND_PER_ADDRESS,
        unauthenticated: names::UNAUTHENTICATED_CONNECTIONS,
    };
    pub const ADMIN: Self = Self {
        connections: names::ADMIN_CONNECTIONS,
        per_address: names::ADMIN_CONNECTIONS_PER_ADDRESS,
        per_second: names::ADMIN_CONNECTS_PER_SECOND,
        per_second_per_address: names::ADMIN_CONNECTS_PER_SECOND_PER_ADDRESS,
        unauthenticated: names::ADMIN_UNAUTHENTICATED_CONNECTIONS,
    };
    pub const HUB_AMQP: Self = Self {
        connections: names::HUB_AMQP_CONNECTIONS,
        per_address: names::HUB_AMQP_CONNECTIONS_PER_ADDRESS,
        per_second: names::HUB_AMQP_CONNECTS_PER_SECOND,
        per_second_per_address: names::HUB_AMQP_CONNECTS_PER_SECOND_PER_ADDRESS,
        unauthenticated: names::HUB_AMQP_UNAUTHENTICATED_CONNECTIONS,
    };
    pub const HUB_API: Self = Self {
        connections: names::HUB_API_CONNECTIONS,
        per_address: names::HUB_API_CONNECTIONS_PER_ADDRESS,
        per_second: names::HUB_API_CONNECTS_PER_SECOND,
        per_second_per_address: names::HUB_API_CONNECTS_PER_SECOND_PER_ADDRESS,
        unauthenticated: names::HUB_API_UNAUTHENTICATED_CONNECTIONS,
    };
}
