//! `switchbox device create`: registers a device, with a key of its own if wanted.

use serde_json::{Map, Value, json};

use crate::{answer::field, client::Client, credential::NewKey, hub, url::escape};

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    device: String,
    /// Not let in until it is unblocked
    #[arg(long)]
    blocked: bool,
    /// NAME=VALUE; may be given several times
    #[arg(long = "metadata", value_name = "NAME=VALUE")]
    metadata: Vec<String>,
    #[command(flatten)]
    key: NewKey,
    /// Make two symmetric keys, as devices of Azure IoT Hub sign with, and print the device's connection string
    #[arg(long)]
    sas: bool,
    /// Call its methods over HTTP at this URL, for a device that does not listen to MQTT
    #[arg(long, value_name = "URL")]
    method_endpoint: Option<String>,
}

pub(super) fn act(client: &Client, options: &Create) -> anyhow::Result<(Value, String)> {
    let name = client.device(&options.device)?;
    let metadata = pairs(&options.metadata)?;
    let key = options.key.make(name.id.as_str())?;
    let credentials: Vec<&Value> = key.iter().map(|key| &key.credential).collect();
    let mut body = json!({"id": name.id.as_str(), "blocked": options.blocked, "metadata": metadata,
                          "credentials": credentials});
    if let (Some(url), Some(fields)) = (&options.method_endpoint, body.as_object_mut()) {
        fields.insert("methodEndpoint".into(), json!({ "url": url }));
    }
    if let (true, Some(fields)) = (options.sas, body.as_object_mut()) {
        fields.insert("symmetricKeys".into(), json!({}));
    }
    let answer = client.post(&escape(&format!("/v1/{}/devices", name.registry)), &body);
    if answer.is_err()
        && let Some(key) = &key
    {
        key.forget();
    }
    let answer = answer?;
    let mut example = key.map(|key| key.example(client, &name)).unwrap_or_default();
    if options.sas {
        let device = Map::from_iter([("deviceId".to_owned(), json!(name.id.as_str()))]);
        let found = hub::ask(client, &name.registry, device)?;
        example.push_str(&format!("\n{}", field(&found, "connectionString")));
    }
    Ok((answer, format!("{name} is registered{example}")))
}

fn pairs(metadata: &[String]) -> anyhow::Result<Map<String, Value>> {
    let pairs = metadata.iter().map(|pair| {
        let pair = pair.split_once('=').ok_or_else(|| anyhow::anyhow!("--metadata {pair}: write NAME=VALUE"))?;
        Ok((pair.0.to_owned(), Value::from(pair.1)))
    });
    pairs.collect()
}
