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
}
