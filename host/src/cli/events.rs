//! `switchbox events`: what happened on a running host, and what happens.

use std::io::{BufRead, BufReader, Write};

use anyhow::Context;
use serde_json::Value;

use super::client::{Host, escape, shown};

/// Events, newest first; with --follow those to come, as they come
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    host: Host,
    /// Only those of this device
    #[arg(long)]
    device: Option<String>,
    /// telemetry, state, connected, disconnected, command-settled, timer or topic
    #[arg(long)]
    kind: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Go on until interrupted
    #[arg(long, short)]
    follow: bool,
    /// With --follow: show what plugins make of them, too
    #[arg(long, requires = "follow")]
    executions: bool,
    /// With --follow: show what this plugin does, and nothing else
    #[arg(long, requires = "follow", value_name = "NAME")]
    plugin: Option<String>,
}

impl Options {
    fn filters(&self) -> String {
        let mut filters = Vec::new();
        for (name, value) in [("device", &self.device), ("kind", &self.kind), ("plugin", &self.plugin)] {
            filters.extend(value.as_ref().map(|value| format!("{name}={}", escape(value))));
        }
        filters.extend(self.executions.then(|| "executions=true".to_owned()));
        filters.join("&")
    }
}

/// Prints as it goes.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    if options.follow {
        return follow(options);
    }
    let path = format!("/v1/events?pageSize={}&{}", options.limit.max(1), options.filters());
    let answer = options.host.client()?.get(&path)?;
    let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: Vec<_> = events.iter().map(|event| line("event", event)).collect::<anyhow::Result<_>>()?;
    super::show(&options.host.show(&answer, lines.join("\n")));
    Ok(())
}

fn follow(options: &Options) -> anyhow::Result<()> {
    let stream = options.host.client()?.stream(&format!("/v1/events:follow?{}", options.filters()))?;
    let mut kind = String::new();
    let mut out = std::io::stdout().lock();
    for read in BufReader::new(stream).lines() {
        let read = read.context("the host has gone away")?;
        if let Some(name) = read.strip_prefix("event: ") {
            kind = name.to_owned();
        } else if let Some(data) = read.strip_prefix("data: ") {
            let told: Value = serde_json::from_str(data).context("the host's answer is no JSON")?;
            let text = if options.host.wants_json() { data.to_owned() } else { line(&kind, &told)? };
            writeln!(out, "{text}").and_then(|()| out.flush())?;
        }
    }
    anyhow::bail!("the host has stopped")
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// One event, or what came of one, on one line.
fn line(kind: &str, told: &Value) -> anyhow::Result<String> {
    Ok(match kind {
        "event" => {
            let device = field(told, "device").rsplit('/').next().unwrap_or_default();
            let what =
                [device, field(told, "kind"), field(told, "subfolder"), field(told, "topic"), field(told, "reason")];
            let what: Vec<_> = what.into_iter().filter(|part| !part.is_empty()).collect();
            let (id, time, data) = (field(told, "id"), field(told, "time"), shown(told.get("binaryData"))?);
            format!("{time} {id:>6} {} {data}", what.join(" ")).trim_end().to_owned()
        }
        "execution" => {
            let effects = told.get("effects").and_then(Value::as_array).map_or(0, Vec::len);
            let came = match field(told, "error") {
                "" if effects == 1 => "1 effect".to_owned(),
                "" => format!("{effects} effects"),
                error => format!("failed: {error}"),
            };
            let took = told.get("tookUs").and_then(Value::as_u64).unwrap_or(0);
            let (event, time, plugin) = (field(told, "event"), field(told, "time"), field(told, "plugin"));
            format!("{time} {event:>6} → plugin {plugin}: {came} ({took} µs)")
        }
        "missed" => {
            let missed = told.get("events").and_then(Value::as_u64).unwrap_or(0);
            format!("({missed} events were left out: more happens than can be shown)")
        }
        other => anyhow::bail!("the host tells of {other:?}, which this version does not know"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_thing_that_happens_is_a_line() {
        let name = "projects/local/locations/local/registries/default/devices/switch-1";
        for (kind, told, expected) in [
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
            assert_eq!(line(kind, &told).unwrap(), expected);
        }
    }
}
