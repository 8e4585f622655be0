//! `switchbox token` and `switchbox audit`: who may call a running host's API, and who changed what.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::{Client, Host},
    table::table,
};

/// Tokens are for programs: each has a name, which the audit log shows, and a scope
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token and print it; it can never be shown again
    Create {
        /// What the audit log calls it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// read: look at everything; operate: also send to devices; admin: also change what is there
        #[arg(long, value_name = "SCOPE", value_parser = ["read", "operate", "admin"])]
        scope: String,
    },
    /// All tokens but the host's own
    List,
    /// Nobody gets in with it from now on
    Delete { name: String },
}

/// The newest writes through the API, and what came of them
#[derive(Debug, clap::Args)]
pub struct AuditOptions {
    #[command(flatten)]
    host: Host,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let (answer, text) = act(&options.host.client()?, &options.action)?;
    Ok(options.host.show(&answer, text))
}

fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    match action {
        Action::Create { name, scope } => {
            let answer = client.post("/v1/tokens", &json!({"name": name, "scope": scope}))?;
            let text = cell(&answer, "token");
            Ok((answer, text))
        }
        Action::List => {
            let answer = client.get("/v1/tokens")?;
            let text = rows(&answer, "tokens", &[("NAME", "name"), ("SCOPE", "scope"), ("MADE", "createTime")]);
            Ok((answer, text))
        }
        Action::Delete { name } => {
            let answer = client.delete(&format!("/v1/tokens/{name}"))?;
            Ok((answer, format!("token {name} is deleted")))
        }
    }
}

/// Returns what is to be printed.
pub(super) fn audit(options: &AuditOptions) -> anyhow::Result<String> {
    let answer = options.host.client()?.list("/v1/audit", "lines", options.count)?;
    let columns = [
        ("TIME", "time"),
        ("WHO", "who"),
        ("FROM", "address"),
        ("STATUS", "status"),
        ("CALL", "call"),
        ("OBJECT", "object"),
        ("PARAMETERS", "parameters"),
    ];
    let text = rows(&answer, "lines", &columns);
    Ok(options.host.show(&answer, text))
}

fn rows(answer: &Value, field: &str, columns: &[(&str, &str)]) -> String {
    let items = answer.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let rows: Vec<Vec<_>> =
        items.iter().map(|item| columns.iter().map(|(_, field)| cell(item, field)).collect()).collect();
    let head: Vec<_> = columns.iter().map(|(head, _)| *head).collect();
    table(&head, &rows)
}

fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".into(),
        Some(other) => other.to_string(),
    }
}
