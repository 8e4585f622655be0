//! `switchbox status`: the status of a running host, and what is wrong with it.

use serde_json::Value;

use super::{host::HostOptions, when::at};
use switchbox_support::terminal::{Style, paint};

/// Show the status of a running host: its version, problems, and numbers
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: HostOptions,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let answer = options.host.client()?.get("/v1/status")?;
    let text = text(&answer);
    Ok(options.host.show(&answer, text))
}

fn text(status: &Value) -> String {
    let field = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "unknown".to_owned(),
    };
    let size = |pointer: &str| bytes(&field(pointer));
    let back = status.get("oldestEventTime").map(|_| format!(", back to {}", at(field("/oldestEventTime"))));
    let mut lines = vec![
        format!("switchbox {}, since {}", field("/version"), at(field("/startTime"))),
        format!("devices: {} registered, {} connected", field("/devices/registered"), field("/devices/connected")),
        format!("MQTT connections: {}", field("/connections")),
        format!("open commands: {}", field("/commandsOpen")),
        format!("journal: {}{}", size("/journalBytes"), back.unwrap_or_default()),
        format!("disk: {} free", size("/diskFreeBytes")),
        format!("token: {}, with the scope {}", field("/caller/name"), field("/caller/scope")),
        latency(status, "commits", "commit"),
        latency(status, "configs until the device's PUBACK", "delivery"),
    ];
    let plugins = status.get("plugins").and_then(Value::as_object).into_iter().flatten();
    let plugins: Vec<_> = plugins.map(|(state, count)| format!("{count} {state}")).collect();
    lines.push(format!("plugins: {}", if plugins.is_empty() { "none".to_owned() } else { plugins.join(", ") }));
    let wrong = paint("WRONG:", Style::Red);
    lines.extend(problems(status).into_iter().map(|problem| format!("{wrong} {problem}")));
    lines.join("\n")
}

/// What the console's overview shows first.
fn problems(status: &Value) -> Vec<String> {
    let of_host = status.get("problems").and_then(Value::as_array).into_iter().flatten();
    let mut problems: Vec<_> = of_host.filter_map(Value::as_str).map(str::to_owned).collect();
    for (state, one, many) in [
        ("broken", "plugin is broken", "plugins are broken"),
        ("waiting-for-consent", "plugin waits for consent", "plugins wait for consent"),
    ] {
        let count = status.pointer(&format!("/plugins/{state}")).and_then(Value::as_u64).unwrap_or_default();
        if count > 0 {
            problems.push(format!("{count} {} (switchbox plugin list)", if count == 1 { one } else { many }));
        }
    }
    let dead_letters = status.get("deadLetters").and_then(Value::as_u64).unwrap_or_default();
    if dead_letters > 0 {
        let more = if status.get("deadLettersMore") == Some(&Value::Bool(true)) { " or more" } else { "" };
        let word = if dead_letters == 1 { "letter" } else { "letters" };
        problems.push(format!("{dead_letters}{more} dead {word} (switchbox dead-letters list)"));
    }
    problems
}

fn latency(status: &Value, what: &str, name: &str) -> String {
    let took = |percent: &str| {
        let us = status.pointer(&format!("/latencies/{name}/{percent}Us")).and_then(Value::as_u64);
        us.map(|us| format!("{} ms", us as f64 / 1_000.0))
    };
    match (took("p50"), took("p95"), took("p99")) {
        (Some(half), Some(p95), Some(p99)) => format!("{what}: half took at most {half}, 95 % {p95}, 99 % {p99}"),
        _ => format!("{what}: none yet"),
    }
}

/// A number of bytes in the unit that fits. Other text stays as it is.
fn bytes(text: &str) -> String {
    let Ok(count) = text.parse::<u64>() else { return text.to_owned() };
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_comes_last_where_it_is_seen() {
        let status = json!({
            "version": "0.1.0", "startTime": "2026-11-28T00:00:00Z", "devices": {"registered": 3, "connected": 1},
            "plugins": {"broken": 1, "running": 2}, "problems": ["the host takes no clients"],
            "journalBytes": "12967", "deadLetters": 100, "deadLettersMore": true,
            "latencies": {"commit": {"count": 3, "p50Us": 1250, "p95Us": 2000, "p99Us": 2000}, "delivery": {"count": 0}},
        });
        let shown = text(&status);
        for line in [
            "devices: 3 registered, 1 connected",
            "journal: 12.7 KiB",
            "plugins: 1 broken, 2 running",
            "commits: half took at most 1.25 ms, 95 % 2 ms, 99 % 2 ms",
            "configs until the device's PUBACK: none yet",
            // What the host does not say is not made up.
            "disk: unknown free",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
        }
        let end = "WRONG: the host takes no clients\nWRONG: 1 plugin is broken (switchbox plugin list)\n\
            WRONG: 100 or more dead letters (switchbox dead-letters list)";
        assert!(shown.ends_with(end), "{shown}");
    }
}
