//! `switchbox device`: devices of a running host.

mod calls;
mod command;
mod create;
mod look;
mod prune;
mod twin;
mod update;

use clap::Subcommand;
use serde_json::Value;

use super::{
    answer::{or_dash, typed},
    client::Client,
    credential,
    exit::Code,
    host::HostOptions,
    names::Names,
    payload::{data, readable},
    printed::Printed,
    token,
};
use switchbox_admin_api::{
    Base64, Device, DeviceConfig, Int64, InvokeMethodRequest, InvokeMethodResponse, ModifyCloudToDeviceConfigRequest,
    Span,
};

/// A status from this one on means that the device refused a method call, as in HTTP.
const FAILED: u16 = 400;

/// Devices are named lamp-1 (in the default registry, or that of --registry), REGISTRY/lamp-1, or by their full name
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    names: Names,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register a device
    Create(create::Create),
    List(look::List),
    /// Show one device
    Get {
        device: String,
    },
    /// Change the given fields
    Update(update::Update),
    /// Delete a device
    Delete {
        device: String,
    },
    /// The config of a device
    #[command(subcommand)]
    Config(Config),
    /// Commands to a device
    #[command(subcommand)]
    Command(command::Command),
    /// Call a method of a device and show the status and the payload of its answer
    ///
    /// The exit code is 0 if the device answers with a status below 400, 3 if it answers with 400 or more, 7 if it cannot be
    /// called, and 8 if it does not answer in time
    #[command(visible_alias = "call")]
    Method {
        device: String,
        method: String,
        /// The text itself, @FILE, or - for standard input
        #[arg(value_name = "DATA", default_value = "")]
        payload: String,
        /// How long to wait for the answer
        #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
        timeout: std::time::Duration,
    },
    Calls(calls::Calls),
    /// Show the reported states that are kept, the newest first
    State {
        device: String,
        /// Show only the newest, as the device sent it
        #[arg(long)]
        newest: bool,
    },
    /// Block a device; its connection ends at once
    Block {
        device: String,
    },
    /// Unblock a device
    Unblock {
        device: String,
    },
    /// The public keys and certificates of a device
    #[command(subcommand)]
    Credential(credential::Action),
    /// Give the device a password, generated here or read from standard input
    Password(credential::Password),
    /// Print a token that a private key signs; needs no host
    Token(token::Options),
    Prune(prune::Prune),
    /// Config and state together: desired, reported, and their differences
    #[command(subcommand)]
    Twin(twin::Twin),
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Create a new version, unless the current one has the same bytes
    Set {
        device: String,
        /// The text itself, @FILE, or - for standard input
        #[arg(value_name = "DATA")]
        payload: String,
        /// Only if this version is the current one
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// Create a new version even if the current one has the same bytes
        #[arg(long)]
        force: bool,
    },
    /// Show the newest version, or with --all those that are kept
    Get {
        device: String,
        #[arg(long, visible_alias = "versions")]
        all: bool,
    },
}

/// Returns what is to be printed, and the exit code.
pub(super) fn run(options: &Options) -> anyhow::Result<Printed> {
    if let Action::Token(options) = &options.action {
        return Ok(token::run(options)?.into());
    }
    let client = options.host.client_in(&options.names)?;
    if let Action::Twin(action) = &options.action {
        return Ok(twin::run(&options.host, &client, action)?.into());
    }
    let (answer, text) = act(&client, &options.action)?;
    let code = if failed(&options.action, &answer) { Code::DeviceRefused as u8 } else { 0 };
    Ok(Printed { text: options.host.show(&answer, text), code })
}

/// Whether the device answered a method call with an error status.
fn failed(action: &Action, answer: &Value) -> bool {
    let answered = matches!(action, Action::Method { .. }).then(|| typed::<InvokeMethodResponse>(answer));
    matches!(answered, Some(Ok(InvokeMethodResponse { status: FAILED.., .. })))
}

/// The host's answer, and its text for users.
fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    match action {
        Action::Create(options) => create::act(client, options),
        Action::List(options) => look::list(client, options),
        Action::Update(options) => update::act(client, options),
        Action::Get { device } => {
            let answer = client.get(&client.path(device, "")?)?;
            let text = look::details(typed(&answer)?);
            Ok((answer, text))
        }
        Action::Delete { device } => {
            let answer = client.delete(&client.path(device, "")?)?;
            Ok((answer, format!("{device} is deleted")))
        }
        Action::Config(Config::Set { device, payload: text, version, force }) => {
            let body = ModifyCloudToDeviceConfigRequest {
                binary_data: Base64(data(text)?.into()),
                version_to_update: Int64(version.unwrap_or(0)),
                force: *force,
                name: None,
            };
            let answer = client.post(&client.path(device, ":modifyCloudToDeviceConfig")?, &body)?;
            let config: DeviceConfig = typed(&answer)?;
            let already = if config.unchanged == Some(true) {
                " already, with these bytes; --force makes a new version"
            } else {
                ""
            };
            let text = format!("{device} has config version {}{already}", or_dash(config.version));
            Ok((answer, text))
        }
        Action::Config(Config::Get { device, all }) => look::configs(client, device, *all),
        Action::Command(command) => command::act(client, command),
        Action::Method { device, method, payload: text, timeout } => {
            let payload = Base64(data(text)?.into());
            let body = InvokeMethodRequest { method: method.clone(), payload, timeout: Some(Span(*timeout)) };
            let answer = client.post(&client.path(device, ":invokeMethod")?, &body)?;
            let InvokeMethodResponse { status, payload, .. } = typed(&answer)?;
            let text = format!("{status} {}", readable(Some(&payload)));
            Ok((answer, text.trim_end().to_owned()))
        }
        Action::Calls(options) => calls::act(client, options),
        Action::State { device, newest } => look::states(client, device, *newest),
        Action::Block { device } => set_blocked(client, device, true),
        Action::Unblock { device } => set_blocked(client, device, false),
        Action::Credential(action) => credential::run(client, action),
        Action::Password(options) => credential::password(client, options),
        Action::Token(options) => Ok((Value::Null, token::run(options)?)),
        Action::Prune(options) => prune::run(client, options),
        Action::Twin(_) => anyhow::bail!("a twin is shown as it is"),
    }
}

fn set_blocked(client: &Client, device: &str, blocked: bool) -> anyhow::Result<(Value, String)> {
    let answer =
        client.patch(&client.path(device, "?updateMask=blocked")?, &Device { blocked, ..Device::default() })?;
    Ok((answer, format!("{device} is {}", if blocked { "blocked" } else { "unblocked" })))
}
