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
    let mut lines = vec![
        format!("switchbox {}, since {}", field("/version"), at(field("/startTime"))),
        format!("{} devices, {} connected", field("/devices/registered"), field("/devices/connected")),
        format!("{} MQTT connections", field("/connections")),
        format!("{} commands wait", field("/commandsOpen")),
        format!("journal: {} bytes, back to {}", field("/journalBytes"), at(field("/oldestEventTime"))),
        format!("disk: {} bytes free", field("/diskFreeBytes")),
        format!("token {} with the scope {}", field("/caller/name"), field("/caller/scope")),
    ];
    lines.extend([("commits", "commit"), ("configs until the device's PUBACK", "delivery")].map(|(what, name)| {
        let took = |percent: &str| {
            let us = status.pointer(&format!("/latencies/{name}/{percent}Us")).and_then(Value::as_u64);
            us.map_or_else(|| "-".to_owned(), |us| format!("{} ms", us as f64 / 1_000.0))
        };
        format!("{what}: half took at most {}, 95 % {}, 99 % {}", took("p50"), took("p95"), took("p99"))
    }));
    let plugins = status.get("plugins").and_then(Value::as_object).into_iter().flatten();
    let plugins: Vec<_> = plugins.map(|(state, count)| format!("{count} {state}")).collect();
    lines.push(format!("plugins: {}", if plugins.is_empty() { "none".to_owned() } else { plugins.join(", ") }));
    let problems = status.get("problems").and_then(Value::as_array).into_iter().flatten();
    let wrong = paint("WRONG:", Style::Red);
    lines.extend(problems.filter_map(Value::as_str).map(|problem| format!("{wrong} {problem}")));
    let letters = status.get("deadLetters").and_then(Value::as_u64).unwrap_or_default();
    if letters > 0 {
        let more = if status.get("deadLettersMore") == Some(&Value::Bool(true)) { " or more" } else { "" };
        lines.push(format!("{wrong} {letters}{more} dead letters (switchbox dead-letters list)"));
    }
    lines.join("\n")
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
            "deadLetters": 100, "deadLettersMore": true,
            "latencies": {"commit": {"count": 3, "p50Us": 1250, "p95Us": 2000, "p99Us": 2000}, "delivery": {"count": 0}},
        });
        let shown = text(&status);
        assert!(
            shown.contains("3 devices, 1 connected\n") && shown.contains("plugins: 1 broken, 2 running\n"),
            "{shown}"
        );
        assert!(shown.contains("commits: half took at most 1.25 ms, 95 % 2 ms, 99 % 2 ms\n"), "{shown}");
        assert!(shown.contains("PUBACK: half took at most -"), "{shown}");
        assert!(shown.contains("disk: unknown bytes free"), "what the host does not say is not made up: {shown}");
        let end = "WRONG: the host takes no clients\nWRONG: 100 or more dead letters (switchbox dead-letters list)";
        assert!(shown.ends_with(end), "{shown}");
    }
}
