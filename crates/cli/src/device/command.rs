//! `switchbox device command`: a device's commands, from sending one to what became of it.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    answer::{field, items},
    client::Client,
    payload::{data, encoded, shown},
    table::{self, table},
    url::escape,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a command: now, or with --ttl as soon as the device takes it
    Send {
        device: String,
        /// The text itself, @FILE, or - for standard input
        #[arg(value_name = "DATA")]
        payload: String,
        /// Topic levels after commands/
        #[arg(long, default_value = "")]
        subfolder: String,
        /// How long it may wait for the device, such as 30min; 0s = only if the device takes it now
        #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// The newest commands, and what became of them
    List {
        device: String,
        /// Only those that are queued, sent, acknowledged, expired, rejected, purged or sent-unconfirmed
        #[arg(long)]
        status: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Everything about one command
    Show { device: String, id: String },
    /// Take one command back; one that was sent may have reached the device all the same
    Cancel { device: String, id: String },
    /// Take back all commands that have not ended
    Purge { device: String },
}

pub(super) fn act(client: &Client, command: &Command) -> anyhow::Result<(Value, String)> {
    match command {
        Command::Send { device, payload, subfolder, ttl } => {
            let ttl = format!("{}s", ttl.as_secs_f64());
            let body = json!({"binaryData": encoded(&data(payload)?), "subfolder": subfolder, "ttl": ttl});
            let answer = client.post(&client.path(device, ":sendCommandToDevice")?, &body)?;
            let text = format!("taken: command {}", field(&answer, "id"));
            Ok((answer, text))
        }
        Command::List { device, status, limit } => list(client, device, status.as_deref(), *limit),
        Command::Show { device, id } => {
            let answer = client.get(&of(client, device, id)?)?;
            let text = details(&answer)?;
            Ok((answer, text))
        }
        Command::Cancel { device, id } => {
            let answer = client.delete(&of(client, device, id)?)?;
            Ok((answer, format!("command {id} is taken back")))
        }
        Command::Purge { device } => {
            let answer = client.delete(&client.path(device, "/commands")?)?;
            let text = format!("{} command(s) taken back", field(&answer, "purged"));
            Ok((answer, text))
        }
    }
}

/// The path of one command.
fn of(client: &Client, device: &str, id: &str) -> anyhow::Result<String> {
    client.path(device, &format!("/commands/{}", escape(id)))
}

fn list(client: &Client, device: &str, status: Option<&str>, limit: u32) -> anyhow::Result<(Value, String)> {
    let path = client.path(device, &format!("/commands?status={}", escape(status.unwrap_or_default())))?;
    let answer = client.list(&path, "commands", limit)?;
    let row = |command: &Value| {
        let cells = ["id", "status", "createTime", "updateTime", "subfolder"].map(|name| field(command, name));
        Ok(cells.into_iter().chain([shown(command.get("binaryData"))?]).collect())
    };
    let rows = items(&answer, "commands").iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
    let text = table(&["COMMAND", "STATUS", "QUEUED", "CHANGED", "SUBFOLDER", "DATA"], &rows);
    Ok((answer, text))
}

fn details(command: &Value) -> anyhow::Result<String> {
    let named = |name: &str| vec![name.to_owned(), field(command, name)];
    let mut rows: Vec<_> = ["name", "status", "ttl", "expireTime", "subfolder"].map(named).into();
    let times = command.get("times").and_then(Value::as_object).cloned().unwrap_or_default();
    for status in ["queued", "sent", "acknowledged", "expired", "rejected", "purged", "sent-unconfirmed"] {
        let time = times.get(status).and_then(Value::as_str);
        rows.extend(time.map(|time| vec![status.to_owned(), time.to_owned()]));
    }
    rows.push(named("cause"));
    rows.push(vec!["data".to_owned(), shown(command.get("binaryData"))?]);
    Ok(table::details(&rows))
}
