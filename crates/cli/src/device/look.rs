//! `switchbox device list`, `get`, `state` and `config get`: what is known of devices, as a person reads it.

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    answer::{field, items, yes},
    client::Client,
    credential,
    payload::shown,
    table::{self, table},
    url::escape,
};

pub(super) fn list(client: &Client) -> anyhow::Result<(Value, String)> {
    let base = escape(&format!("/v1/{}/devices", client.home()?));
    let mask = "connected,blocked,config.version,lastEventTime,lastStateTime";
    let answer = client.all(&format!("{base}?fieldMask={mask}"), "devices")?;
    let rows: Vec<_> = items(&answer, "devices")
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
    Ok((answer, text))
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
    for (number, credential) in (1..).zip(items(device, "credentials")) {
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
    let shows = Versions {
        path: "/configVersions",
        newest: "?numVersions=1",
        list: "deviceConfigs",
        head: &["VERSION", "MADE", "ACKNOWLEDGED", "DATA"],
        fields: &["version", "cloudUpdateTime", "deviceAckTime"],
    };
    let none = || format!("{device} has no config yet; make one with `switchbox device config set {device} DATA`");
    shows.of(client, device, all)?.with_context(none)
}

pub(super) fn states(client: &Client, device: &str, newest: bool) -> anyhow::Result<(Value, String)> {
    let shows = Versions {
        path: "/states",
        newest: "?numStates=1",
        list: "deviceStates",
        head: &["VERSION", "REPORTED", "DATA"],
        fields: &["version", "updateTime"],
    };
    let none = || {
        format!("{device} has not reported a state yet; a device reports it by a publish to /devices/{device}/state")
    };
    shows.of(client, device, !newest)?.with_context(none)
}

/// How the kept versions of a document are asked for and shown.
struct Versions<'a> {
    /// Below the device's path.
    path: &'a str,
    /// The query for the newest alone.
    newest: &'a str,
    list: &'a str,
    head: &'a [&'a str],
    /// The cells before the data.
    fields: &'a [&'a str],
}

impl Versions<'_> {
    /// All as a table, or the data of the newest. Returns `None` if there is none.
    fn of(&self, client: &Client, device: &str, all: bool) -> anyhow::Result<Option<(Value, String)>> {
        let query = if all { "" } else { self.newest };
        let answer = client.get(&client.path(device, &format!("{}{query}", self.path))?)?;
        let versions = items(&answer, self.list);
        let Some(newest) = versions.first() else { return Ok(None) };
        let text = if all { self.table(versions)? } else { shown(newest.get("binaryData"))? };
        Ok(Some((answer, text)))
    }

    fn table(&self, versions: &[Value]) -> anyhow::Result<String> {
        let row = |version: &Value| {
            let cells = self.fields.iter().map(|name| field(version, name));
            Ok(cells.chain([shown(version.get("binaryData"))?]).collect())
        };
        let rows = versions.iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(table(self.head, &rows))
    }
}
