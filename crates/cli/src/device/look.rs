//! `switchbox device list`, `get`, `state` and `config get`: shows devices as text.

use serde_json::Value;

use crate::{
    answer::{field, items, or_dash, typed, yes},
    client::Client,
    credential,
    exit::{Code, failed},
    payload::{readable, shown},
    table::{self, table},
    url::escape,
    when::{at, when},
};
use switchbox_admin_api::{Device, DeviceConfig, DeviceState, ListDevicesResponse};

/// List the devices of a registry: all, or those that match the filters
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// A part of the id, or of a name or value of the metadata
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those that are connected, or that are not
    #[arg(long, value_name = "true|false")]
    connected: Option<bool>,
    /// Only those that are blocked, or that are not
    #[arg(long, value_name = "true|false")]
    blocked: Option<bool>,
    /// Only those that differ from what is desired, or that do not
    #[arg(long, value_name = "true|false")]
    differs: Option<bool>,
    /// Only those with this metadata; may be repeated
    #[arg(long = "metadata", value_name = "NAME[=VALUE]")]
    metadata: Vec<String>,
}

impl List {
    /// In the API's format, each preceded by `&`.
    fn filters(&self) -> String {
        let flag = |name: &str, setting: Option<bool>| setting.map(|setting| format!("&{name}={setting}"));
        let flags = [
            self.search.as_ref().map(|text| format!("&search={}", escape(text))),
            flag("connected", self.connected),
            flag("blocked", self.blocked),
            flag("differs", self.differs),
        ];
        let metadata = self.metadata.iter().map(|pair| format!("&metadata={}", escape(pair)));
        flags.into_iter().flatten().chain(metadata).collect()
    }
}

pub(super) fn list(client: &Client, options: &List) -> anyhow::Result<(Value, String)> {
    let base = escape(&format!("/v1/{}/devices", client.home()?));
    let mask = "connected,blocked,config.version,lastEventTime,lastStateTime";
    let answer = client.all(&format!("{base}?fieldMask={mask}{}", options.filters()), "devices")?;
    let row = |device: Device| {
        let (connected, version) = (device.connected == Some(true), device.config.and_then(|config| config.version));
        vec![
            or_dash(device.id),
            yes(connected),
            yes(device.blocked),
            or_dash(version),
            when(or_dash(device.last_event_time)),
        ]
    };
    let rows: Vec<_> = typed::<ListDevicesResponse>(&answer)?.devices.into_iter().map(row).collect();
    let text = table(&["DEVICE", "CONNECTED", "BLOCKED", "CONFIG", "LAST EVENT"], &rows);
    Ok((answer, text))
}

pub(super) fn details(device: Device) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("name", or_dash(device.name));
    row("numId", or_dash(device.num_id));
    row("createTime", at(or_dash(device.create_time)));
    row("connected", or_dash(device.connected));
    row("blocked", device.blocked.to_string());
    row("lastEventTime", at(or_dash(device.last_event_time)));
    if let Some(error) = device.last_error_status {
        row("last error", format!("{} ({})", error.message, or_dash(device.last_error_time)));
    }
    if let Some(endpoint) = device.method_endpoint {
        row("method endpoint", endpoint.url);
    }
    for (number, credential) in (1..).zip(&device.credentials) {
        row(&format!("credential {number}"), credential::described(credential));
    }
    if device.has_password == Some(true) {
        row("password", "set".to_owned());
    }
    for (name, value) in device.metadata {
        row(&format!("metadata {name}"), value);
    }
    if let Some(DeviceConfig { version, device_ack_time, binary_data, .. }) = device.config {
        row("config version", or_dash(version));
        row("config deviceAckTime", at(or_dash(device_ack_time)));
        row("config", readable(binary_data.as_ref()));
    }
    if let Some(DeviceState { version, update_time, binary_data }) = device.state {
        row("state version", or_dash(version));
        row("state updateTime", at(or_dash(update_time)));
        row("state", readable(binary_data.as_ref()));
    }
    table::details(&rows)
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
    shows.of(client, device, all)?.ok_or_else(|| failed(Code::NotFound, none()).into())
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
    shows.of(client, device, !newest)?.ok_or_else(|| failed(Code::NotFound, none()).into())
}

/// How the kept versions of a document are requested and shown.
struct Versions<'a> {
    /// The path below that of the device.
    path: &'a str,
    /// The query for the newest version.
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
            let cells = self.fields.iter().map(|name| when(field(version, name)));
            Ok(cells.chain([shown(version.get("binaryData"))?]).collect())
        };
        let rows = versions.iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(table(self.head, &rows))
    }
}
