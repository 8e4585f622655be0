//! `switchbox registry`: registries of a running host.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    answer::{self, items},
    client::Client,
    names::registry_name,
    on_host,
    table::details,
    url::escape,
};
use switchbox_model::RegistryName;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a registry
    Create {
        registry: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// All registries of a project and location
    List {
        #[arg(long, default_value_t = RegistryName::default_registry().project().to_owned())]
        project: String,
        #[arg(long, default_value_t = RegistryName::default_registry().location().to_owned())]
        location: String,
    },
    /// Everything about one registry
    Get { registry: String },
    /// Change what is given
    Update {
        registry: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Delete a registry that has no devices
    Delete { registry: String },
}

/// What a registry has beside its name
#[derive(Debug, clap::Args)]
pub struct Fields {
    /// An authority (PEM) whose certificates let in the devices that they name; may be given several times, and takes the place
    /// of all that are there
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// Take all authorities away
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
    /// As the API takes them.
    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = Map::new();
        if self.no_certificates || !self.certificates.is_empty() {
            let certificates = self.certificates.iter().map(|file| certificate(file));
            body.insert("credentials".into(), certificates.collect::<anyhow::Result<_>>()?);
        }
        if let Some(http) = self.http {
            let state = if matches!(http, Switch::On) { "HTTP_ENABLED" } else { "HTTP_DISABLED" };
            body.insert("httpConfig".into(), json!({ "httpEnabledState": state }));
        }
        Ok(body)
    }
}

fn certificate(file: &Path) -> anyhow::Result<Value> {
    let pem = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(json!({"publicKeyCertificate": {"format": "X509_CERTIFICATE_PEM", "certificate": pem}}))
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Create { registry, fields } => {
                let name = registry_name(registry)?;
                let mut body = fields.body()?;
                body.insert("id".into(), name.id().into());
                let answer = client.post(&parent(name.project(), name.location()), &body.into())?;
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
                let text = shown(&answer);
                Ok((answer, text))
            }
            Self::Update { registry, fields } => {
                let body = fields.body()?;
                let mask = body.keys().cloned().collect::<Vec<_>>().join(",");
                anyhow::ensure!(
                    !mask.is_empty(),
                    "nothing to change is given: use --certificate, --no-certificates or --http"
                );
                let answer = client.patch(&format!("{}?updateMask={mask}", path(registry)?), &body.into())?;
                Ok((answer, format!("{registry} is changed")))
            }
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

fn shown(registry: &Value) -> String {
    let fields = [("name", "/name"), ("createTime", "/createTime"), ("http", HTTP), ("logLevel", "/logLevel")];
    let mut rows = answer::rows(registry, &fields);
    rows.push(vec!["authorities".into(), items(registry, "credentials").len().to_string()]);
    details(&rows)
}
