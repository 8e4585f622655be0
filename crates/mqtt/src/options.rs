//! The settings of the MQTT server.

use std::{net::Ipv4Addr, time::Duration};

use tokio::runtime;

use super::listen::ListenerOptions;
use switchbox_azure::Hubs;
use switchbox_model::{PayloadLimits, limits};
use switchbox_support::tasks::Tasks;
use switchbox_transport::admission::{self, Names};

#[derive(Debug, Clone)]
pub struct Options {
    pub listeners: Vec<ListenerOptions>,
    /// Limit of open connections.
    pub connections: usize,
    /// Limit of open connections of one address. This machine's own addresses are exempt.
    pub connections_per_address: usize,
    /// Limit of new connections in a second.
    pub connects_per_second: u32,
    /// How long a client may take for TLS, WebSocket and CONNECT together.
    pub connect_deadline: Duration,
    /// How long a client may take to send the rest of a packet.
    pub packet_deadline: Duration,
    /// How long a client may leave what is sent to it unread.
    pub write_deadline: Duration,
    /// Time between two publications of the statistics under `$SYS/`. Zero turns them off.
    pub sys_interval: Duration,
    /// The limits for the sizes of payloads.
    pub payloads: PayloadLimits,
    /// The registries of the hub names of Azure IoT Hub clients.
    pub hubs: Hubs,
    /// The runtime that serves clients which do not keep the host busy. With `None`, one runtime serves all clients.
    pub foreground: Option<runtime::Handle>,
    /// The tasks without which the host cannot run. The listeners are added to them.
    pub tasks: Tasks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerOptions::plain((Ipv4Addr::LOCALHOST, 1883).into())],
            connections: 100_000,
            connections_per_address: 1_000,
            connects_per_second: 100_000,
            connect_deadline: Duration::from_secs(20),
            packet_deadline: Duration::from_secs(60),
            write_deadline: Duration::from_secs(30),
            sys_interval: Duration::ZERO,
            payloads: PayloadLimits::default(),
            hubs: Hubs::default(),
            foreground: None,
            tasks: Tasks::default(),
        }
    }
}

impl Options {
    pub(super) fn admission(&self) -> admission::Options {
        admission::Options {
            connections: self.connections,
            per_address: self.connections_per_address,
            per_second: self.connects_per_second,
            // Clients that are not authenticated yet never take all of the connections.
            unauthenticated: limits::UNAUTHENTICATED.min((self.connections / 2).max(64)),
            names: Names::MQTT,
        }
    }
}
