//! `switchbox device list`, `get`, `state` and `config get`: what is known of devices, as a person reads it.

use serde_json::{Value, json};

use super::field;
use crate::{
    client::{Client, escape, shown},
    credential,
    table::{self, table},
};

pub(super) fn list(client: &Client) -> anyhow::Result<(Value, String)> {
    let base = escape(&format!("/v1/{}/devices", client.home()?));
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

pub(super) fn details(device: &Value) -> anyhow::Result<String> {
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
    let credentials = device.get("credentials").and_then(Value::as_array).into_iter().flatten();
    for (number, credential) in (1..).zip(credentials) {
        rows.push(vec![format!("credential {number}"), credential::described(credential)]);
    }
    if device.get("hasPassword") == Some(&Value::Bool(true)) {
        rows.push(vec!["password".to_owned(), "set".to_owned()]);
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
    Ok(table::details(&rows))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn configs(client: &Client, device: &str, all: bool) -> anyhow::Result<(Value, String)> {
    let answer =
        client.get(&client.path(device, if all { "/configVersions" } else { "/configVersions?numVersions=1" })?)?;
    let versions = answer.get("deviceConfigs").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = match (all, versions.first()) {
        (_, None) => {
            anyhow::bail!("{device} has no config yet; make one with `switchbox device config set {device} DATA`")
        }
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

pub(super) fn states(client: &Client, device: &str, newest: bool) -> anyhow::Result<(Value, String)> {
    let answer = client.get(&client.path(device, if newest { "/states?numStates=1" } else { "/states" })?)?;
    let versions = answer.get("deviceStates").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = match (newest, versions.first()) {
        (_, None) => anyhow::bail!(
            "{device} has not reported a state yet; a device reports it by a publish to /devices/{device}/state"
        ),
        (true, Some(newest)) => shown(newest.get("binaryData"))?,
        (false, Some(_)) => {
            let rows = versions.iter().map(|version| {
                let data = shown(version.get("binaryData"))?;
                Ok(vec![field(version, "version"), field(version, "updateTime"), data])
            });
            table(&["VERSION", "REPORTED", "DATA"], &rows.collect::<anyhow::Result<Vec<_>>>()?)
        }
    };
    Ok((answer, text))
}
