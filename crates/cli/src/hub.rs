//! `switchbox hub`: connection strings and keys for programs of Azure IoT Hub.

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::{answer::typed, client::Client, names::registry_name, on_host, url::escape};
use switchbox_admin_api::{HubConnectionStringRequest, HubConnectionStringResponse, HubKey};
use switchbox_model::RegistryName;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print the connection string of a device or of a policy; it contains a secret
    ConnectionString(ConnectionString),
}

#[derive(Debug, clap::Args)]
pub struct ConnectionString {
    /// The policy: iothubowner, service, device, registryRead or registryReadWrite [default: iothubowner]
    #[arg(long, conflicts_with = "device")]
    policy: Option<String>,
    /// The device
    #[arg(long)]
    device: Option<String>,
    /// The registry of the hub: its id, or its full name [default: default]
    #[arg(long, value_name = "REGISTRY", env = "SWITCHBOX_REGISTRY")]
    registry: Option<String>,
    /// The host name in it [default: that of azure.hubs, else the first of the host's certificate that means the registry, else localhost]
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// Which of the two keys it contains
    #[arg(long, value_enum, default_value = "primary")]
    key: KeyChoice,
    /// Replace that key first; clients that used the old one are disconnected
    #[arg(long)]
    new_key: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyChoice {
    Primary,
    Secondary,
}

impl From<KeyChoice> for HubKey {
    fn from(which: KeyChoice) -> Self {
        match which {
            KeyChoice::Primary => Self::Primary,
            KeyChoice::Secondary => Self::Secondary,
        }
    }
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        let Self::ConnectionString(options) = self;
        let registry =
            options.registry.as_deref().map_or_else(|| Ok(RegistryName::default_registry()), registry_name)?;
        let key = HubKey::from(options.key);
        let request = HubConnectionStringRequest {
            policy: options.policy.clone(),
            device_id: options.device.clone(),
            host_name: options.host_name.clone(),
            key: Some(key),
            new_key: Some(key).filter(|_| options.new_key),
        };
        ask(client, &registry, &request)
    }
}

/// Asks the host for a connection string. Returns its answer, and the connection string.
pub(super) fn ask(
    client: &Client,
    registry: &RegistryName,
    request: &HubConnectionStringRequest,
) -> anyhow::Result<(Value, String)> {
    let answer = client.post(&escape(&format!("/v1/{registry}:hubConnectionString")), request)?;
    let text = typed::<HubConnectionStringResponse>(&answer)?.connection_string;
    Ok((answer, text))
}
