//! `switchbox device create`: registers a device, with a new key on request.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use crate::{client::Client, credential::NewKey, exit::wrong, hub, url::escape};
use switchbox_admin_api::{Device, HubConnectionStringRequest, MethodEndpoint, SymmetricKeys};
use switchbox_model::registry::check_metadata_key;

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    device: String,
    /// Refuse the device until it is unblocked
    #[arg(long)]
    blocked: bool,
    /// NAME=VALUE; may be repeated
    #[arg(long = "metadata", value_name = "NAME=VALUE")]
    metadata: Vec<String>,
    #[command(flatten)]
    key: NewKey,
    /// Create two symmetric keys for Azure IoT Hub's SDKs, and print the device's connection string
    #[arg(long)]
    sas: bool,
    /// Call its methods over HTTP at this URL, for a device that does not use MQTT
    #[arg(long, value_name = "URL")]
    method_endpoint: Option<String>,
}

pub(super) fn act(client: &Client, options: &Create) -> anyhow::Result<(Value, String)> {
    let name = client.device(&options.device)?;
    let metadata = pairs(&options.metadata)?;
    let key = options.key.make(name.id.as_str())?;
    let body = Device {
        id: Some(name.id.to_string()),
        blocked: options.blocked,
        metadata,
        credentials: key.iter().flat_map(|key| key.credentials.clone()).collect(),
        method_endpoint: options.method_endpoint.clone().map(|url| MethodEndpoint { url }),
        symmetric_keys: options.sas.then(SymmetricKeys::default),
        ..Device::default()
    };
    let answer = client.post(&escape(&format!("/v1/{}/devices", name.registry)), &body);
    if answer.is_err()
        && let Some(key) = &key
    {
        key.forget();
    }
    let answer = answer?;
    let mut example = key.map(|key| key.example(client, &name)).unwrap_or_default();
    if options.sas {
        let device = HubConnectionStringRequest { device_id: Some(name.id.to_string()), ..Default::default() };
        let response = hub::ask(client, &name.registry, &device);
        let (_, text) = response.with_context(|| {
            let (id, registry) = (&name.id, name.registry.id());
            format!("{name} is registered, but has no connection string yet; `switchbox hub connection-string --device {id} --registry {registry}` shows it")
        })?;
        example.push_str(&format!("\n{text}"));
    }
    Ok((answer, format!("{name} is registered{example}")))
}

pub(super) fn pairs(metadata: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pairs = metadata.iter().map(|pair| {
        let pair = pair.split_once('=').ok_or_else(|| wrong(format!("--metadata {pair}: write NAME=VALUE")))?;
        check_metadata_key(pair.0).map_err(|error| wrong(format!("--metadata: {error}")))?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    });
    pairs.collect()
}
