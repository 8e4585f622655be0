//! `switchbox events`: past and current events of a running host.

use std::io::{BufRead, BufReader, Read};

use anyhow::Context;
use serde_json::Value;

use super::{
    answer::items,
    client::Client,
    exit::{Code, failed},
    host::HostOptions,
    names::Names,
    payload::shown,
    printed::show,
    readable, since,
    url::escape,
};
use switchbox_admin_api::Time;
use switchbox_model::{DeviceName, RegistryName};
use switchbox_support::terminal::{self, Style, paint};

/// How many events are shown by default.
const LIMIT: u32 = 20;

/// Show events, newest first; with --follow new ones as they come
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    names: Names,
    /// Only those of this device
    #[arg(long)]
    device: Option<String>,
    /// telemetry, state, connected, disconnected, command-settled, timer or topic
    #[arg(long)]
    kind: Option<String>,
    /// Only events since then: 1h, or a time such as 2030-01-01T00:00:00Z. With --follow, past events come first
    #[arg(long, value_name = "DURATION|TIME", value_parser = since::parse)]
    since: Option<Time>,
    /// How many at most [default: 20; with --since all]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Continue until interrupted
    #[arg(long, short)]
    follow: bool,
    /// With --follow: also show the executions by plugins
    #[arg(long, requires = "follow")]
    executions: bool,
    /// With --follow: show only the executions of this plugin
    #[arg(long, requires = "follow", value_name = "NAME")]
    plugin: Option<String>,
}

impl Options {
    fn filters(&self) -> anyhow::Result<String> {
        let device = self.device.as_deref().map(|device| self.names.device(device)).transpose()?;
        let device = device.map(|device| device.to_string());
        let mut filters = Vec::new();
        for (name, value) in [("device", &device), ("kind", &self.kind), ("plugin", &self.plugin)] {
            filters.extend(value.as_ref().map(|value| format!("{name}={}", escape(value))));
        }
        filters.extend(self.executions.then(|| "executions=true".to_owned()));
        Ok(filters.join("&"))
    }
}

/// Prints while it runs.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    if options.follow { follow(options) } else { show(&listed(options)?) }
}

/// The past events.
pub(super) fn listed(options: &Options) -> anyhow::Result<String> {
    let answer = past(&options.host.client()?, options)?;
    let one = |event| Ok(terminal::piece(&line("event", event)?).into_owned());
    let lines: Vec<_> = items(&answer, "events").iter().map(one).collect::<anyhow::Result<_>>()?;
    Ok(options.host.show(&answer, lines.join("\n")))
}

fn past(client: &Client, options: &Options) -> anyhow::Result<Value> {
    let since = options.since.map(|since| format!("&since={since}")).unwrap_or_default();
    let most = options.limit.unwrap_or(if options.since.is_some() { u32::MAX } else { LIMIT });
    client.list(&format!("/v1/events?{}{since}", options.filters()?), "events", most.max(1))
}

fn follow(options: &Options) -> anyhow::Result<()> {
    let client = options.host.client()?;
    // Opened before the past is read, so that no event is missed between the two.
    let stream = client.stream(&format!("/v1/events:follow?{}", options.filters()?))?;
    let print = |kind: &str, item: Value| match options.host.wants_json() {
        true => show(&terminal::json_piece(&readable::with_data(item).to_string())),
        false => show(&terminal::piece(&line(kind, &item)?)),
    };
    let past = if options.since.is_some() && options.plugin.is_none() { past(&client, options)? } else { Value::Null };
    let past = items(&past, "events");
    past.iter().rev().try_for_each(|event| print("event", event.clone()))?;
    let shown = past.first().map_or(0, number);
    each(stream, |kind, item| if kind == "event" && number(&item) <= shown { Ok(()) } else { print(kind, item) })
}

/// The number of an event; later ones have larger numbers.
fn number(event: &Value) -> u64 {
    field(event, "id").parse().unwrap_or(u64::MAX)
}

/// Passes each item of a stream of server-sent events, with its kind, to `print`, until the host ends the stream.
pub(super) fn each(stream: impl Read, mut print: impl FnMut(&str, Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut kind = String::new();
    for read in BufReader::new(stream).lines() {
        let read = read
            .with_context(|| failed(Code::Unreachable, "the host has gone away; start this again when it is back"))?;
        if let Some(name) = read.strip_prefix("event: ") {
            kind = name.to_owned();
        } else if let Some(data) = read.strip_prefix("data: ") {
            print(&kind, serde_json::from_str(data).context("the host's answer is not JSON")?)?;
        }
    }
    Err(failed(Code::Unreachable, "the host has stopped; start this again when it is back").into())
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An event, or one of its effects, on one line.
pub(super) fn line(kind: &str, item: &Value) -> anyhow::Result<String> {
    Ok(match kind {
        "event" => {
            let device = short(field(item, "device"));
            let device = paint(&device, Style::Bold);
            // Each kind of event has some of these.
            let details = ["kind", "subfolder", "topic", "reason", "commandId", "status", "plugin", "name"];
            let details = details.into_iter().map(|name| field(item, name));
            let what: Vec<_> = std::iter::once(&*device).chain(details).filter(|part| !part.is_empty()).collect();
            let (id, time, data) = (field(item, "id"), field(item, "time"), shown(item.get("binaryData"))?);
            let time = paint(time, Style::Dim);
            format!("{time} {id:>6} {} {data}", what.join(" ")).trim_end().to_owned()
        }
        "execution" => {
            let effects = item.get("effects").and_then(Value::as_array).map_or(0, Vec::len);
            let outcome = match field(item, "error") {
                "" if effects == 1 => "1 effect".to_owned(),
                "" => format!("{effects} effects"),
                error => paint(&format!("failed: {error}"), Style::Red).into_owned(),
            };
            let took = item.get("tookUs").and_then(Value::as_u64).unwrap_or(0);
            let (event, time, plugin) = (field(item, "event"), field(item, "time"), field(item, "plugin"));
            let time = paint(time, Style::Dim);
            format!("{time} {event:>6} → plugin {plugin}: {outcome} ({took} µs)")
        }
        "missed" => {
            let missed = item.get("events").and_then(Value::as_u64).unwrap_or(0);
            format!("({missed} events were left out: more happens than can be shown)")
        }
        other => anyhow::bail!(
            "the host sent an item of kind {other:?}, which this version does not know; use the host's version"
        ),
    })
}

/// The shortest form of a device's name that every command accepts.
fn short(name: &str) -> String {
    let home = RegistryName::default_registry();
    match DeviceName::parse(name, &home) {
        Ok(DeviceName { registry, id }) if registry == home => id.to_string(),
        Ok(DeviceName { registry, id })
            if (registry.project(), registry.location()) == (home.project(), home.location()) =>
        {
            format!("{}/{id}", registry.id())
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_thing_that_happens_is_a_line() {
        let name = "projects/local/locations/local/registries/default/devices/switch-1";
        for (kind, item, expected) in [
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "telemetry", "device": name, "subfolder": "a", "binaryData": "b24="}),
                "T      7 switch-1 telemetry a on",
            ),
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "disconnected", "device": name, "reason": "gone"}),
                "T      7 switch-1 disconnected gone",
            ),
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "command-settled", "device": name, "commandId": "3.wake.0",
                       "status": "acknowledged"}),
                "T      7 switch-1 command-settled 3.wake.0 acknowledged",
            ),
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "timer", "plugin": "night", "name": "off", "binaryData": "b24="}),
                "T      7 timer night off on",
            ),
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "connected", "device": name.replace("default", "hall")}),
                "T      7 hall/switch-1 connected",
            ),
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "connected", "device": name.replace("projects/local", "projects/p")}),
                "T      7 projects/p/locations/local/registries/default/devices/switch-1 connected",
            ),
            (
                "event",
                json!({"id": "7", "time": "T", "kind": "topic", "topic": "a/b", "binaryData": "b24="}),
                "T      7 topic a/b on",
            ),
            (
                "execution",
                json!({"event": "7", "time": "T", "plugin": "wake", "tookUs": 41, "effects": [{}]}),
                "T      7 → plugin wake: 1 effect (41 µs)",
            ),
            (
                "execution",
                json!({"event": "7", "time": "T", "plugin": "wake", "tookUs": 41, "error": "no JSON"}),
                "T      7 → plugin wake: failed: no JSON (41 µs)",
            ),
            ("missed", json!({"events": 3}), "(3 events were left out: more happens than can be shown)"),
        ] {
            assert_eq!(line(kind, &item).unwrap(), expected);
        }
    }
}
