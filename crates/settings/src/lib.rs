//! The host's configuration: defaults, then the settings file, then the environment, then flags. Pure: reads no file
//! and no environment itself. Every problem is reported at once, each with its key and where the value came from.

mod check;
mod keys;
mod merge;
#[cfg(test)]
mod merge_tests;
mod problem;
mod setting;
#[cfg(test)]
mod tests;
mod tracing;
mod value;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

pub use keys::{ALL, Key, Kind, Spec};
pub use merge::resolve;
pub use problem::{Problem, Problems};
use serde::{Deserialize, Serialize};
pub use setting::Origin;
use setting::Setting;

use switchbox_azure::Hubs;
use switchbox_model::{AllowedHosts, PayloadLimits};

/// Which clients may register themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enroll {
    /// A device that is not known is registered when it first connects. Only on a loopback listener.
    Open,
    /// Only an operator registers devices.
    Closed,
}

/// What a component gets that has no settings file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantPolicy {
    /// All that it asks for.
    Asked,
    /// Nothing until an operator consents.
    Consent,
}

/// How callers of the admin API authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminAuth {
    /// A bearer token, kept in the data folder.
    Token,
    /// Not at all. Only on a loopback listener.
    None,
}

/// Where the certificates for TLS are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and its authority, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// An authority (PEM). A certificate that it issued authenticates the device that the common name gives.
    pub client_authority: Option<PathBuf>,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// The collector's URL.
    pub endpoint: String,
    /// How many of a million traces that begin here are sampled.
    pub sampled_of_million: u32,
    /// Headers for the collector, one a line.
    pub headers: Option<PathBuf>,
}

/// Bytes of uploaded files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilesQuota {
    /// The limit of one device.
    pub device_bytes: u64,
    /// The limit of all devices together.
    pub total_bytes: u64,
}

/// What the host runs with. Every value has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// Where MQTT clients connect. Port 0 = a free one.
    pub mqtt: SocketAddr,
    /// Where they connect with TLS, over WebSocket, and over WebSocket with TLS.
    pub mqtt_tls: Option<SocketAddr>,
    pub ws: Option<SocketAddr>,
    pub wss: Option<SocketAddr>,
    /// Always there where something listens with TLS.
    pub tls: Option<TlsFiles>,
    /// MQTT connections at a time.
    pub max_connections: usize,
    /// MQTT connections of one address at a time.
    pub max_connections_per_address: usize,
    /// MQTT connections that come in a second.
    pub max_connects_per_second: u32,
    /// How long an MQTT client may take for TLS, WebSocket and CONNECT together.
    pub connect_deadline: Duration,
    /// How long it may take for the rest of a packet.
    pub packet_deadline: Duration,
    /// Time between two statistics under `$SYS/`. Zero: there are none.
    pub sys_interval: Duration,
    /// How large what is published may be.
    pub payloads: PayloadLimits,
    /// Where the admin API listens. Port 0 = a free one.
    pub admin: SocketAddr,
    /// Where it listens with TLS.
    pub admin_tls: Option<SocketAddr>,
    pub admin_auth: AdminAuth,
    /// Web pages that may call the admin API, by their origins.
    pub cors_origins: Vec<String>,
    /// The watched folder.
    pub plugins: PathBuf,
    pub grant: GrantPolicy,
    /// The program that makes components of rules in JavaScript.
    pub js_toolchain: Option<PathBuf>,
    pub enroll: Enroll,
    /// Commands that may wait for one device.
    pub queued_commands: usize,
    pub command_deliveries: u32,
    /// Which registry clients of Azure IoT Hub mean.
    pub hubs: Hubs,
    /// The address for programs of Azure IoT Hub's service side. `None` if there is no such listener.
    pub azure_https: Option<SocketAddr>,
    /// The addresses of the event endpoint, with TLS and without. `None` if there is no such listener.
    pub azure_amqps: Option<SocketAddr>,
    pub azure_amqp: Option<SocketAddr>,
    /// Connections at a time to `azure_https`, and over AMQP.
    pub azure_max_https_connections: usize,
    pub azure_max_amqp_connections: usize,
    /// Partitions of the event endpoint.
    pub azure_partitions: u16,
    /// Hosts that may be called over HTTP for methods.
    pub allowed_hosts: AllowedHosts,
    /// How much uploaded files may take.
    pub files: FilesQuota,
    /// Where traces are sent. `None` if there are none.
    pub tracing: Option<Tracing>,
    /// Bytes of the journal that are kept for history, beyond what is still needed.
    pub journal_keep_bytes: u64,
    /// Bytes of executions with results that are kept longer than the journal.
    pub journal_keep_executions_bytes: u64,
    /// Bytes of events that may wait for the journal; past it, publishers wait.
    pub journal_queue_bytes: usize,
    /// Bytes that are reserved on the disk, so that the host can start and trim the journal if it is full; 0 = none.
    pub disk_reserve_bytes: u64,
    /// Where less is free on the disk, the journal keeps less and a warning is logged.
    pub disk_warn_free_bytes: u64,
    in_force: BTreeMap<Key, Setting>,
}

impl Settings {
    /// The defaults with these on top, as flags would set them: for tests and the demo.
    pub fn with(flags: &[(Key, String)]) -> Result<Self, Problems> {
        resolve(None, &|_| None, flags)
    }

    /// Where the value in force comes from.
    #[must_use]
    pub fn origin(&self, key: Key) -> Origin {
        self.in_force.get(&key).map_or(Origin::Default, |setting| setting.origin)
    }
}

/// The output of `--print-settings`: a settings file with the same values, and the source of each.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, setting) in &self.in_force {
            writeln!(f, "{:<48} # {}", format!("{} = {}", key.name(), setting.in_file()), setting.origin)?;
        }
        Ok(())
    }
}
