//! `switchbox plugin logs`: the log lines and failures of a plugin, from the executions in the journal.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{client::Client, events, host::HostOptions, printed::show, since, url::escape};
use switchbox_admin_api::Time;
use switchbox_model::PluginName;
use switchbox_support::terminal;

/// Executions in one page.
const PAGE: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    name: String,
    /// Continue until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only lines since then: 1h, or a time such as 2030-01-01T00:00:00Z [default: all that are kept]
    #[arg(long, value_name = "DURATION|TIME", value_parser = since::parse)]
    since: Option<Time>,
    /// At most this many of the newest lines
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Prints while it runs.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<()> {
    if !options.follow {
        return show(&listed(host, options)?);
    }
    let client = host.client()?;
    // Opened before the past is read, so that no line is missed between the two.
    let stream = client.stream(&format!("/v1/events:follow?{}", query(&options.name)?))?;
    let past = kept_executions(&client, options)?;
    let known: HashSet<_> = past.iter().map(identity).collect();
    let print = |line: &Line| match host.wants_json() {
        true => show(&terminal::json_piece(&line.json().to_string())),
        false => show(&terminal::piece(&line.text())),
    };
    newest(&past, options.limit).iter().try_for_each(print)?;
    events::each(stream, |kind, item| match kind {
        "execution" if !known.contains(&identity(&item)) => lines_of(&item).iter().try_for_each(print),
        "missed" if !host.wants_json() => show(&events::line(kind, &item)?),
        _ => Ok(()),
    })
}

/// The past lines.
pub(super) fn listed(host: &HostOptions, options: &Options) -> anyhow::Result<String> {
    let client = host.client()?;
    let past = kept_executions(&client, options)?;
    let lines = newest(&past, options.limit);
    let texts: Vec<_> = lines.iter().map(|line| terminal::piece(&line.text()).into_owned()).collect();
    let answer = json!({ "lines": lines.iter().map(Line::json).collect::<Vec<_>>() });
    Ok(host.show(&answer, texts.join("\n")))
}

/// The executions that are kept. If there are none, and the plugin does not exist, this is an error.
fn kept_executions(client: &Client, options: &Options) -> anyhow::Result<Vec<Value>> {
    let past = past(client, options)?;
    if past.is_empty() {
        client.get(&format!("/v1/plugins/{}", escape(&options.name)))?;
    }
    Ok(past)
}

fn query(name: &str) -> anyhow::Result<String> {
    Ok(format!("plugin={}", escape(PluginName::new(name)?.as_str())))
}

/// The newest lines, the oldest of them first.
fn newest(past: &[Value], limit: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = past.iter().rev().flat_map(lines_of).collect();
    lines.split_off(lines.len().saturating_sub(limit))
}

/// Executions with lines, the newest first, until there are enough lines.
fn past(client: &Client, options: &Options) -> anyhow::Result<Vec<Value>> {
    let since = options.since.map(|since| format!("&since={since}"));
    let query = query(&options.name)?;
    let base = format!("/v1/executions?{query}&logged=true&pageSize={PAGE}{}", since.unwrap_or_default());
    let (mut found, mut lines, mut token): (Vec<Value>, _, _) = (Vec::new(), 0, String::new());
    while lines < options.limit {
        let page = client.get(&format!("{base}&pageToken={}", escape(&token)))?;
        let executions = page.get("executions").and_then(Value::as_array).cloned().unwrap_or_default();
        lines += executions.iter().map(|execution| lines_of(execution).len()).sum::<usize>();
        found.extend(executions);
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    Ok(found)
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Identifies an attempt of an event. A redriven dead letter begins again with its first attempt, at another time.
fn identity(execution: &Value) -> (String, u64, String) {
    let attempt = execution.get("attempt").and_then(Value::as_u64).unwrap_or(1);
    (field(execution, "event").to_owned(), attempt, field(execution, "time").to_owned())
}

struct Line {
    time: String,
    event: String,
    line: String,
}

impl Line {
    fn text(&self) -> String {
        format!("{} {:>6} {}", self.time, self.event, self.line)
    }

    fn json(&self) -> Value {
        json!({"time": self.time, "event": self.event, "line": self.line})
    }
}

/// Its lines, and its failure if it failed.
fn lines_of(execution: &Value) -> Vec<Line> {
    let logs = execution.get("logs").and_then(Value::as_array).into_iter().flatten();
    let failed = execution.get("error").and_then(Value::as_str).map(|error| format!("failed: {error}"));
    let lines = logs.filter_map(Value::as_str).map(str::to_owned).chain(failed);
    let line = |line| Line { time: field(execution, "time").into(), event: field(execution, "event").into(), line };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executions_lines_are_its_log_and_its_failure() {
        let execution = json!({"event": "7", "time": "T", "logs": ["info: a", "warn: b"], "error": "no JSON"});
        let lines: Vec<_> = lines_of(&execution).iter().map(Line::text).collect();
        assert_eq!(lines, ["T      7 info: a", "T      7 warn: b", "T      7 failed: no JSON"]);
        assert!(lines_of(&json!({"event": "7", "effects": []})).is_empty());
        let identity = identity(&json!({"event": "7", "attempt": 2, "time": "T"}));
        assert_eq!(identity, ("7".to_owned(), 2, "T".to_owned()));
    }
}
