//! `switchbox registry`: registries of a running host.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    client::{Client, Host, escape, registry_name},
    table::{self, table},
};
use switchbox_model::RegistryName;

/// Registries: each has devices with names of its own. A registry is named by its id, such as hall, or in full
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
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
struct Fields {
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

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let (answer, text) = act(&options.host.client()?, &options.action)?;
    Ok(options.host.show(&answer, text))
}

fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    match action {
        Action::Create { registry, fields } => {
            let name = registry_name(registry)?;
            let mut body = fields.body()?;
            body.insert("id".into(), name.id().into());
            let answer = client.post(&parent(name.project(), name.location()), &body.into())?;
            Ok((
                answer,
                format!("{name} is made; `switchbox device create --registry {registry} DEVICE` registers a device"),
            ))
        }
        Action::List { project, location } => list(client, &parent(project, location)),
        Action::Get { registry } => {
            let answer = client.get(&path(registry)?)?;
            let text = details(&answer);
            Ok((answer, text))
        }
        Action::Update { registry, fields } => {
            let body = fields.body()?;
            let mask = body.keys().cloned().collect::<Vec<_>>().join(",");
            anyhow::ensure!(
                !mask.is_empty(),
                "nothing to change is given: use --certificate, --no-certificates or --http"
            );
            let answer = client.patch(&format!("{}?updateMask={mask}", path(registry)?), &body.into())?;
            Ok((answer, format!("{registry} is changed")))
        }
        Action::Delete { registry } => {
            let answer = client.delete(&path(registry)?)?;
            Ok((answer, format!("{registry} is deleted")))
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
    let (mut registries, mut token) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{base}?pageSize=1000&pageToken={}", escape(&token)))?;
        registries.extend(page.get("deviceRegistries").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let rows: Vec<_> =
        registries.iter().map(|registry| ["/id", "/createTime", HTTP].map(|at| text(registry, at)).into()).collect();
    Ok((json!({ "deviceRegistries": registries }), table(&["REGISTRY", "MADE", "HTTP"], &rows)))
}

const HTTP: &str = "/httpConfig/httpEnabledState";

fn text(registry: &Value, at: &str) -> String {
    registry.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned()
}

fn details(registry: &Value) -> String {
    let fields = [("name", "/name"), ("createTime", "/createTime"), ("http", HTTP), ("logLevel", "/logLevel")];
    let mut rows: Vec<_> = fields.map(|(name, at)| vec![name.to_owned(), text(registry, at)]).into();
    let authorities = registry.get("credentials").and_then(Value::as_array).map_or(0, Vec::len);
    rows.push(vec!["authorities".into(), authorities.to_string()]);
    table::details(&rows)
}
