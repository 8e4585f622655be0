//! `switchbox registry`: registries of a running host.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    answer::{self, or_dash, typed},
    authority,
    client::Client,
    exit::wrong,
    names::registry_name,
    on_host,
    table::details,
    url::escape,
    when::at,
};
use switchbox_admin_api::{DeviceRegistry, HttpConfig, HttpState};
use switchbox_model::RegistryName;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create a registry
    Create {
        registry: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// List all registries of a project and location
    List {
        #[arg(long, default_value_t = RegistryName::default_registry().project().to_owned())]
        project: String,
        #[arg(long, default_value_t = RegistryName::default_registry().location().to_owned())]
        location: String,
    },
    /// Show one registry
    Get { registry: String },
    /// Change the given fields
    Update {
        registry: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// The authorities that admit devices of the registry
    #[command(subcommand)]
    Credential(authority::Action),
    /// Delete a registry that has no devices
    Delete { registry: String },
}

/// The fields of a registry
#[derive(Debug, clap::Args)]
pub struct Fields {
    /// An authority (PEM) that admits devices with certificates that it issued; may be repeated, and replaces all existing ones
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// Remove all authorities
    #[arg(long, conflicts_with = "certificates")]
    no_certificates: bool,
    /// Whether its devices may use HTTP
    #[arg(long, value_enum, value_name = "STATE")]
    http: Option<Switch>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Fields {
    /// In the API's format, with the mask of the given fields.
    fn body(&self) -> anyhow::Result<(DeviceRegistry, String)> {
        let (mut body, mut mask) = (DeviceRegistry::default(), Vec::new());
        if self.no_certificates || !self.certificates.is_empty() {
            let certificates = self.certificates.iter().map(|file| authority::read(file));
            body.credentials = certificates.collect::<anyhow::Result<_>>()?;
            mask.push("credentials");
        }
        if let Some(http) = self.http {
            let state = if matches!(http, Switch::On) { HttpState::Enabled } else { HttpState::Disabled };
            body.http_config = Some(HttpConfig { http_enabled_state: Some(state) });
            mask.push("httpConfig");
        }
        Ok((body, mask.join(",")))
    }
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Create { registry, fields } => {
                let name = registry_name(registry)?;
                let body = DeviceRegistry { id: Some(name.id().to_owned()), ..fields.body()?.0 };
                let answer = client.post(&parent(name.project(), name.location()), &body)?;
                Ok((
                    answer,
                    format!(
                        "{name} is made; `switchbox device create --registry {registry} DEVICE` registers a device"
                    ),
                ))
            }
            Self::List { project, location } => list(client, &parent(project, location)),
            Self::Get { registry } => {
                let answer = client.get(&path(registry)?)?;
                let text = shown(typed(&answer)?);
                Ok((answer, text))
            }
            Self::Update { registry, fields } => {
                let (body, mask) = fields.body()?;
                if mask.is_empty() {
                    return Err(wrong("nothing to change is given: use --certificate, --no-certificates or --http"));
                }
                let answer = client.patch(&format!("{}?updateMask={mask}", path(registry)?), &body)?;
                Ok((answer, format!("{registry} is changed")))
            }
            Self::Credential(action) => action.run(client, path),
            Self::Delete { registry } => {
                let answer = client.delete(&path(registry)?)?;
                Ok((answer, format!("{registry} is deleted")))
            }
        }
    }
}

fn path(registry: &str) -> anyhow::Result<String> {
    Ok(escape(&format!("/v1/{}", registry_name(registry)?)))
}

fn parent(project: &str, location: &str) -> String {
    escape(&format!("/v1/projects/{project}/locations/{location}/registries"))
}

fn list(client: &Client, base: &str) -> anyhow::Result<(Value, String)> {
    let answer = client.all(base, "deviceRegistries")?;
    let columns = [("REGISTRY", "/id"), ("MADE", "/createTime"), ("HTTP", HTTP)];
    let text = answer::list(&answer, "deviceRegistries", &columns);
    Ok((answer, text))
}

const HTTP: &str = "/httpConfig/httpEnabledState";

fn shown(registry: DeviceRegistry) -> String {
    let http = registry.http_config.and_then(|config| config.http_enabled_state);
    let rows = [
        ("name", or_dash(registry.name)),
        ("createTime", at(or_dash(registry.create_time))),
        ("http", or_dash(http)),
        ("logLevel", or_dash(registry.log_level)),
        ("authorities", registry.credentials.len().to_string()),
    ];
    details(&rows.map(|(name, value)| vec![name.to_owned(), value]))
}
