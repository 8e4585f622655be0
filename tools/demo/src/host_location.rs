//! Where the host of the demo is.

use std::{net::SocketAddr, path::PathBuf};

/// Where the host is that the demo plays on.
#[derive(Debug, Clone)]
pub struct HostLocation {
    pub mqtt: SocketAddr,
    /// `http://…`
    pub admin: String,
    pub plugins: PathBuf,
    pub data: PathBuf,
}
