//! `switchbox device`: devices of a running host.

mod command;
mod twin;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::{Client, Host, data, device_name, device_path, encoded, escape, shown},
    credential,
    table::table,
    token,
};
use crate::model::RegistryName;

/// Devices are named lamp-1 (in the default registry), REGISTRY/lamp-1, or in full
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register a device
    Create {
        device: String,
        /// Not let in until it is unblocked
        #[arg(long)]
        blocked: bool,
        /// NAME=VALUE; may be given several times
        #[arg(long = "metadata", value_name = "NAME=VALUE")]
        metadata: Vec<String>,
        #[command(flatten)]
        key: credential::NewKey,
        /// Call its methods over HTTP at this URL, for a device that does not listen to MQTT
        #[arg(long, value_name = "URL")]
        method_endpoint: Option<String>,
    },
    /// All devices of a registry
    List {
        #[arg(long, default_value = "default")]
        registry: String,
    },
    /// Everything about one device
    Get { device: String },
    /// Take a device out of the registry
    Delete { device: String },
    /// The config that the device should have
    #[command(subcommand)]
    Config(Config),
    /// What the device is to do, once
    #[command(subcommand)]
    Command(command::Command),
    /// Call a method of a device and show the status and the payload of its answer
    #[command(visible_alias = "call")]
    Method {
        device: String,
        method: String,
        /// The text itself, @FILE, or - for standard input
        #[arg(value_name = "DATA", default_value = "")]
        payload: String,
        /// How long to wait
        #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
        timeout: std::time::Duration,
    },
    /// What the device last reported
    State { device: String },
    /// Shut a device out; its connection ends at once
    Block { device: String },
    /// Let a blocked device in again
    Unblock { device: String },
    /// The public keys and certificates by which the device is known
    #[command(subcommand)]
    Credential(credential::Action),
    /// Give the device a password, made here or read from standard input
    Password(credential::Password),
    /// Print a token that the private key signs; needs no host
    Token(token::Options),
    /// Config and state together: desired, reported, and where they differ
    #[command(subcommand)]
    Twin(twin::Twin),
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Make a new version
    Set {
        device: String,
        /// The text itself, @FILE, or - for standard input
        #[arg(value_name = "DATA")]
        payload: String,
        /// Only if this version is in force
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// Show the newest version, or with --all those that are kept
    Get {
        device: String,
        #[arg(long)]
        all: bool,
    },
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    if let Action::Token(options) = &options.action {
        return token::run(options);
    }
    let (answer, text) = act(&options.host.client()?, &options.action)?;
    Ok(options.host.show(&answer, text))
}

/// The host's answer, and what a person wants to read of it.
fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    match action {
        Action::Create { device, blocked, metadata, method_endpoint, key } => {
            create(client, device, (*blocked, metadata, method_endpoint.as_deref()), key)
        }
        Action::List { registry } => list(client, registry),
        Action::Get { device } => {
            let answer = client.get(&path(device, "")?)?;
            let text = details(&answer)?;
            Ok((answer, text))
        }
        Action::Delete { device } => {
            let answer = client.delete(&path(device, "")?)?;
            Ok((answer, format!("{device} is deleted")))
        }
        Action::Config(Config::Set { device, payload: text, version }) => {
            let body =
                json!({"binaryData": encoded(&data(text)?), "versionToUpdate": version.unwrap_or(0).to_string()});
            let answer = client.post(&path(device, ":modifyCloudToDeviceConfig")?, &body)?;
            let text = format!("{device} has config version {}", field(&answer, "version"));
            Ok((answer, text))
        }
        Action::Config(Config::Get { device, all }) => configs(client, device, *all),
        Action::Command(command) => command::act(client, command),
        Action::Method { device, method, payload: text, timeout } => {
            let timeout = format!("{}s", timeout.as_secs_f64());
            let body = json!({"method": method, "payload": encoded(&data(text)?), "timeout": timeout});
            let answer = client.post(&path(device, ":invokeMethod")?, &body)?;
            let text = format!("{} {}", answer.get("status").unwrap_or(&Value::Null), shown(answer.get("payload"))?);
            Ok((answer, text))
        }
        Action::State { device } => state(client, device),
        Action::Block { device } => set_blocked(client, device, true),
        Action::Unblock { device } => set_blocked(client, device, false),
        Action::Credential(action) => credential::run(client, action),
        Action::Password(options) => credential::password(client, options),
        Action::Token(options) => Ok((Value::Null, token::run(options)?)),
        Action::Twin(action) => twin::act(client, action),
    }
}

fn path(device: &str, rest: &str) -> anyhow::Result<String> {
    Ok(format!("{}{rest}", device_path(&device_name(device)?)))
}

fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".into(),
        Some(other) => other.to_string(),
    }
}

fn set_blocked(client: &Client, device: &str, blocked: bool) -> anyhow::Result<(Value, String)> {
    let answer = client.patch(&path(device, "?updateMask=blocked")?, &json!({ "blocked": blocked }))?;
    Ok((answer, format!("{device} is {}", if blocked { "blocked" } else { "let in again" })))
}

fn create(
    client: &Client,
    device: &str,
    (blocked, metadata, endpoint): (bool, &[String], Option<&str>),
    key: &credential::NewKey,
) -> anyhow::Result<(Value, String)> {
    let name = device_name(device)?;
    let pairs = metadata.iter().map(|pair| {
        let pair = pair.split_once('=').ok_or_else(|| anyhow::anyhow!("--metadata {pair}: write NAME=VALUE"))?;
        Ok((pair.0.to_owned(), Value::from(pair.1)))
    });
    let metadata = pairs.collect::<anyhow::Result<serde_json::Map<_, _>>>()?;
    let key = key.make(name.id.as_str())?;
    let credentials: Vec<&Value> = key.iter().map(|key| &key.credential).collect();
    let mut body =
        json!({"id": name.id.as_str(), "blocked": blocked, "metadata": metadata, "credentials": credentials});
    if let (Some(url), Some(fields)) = (endpoint, body.as_object_mut()) {
        fields.insert("methodEndpoint".into(), json!({ "url": url }));
    }
    let answer = client.post(&escape(&format!("/v1/{}/devices", name.registry)), &body);
    if answer.is_err()
        && let Some(key) = &key
    {
        key.forget();
    }
    let answer = answer?;
    let example = key.map(|key| key.example(client, &name)).unwrap_or_default();
    Ok((answer, format!("{name} is registered{example}")))
}

fn list(client: &Client, registry: &str) -> anyhow::Result<(Value, String)> {
    let registry = match RegistryName::new(registry) {
        Ok(name) => name,
        Err(_) => RegistryName::of("local", "local", registry)?,
    };
    let base = escape(&format!("/v1/{registry}/devices"));
    let mut devices = Vec::new();
    let mut token = String::new();
    loop {
        let mask = "connected,blocked,config.version,lastEventTime,lastStateTime";
        let page = client.get(&format!("{base}?pageSize=1000&fieldMask={mask}&pageToken={}", escape(&token)))?;
        devices.extend(page.get("devices").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            let version = device.get("config").map_or("-".into(), |config| field(config, "version"));
            vec![
                field(device, "id"),
                yes(device, "connected"),
                yes(device, "blocked"),
                version,
                field(device, "lastEventTime"),
            ]
        })
        .collect();
    let text = table(&["DEVICE", "CONNECTED", "BLOCKED", "CONFIG", "LAST EVENT"], &rows);
    Ok((json!({ "devices": devices }), text))
}

fn yes(value: &Value, name: &str) -> String {
    if value.get(name) == Some(&Value::Bool(true)) { "yes".into() } else { "no".into() }
}

fn details(device: &Value) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for name in ["name", "numId", "createTime", "connected", "blocked", "lastEventTime"] {
        rows.push(vec![name.to_owned(), field(device, name)]);
    }
    if let Some(error) = device.pointer("/lastErrorStatus/message") {
        rows.push(vec!["last error".to_owned(), format!("{} ({})", text_of(error), field(device, "lastErrorTime"))]);
    }
    if let Some(url) = device.pointer("/methodEndpoint/url") {
        rows.push(vec!["method endpoint".to_owned(), text_of(url)]);
    }
    if let Some(Value::Object(metadata)) = device.get("metadata") {
        rows.extend(metadata.iter().map(|(name, value)| vec![format!("metadata {name}"), text_of(value)]));
    }
    for (document, time) in [("config", "deviceAckTime"), ("state", "updateTime")] {
        if let Some(found) = device.get(document) {
            rows.push(vec![format!("{document} version"), field(found, "version")]);
            rows.push(vec![format!("{document} {time}"), field(found, time)]);
            rows.push(vec![document.to_owned(), shown(found.get("binaryData"))?]);
        }
    }
    Ok(table(&["FIELD", "VALUE"], &rows))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn configs(client: &Client, device: &str, all: bool) -> anyhow::Result<(Value, String)> {
    let answer = client.get(&path(device, if all { "/configVersions" } else { "/configVersions?numVersions=1" })?)?;
    let versions = answer.get("deviceConfigs").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = match (all, versions.first()) {
        (_, None) => anyhow::bail!("{device} has no config yet; make one with `switchbox device config set`"),
        (false, Some(newest)) => shown(newest.get("binaryData"))?,
        (true, Some(_)) => {
            let rows = versions.iter().map(|version| {
                let data = shown(version.get("binaryData"))?;
                let (number, made) = (field(version, "version"), field(version, "cloudUpdateTime"));
                Ok(vec![number, made, field(version, "deviceAckTime"), data])
            });
            table(&["VERSION", "MADE", "ACKNOWLEDGED", "DATA"], &rows.collect::<anyhow::Result<Vec<_>>>()?)
        }
    };
    Ok((answer, text))
}

fn state(client: &Client, device: &str) -> anyhow::Result<(Value, String)> {
    let answer = client.get(&path(device, "/states?numStates=1")?)?;
    match answer.pointer("/deviceStates/0") {
        None => anyhow::bail!("{device} has not reported a state yet"),
        Some(newest) => {
            let text = shown(newest.get("binaryData"))?;
            Ok((answer, text))
        }
    }
}
