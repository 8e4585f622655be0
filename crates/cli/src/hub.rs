//! `switchbox hub`: a registry as programs for Azure IoT Hub see it.

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{answer::field, client::Client, names::registry_name, on_host, url::escape};
use switchbox_model::RegistryName;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print what an SDK is given to be a device, or to manage the hub; it holds a secret
    ConnectionString(ConnectionString),
}

#[derive(Debug, clap::Args)]
pub struct ConnectionString {
    /// Of this policy: iothubowner, service, device, registryRead or registryReadWrite [default: iothubowner]
    #[arg(long, conflicts_with = "device")]
    policy: Option<String>,
    /// Of this device
    #[arg(long)]
    device: Option<String>,
    /// The registry that is the hub: its id, or its full name [default: default]
    #[arg(long, value_name = "REGISTRY", env = "SWITCHBOX_REGISTRY")]
    registry: Option<String>,
    /// The host name in it [default: that of azure.hubs, else of the host's certificate, else localhost]
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// Which of the two keys stands in it
    #[arg(long, value_enum, default_value = "primary")]
    key: Which,
    /// Make that key anew first; what used the one before is disconnected
    #[arg(long)]
    new_key: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Primary,
    Secondary,
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        let Self::ConnectionString(options) = self;
        let registry =
            options.registry.as_deref().map_or_else(|| Ok(RegistryName::default_registry()), registry_name)?;
        let answer = ask(client, &registry, options.body())?;
        let text = field(&answer, "connectionString");
        Ok((answer, text))
    }
}

/// Asks the host for a connection string.
pub(super) fn ask(client: &Client, registry: &RegistryName, body: Map<String, Value>) -> anyhow::Result<Value> {
    client.post(&escape(&format!("/v1/{registry}:hubConnectionString")), &body.into())
}

impl ConnectionString {
    fn body(&self) -> Map<String, Value> {
        let key = match self.key {
            Which::Primary => "primary",
            Which::Secondary => "secondary",
        };
        let fields = [
            ("policy", self.policy.as_deref()),
            ("deviceId", self.device.as_deref()),
            ("hostName", self.host_name.as_deref()),
            ("key", Some(key)),
            ("newKey", Some(key).filter(|_| self.new_key)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    }
}
