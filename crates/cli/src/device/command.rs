//! `switchbox device command`: sending commands to a device, and following what happens to them.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use crate::{
    answer::{cell, or_dash, typed},
    client::Client,
    payload::{data, readable},
    table::{self, table},
    url::escape,
    when::{at, when},
};
use switchbox_admin_api::{
    self as api, Base64, ListCommandsResponse, PurgeCommandsResponse, SendCommandToDeviceRequest,
    SendCommandToDeviceResponse, Span,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a command: now, or with --ttl as soon as the device is connected
    Send {
        device: String,
        /// The text itself, @FILE, or - for standard input
        #[arg(value_name = "DATA")]
        payload: String,
        /// Topic levels after commands/
        #[arg(long, default_value = "")]
        subfolder: String,
        /// How long it may wait for the device, such as 30min; 0s: only if the device is connected now
        #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// List the newest commands, with their status
    List {
        device: String,
        /// Only those that are queued, sent, acknowledged, expired, rejected, purged or sent-unconfirmed
        #[arg(long)]
        status: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one command
    Show { device: String, id: String },
    /// Cancel a command; if it was sent already, it may have reached the device
    Cancel { device: String, id: String },
    /// Cancel all open commands of a device
    Purge { device: String },
}

pub(super) fn act(client: &Client, command: &Command) -> anyhow::Result<(Value, String)> {
    match command {
        Command::Send { device, payload, subfolder, ttl } => {
            let binary_data = Base64(data(payload)?.into());
            let (subfolder, ttl) = (subfolder.clone(), Some(Span(*ttl)));
            let body = SendCommandToDeviceRequest { binary_data, subfolder, ttl, ..Default::default() };
            let answer = client.post(&client.path(device, ":sendCommandToDevice")?, &body)?;
            let text = format!("taken: command {}", typed::<SendCommandToDeviceResponse>(&answer)?.id);
            Ok((answer, text))
        }
        Command::List { device, status, limit } => list(client, device, status.as_deref(), *limit),
        Command::Show { device, id } => {
            let answer = client.get(&of(client, device, id)?)?;
            let text = details(&answer, typed(&answer)?);
            Ok((answer, text))
        }
        Command::Cancel { device, id } => {
            let answer = client.delete(&of(client, device, id)?)?;
            Ok((answer, format!("command {id} is cancelled")))
        }
        Command::Purge { device } => {
            let answer = client.delete(&client.path(device, "/commands")?)?;
            let text = format!("{} command(s) cancelled", typed::<PurgeCommandsResponse>(&answer)?.purged);
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
    let row = |command: api::Command| {
        let times = [command.create_time, command.update_time].map(|time| when(time.to_string()));
        let (data, status) = (readable(Some(&command.binary_data)), command.status.as_str().to_owned());
        [command.id, status].into_iter().chain(times).chain([command.subfolder, data]).collect()
    };
    let rows: Vec<_> = typed::<ListCommandsResponse>(&answer)?.commands.into_iter().map(row).collect();
    let text = table(&["COMMAND", "STATUS", "QUEUED", "CHANGED", "SUBFOLDER", "DATA"], &rows);
    Ok((answer, text))
}

fn details(answer: &Value, command: api::Command) -> String {
    let mut rows = vec![
        ("name", or_dash(command.name)),
        ("status", command.status.as_str().to_owned()),
        ("ttl", command.ttl.to_string()),
        ("expireTime", at(or_dash(command.expire_time))),
        ("subfolder", command.subfolder),
    ];
    for status in ["queued", "sent", "acknowledged", "expired", "rejected", "purged", "sent-unconfirmed"] {
        rows.extend(command.times.get(status).map(|time| (status, at(time.to_string()))));
    }
    rows.extend([("cause", cell(answer.get("cause"))), ("data", readable(Some(&command.binary_data)))]);
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table::details(&rows)
}
