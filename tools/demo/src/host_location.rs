//! The addresses of the demo's host.

use std::{net::SocketAddr, path::PathBuf};

/// The addresses of the host that the demo uses.
#[derive(Debug, Clone)]
pub struct HostLocation {
    pub mqtt: SocketAddr,
    /// `http://…`
    pub admin: String,
    pub plugins: PathBuf,
    pub data: PathBuf,
    /// `None` if the host has no listeners for Azure IoT Hub.
    pub azure: Option<Azure>,
}

/// The listeners for programs of Azure IoT Hub.
#[derive(Debug, Clone)]
pub struct Azure {
    pub https: SocketAddr,
    /// The event endpoint, without TLS and with one partition.
    pub amqp: SocketAddr,
    /// The file with the authority of the host's certificate.
    pub authority: PathBuf,
}
