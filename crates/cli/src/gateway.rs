//! `switchbox gateway`: devices of a running host that speak for others.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    client::{Client, Host, Names, escape},
    table::table,
};
use switchbox_model::{DeviceName, RegistryName};

/// Gateways: devices that speak for others, which attach over the gateway's connection
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: Host,
    #[command(flatten)]
    names: Names,
    #[command(subcommand)]
    action: Action,
}

/// What a gateway must show to attach a device.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// The device is bound to the gateway
    AssociationOnly,
    /// The device's own token
    DeviceAuthTokenOnly,
    /// Both
    AssociationAndDeviceAuthToken,
}

impl Method {
    /// As the API writes it.
    fn word(self) -> &'static str {
        match self {
            Self::AssociationOnly => "ASSOCIATION_ONLY",
            Self::DeviceAuthTokenOnly => "DEVICE_AUTH_TOKEN_ONLY",
            Self::AssociationAndDeviceAuthToken => "ASSOCIATION_AND_DEVICE_AUTH_TOKEN",
        }
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a registered device a gateway, or change what it must show to attach a device
    Make {
        device: String,
        #[arg(long, value_enum, default_value = "association-only", value_name = "METHOD")]
        auth: Method,
    },
    /// Make a gateway a plain device again; its bound devices must be unbound first
    Unmake { gateway: String },
    /// Let a gateway speak for a device of its registry
    Bind { gateway: String, device: String },
    /// Take that back; a device that is attached is detached at once
    Unbind { gateway: String, device: String },
    /// All gateways of a registry
    List,
    /// The devices that are bound to a gateway
    Devices { gateway: String },
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let (answer, text) = act(&options.host.client_in(&options.names)?, &options.action)?;
    Ok(options.host.show(&answer, text))
}

fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    match action {
        Action::Make { device, auth } => {
            let config = json!({"gatewayType": "GATEWAY", "gatewayAuthMethod": auth.word()});
            Ok((configure(client, device, &config)?, format!("{device} is a gateway with {}", auth.word())))
        }
        Action::Unmake { gateway } => {
            let config = json!({"gatewayType": "NON_GATEWAY"});
            Ok((configure(client, gateway, &config)?, format!("{gateway} is no gateway any more")))
        }
        Action::Bind { gateway, device } => {
            let answer = associate(client, "bindDeviceToGateway", gateway, device)?;
            Ok((answer, format!("{device} is bound to {gateway}")))
        }
        Action::Unbind { gateway, device } => {
            let answer = associate(client, "unbindDeviceFromGateway", gateway, device)?;
            Ok((answer, format!("{device} is not bound to {gateway} any more")))
        }
        Action::List => list(client, &client.home()?, "gatewayType=GATEWAY"),
        Action::Devices { gateway } => {
            let DeviceName { registry, id } = client.device(gateway)?;
            list(client, &registry, &format!("associationsGatewayId={}", escape(id.as_str())))
        }
    }
}

fn configure(client: &Client, device: &str, config: &Value) -> anyhow::Result<Value> {
    client.patch(&client.path(device, "?updateMask=gatewayConfig")?, &json!({ "gatewayConfig": config }))
}

fn associate(client: &Client, verb: &str, gateway: &str, device: &str) -> anyhow::Result<Value> {
    let gateway = client.device(gateway)?;
    // A gateway speaks for devices of its registry, so that is the one that a short name is of.
    let device = DeviceName::parse(device, &gateway.registry)?;
    if gateway.registry != device.registry {
        anyhow::bail!(
            "{gateway} and {device} are in different registries; a gateway speaks for devices of its own registry only, so \
             register the device in {}",
            gateway.registry
        );
    }
    let path = escape(&format!("/v1/{}:{verb}", gateway.registry));
    client.post(&path, &json!({"gatewayId": gateway.id.as_str(), "deviceId": device.id.as_str()}))
}

fn list(client: &Client, registry: &RegistryName, option: &str) -> anyhow::Result<(Value, String)> {
    let base = escape(&format!("/v1/{registry}/devices"));
    let (mut devices, mut token) = (Vec::new(), String::new());
    loop {
        let query = format!("gatewayListOptions.{option}&fieldMask=connected,blocked,gatewayConfig&pageSize=1000");
        let page = client.get(&format!("{base}?{query}&pageToken={}", escape(&token)))?;
        devices.extend(page.get("devices").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let yes = |device: &Value, name: &str| if device.get(name) == Some(&Value::Bool(true)) { "yes" } else { "no" };
    let word = |device: &Value, at: &str| device.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
    let row = |device: &Value| {
        let method = word(device, "/gatewayConfig/gatewayAuthMethod");
        vec![word(device, "/id"), yes(device, "connected").into(), yes(device, "blocked").into(), method]
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    Ok((json!({ "devices": devices }), table(&["DEVICE", "CONNECTED", "BLOCKED", "ATTACHES BY"], &rows)))
}
