//! `switchbox gateway`: devices of a running host that speak for others.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    answer::{cell, field, items, yes},
    client::Client,
    on_host,
    table::table,
    url::escape,
};
use switchbox_model::{DeviceName, RegistryName};

/// What a gateway must show to attach a device.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Method {
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
pub enum Action {
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

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Make { device, auth } => {
                let config = json!({"gatewayType": "GATEWAY", "gatewayAuthMethod": auth.word()});
                Ok((configure(client, device, &config)?, format!("{device} is a gateway with {}", auth.word())))
            }
            Self::Unmake { gateway } => {
                let config = json!({"gatewayType": "NON_GATEWAY"});
                Ok((configure(client, gateway, &config)?, format!("{gateway} is no gateway any more")))
            }
            Self::Bind { gateway, device } => {
                let answer = associate(client, "bindDeviceToGateway", gateway, device)?;
                Ok((answer, format!("{device} is bound to {gateway}")))
            }
            Self::Unbind { gateway, device } => {
                let answer = associate(client, "unbindDeviceFromGateway", gateway, device)?;
                Ok((answer, format!("{device} is not bound to {gateway} any more")))
            }
            Self::List => list(client, &client.home()?, "gatewayType=GATEWAY"),
            Self::Devices { gateway } => {
                let DeviceName { registry, id } = client.device(gateway)?;
                list(client, &registry, &format!("associationsGatewayId={}", escape(id.as_str())))
            }
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
    let query = format!("gatewayListOptions.{option}&fieldMask=connected,blocked,gatewayConfig");
    let answer = client.all(&format!("{base}?{query}"), "devices")?;
    let row = |device: &Value| {
        let method = cell(device.pointer("/gatewayConfig/gatewayAuthMethod"));
        vec![field(device, "id"), yes(device, "connected"), yes(device, "blocked"), method]
    };
    let rows: Vec<_> = items(&answer, "devices").iter().map(row).collect();
    Ok((answer, table(&["DEVICE", "CONNECTED", "BLOCKED", "ATTACHES BY"], &rows)))
}
