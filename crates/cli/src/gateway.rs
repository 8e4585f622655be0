//! `switchbox gateway`: devices of a running host that connect other devices.

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    answer::{or_dash, typed, yes},
    client::Client,
    exit::wrong,
    on_host,
    table::table,
    url::escape,
};
use switchbox_admin_api::{
    BindDeviceToGatewayRequest, Device, GatewayAuthMethod, GatewayConfig, GatewayType, ListDevicesResponse,
};
use switchbox_model::{DeviceName, RegistryName};

/// What a gateway needs to attach a device.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Method {
    /// The device is bound to the gateway
    AssociationOnly,
    /// The device's own token
    DeviceAuthTokenOnly,
    /// Both
    AssociationAndDeviceAuthToken,
}

impl From<Method> for GatewayAuthMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::AssociationOnly => Self::AssociationOnly,
            Method::DeviceAuthTokenOnly => Self::DeviceAuthTokenOnly,
            Method::AssociationAndDeviceAuthToken => Self::AssociationAndDeviceAuthToken,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a registered device a gateway, or change what it needs to attach a device
    Make {
        device: String,
        #[arg(long, value_enum, default_value = "association-only", value_name = "METHOD")]
        auth: Method,
    },
    /// Make a gateway an ordinary device again; its bound devices must be unbound first
    Unmake { gateway: String },
    /// Bind a device of its registry to a gateway
    Bind { gateway: String, device: String },
    /// Unbind a device; if it is attached, it is detached at once
    Unbind { gateway: String, device: String },
    /// List all gateways of a registry
    List,
    /// List the devices that are bound to a gateway, or with --attached those that are attached to it now
    Devices {
        gateway: String,
        #[arg(long)]
        attached: bool,
    },
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Make { device, auth } => {
                let method = GatewayAuthMethod::from(*auth);
                let answer = configure(client, device, GatewayType::Gateway, Some(method))?;
                Ok((answer, format!("{device} is a gateway with {method}")))
            }
            Self::Unmake { gateway } => {
                let answer = configure(client, gateway, GatewayType::NonGateway, None)?;
                Ok((answer, format!("{gateway} is not a gateway any more")))
            }
            Self::Bind { gateway, device } => {
                let answer = associate(client, "bindDeviceToGateway", gateway, device)?;
                Ok((answer, format!("{device} is bound to {gateway}")))
            }
            Self::Unbind { gateway, device } => {
                let answer = associate(client, "unbindDeviceFromGateway", gateway, device)?;
                Ok((answer, format!("{device} is not bound to {gateway} any more")))
            }
            Self::List => list(client, &client.home()?, "gatewayListOptions.gatewayType=GATEWAY"),
            Self::Devices { gateway, attached } => {
                let DeviceName { registry, id } = client.device(gateway)?;
                let option = if *attached { "attachedTo" } else { "gatewayListOptions.associationsGatewayId" };
                list(client, &registry, &format!("{option}={}", escape(id.as_str())))
            }
        }
    }
}

fn configure(
    client: &Client,
    device: &str,
    kind: GatewayType,
    method: Option<GatewayAuthMethod>,
) -> anyhow::Result<Value> {
    let config = GatewayConfig { gateway_type: Some(kind), gateway_auth_method: method, ..GatewayConfig::default() };
    let body = Device { gateway_config: Some(config), ..Device::default() };
    client.patch(&client.path(device, "?updateMask=gatewayConfig")?, &body)
}

fn associate(client: &Client, verb: &str, gateway: &str, device: &str) -> anyhow::Result<Value> {
    let gateway = client.device(gateway)?;
    // The device is in the gateway's registry, so a short name refers to that.
    let device = DeviceName::parse(device, &gateway.registry)?;
    if gateway.registry != device.registry {
        return Err(wrong(format!(
            "{gateway} and {device} are in different registries; a gateway speaks for devices of its own registry only, so \
             register the device in {}",
            gateway.registry
        )));
    }
    let path = escape(&format!("/v1/{}:{verb}", gateway.registry));
    let (gateway_id, device_id) = (gateway.id.to_string(), device.id.to_string());
    client.post(&path, &BindDeviceToGatewayRequest { gateway_id, device_id, parent: None })
}

fn list(client: &Client, registry: &RegistryName, option: &str) -> anyhow::Result<(Value, String)> {
    let base = escape(&format!("/v1/{registry}/devices"));
    let query = format!("{option}&fieldMask=connected,blocked,gatewayConfig,attachedGatewayId");
    let answer = client.all(&format!("{base}?{query}"), "devices")?;
    let row = |device: Device| {
        let method = device.gateway_config.and_then(|config| config.gateway_auth_method);
        let connected = device.connected == Some(true);
        let gateway = device.attached_gateway_id;
        vec![or_dash(device.id), yes(connected), yes(device.blocked), or_dash(gateway), or_dash(method)]
    };
    let rows: Vec<_> = typed::<ListDevicesResponse>(&answer)?.devices.into_iter().map(row).collect();
    Ok((answer, table(&["DEVICE", "CONNECTED", "BLOCKED", "ATTACHED TO", "ATTACHES BY"], &rows)))
}
