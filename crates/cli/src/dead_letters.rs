//! `switchbox dead-letters`: events that a plugin could not handle.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    client::{Client, Host, escape, shown},
    table::{self, table},
};
use switchbox_model::PluginName;

/// Events that a plugin rejected, or could not handle in five tries
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All of them, oldest first
    List {
        /// Only those of this plugin
        #[arg(long)]
        plugin: Option<String>,
    },
    /// One of them, with its event and the plugin's log lines
    Show { id: u64 },
    /// Give the events to their plugins again; a letter goes when its event is handled
    Redrive(Which),
    /// Throw them away
    Purge(Which),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// One of them
    id: Option<u64>,
    /// All those of this plugin
    #[arg(long)]
    plugin: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let (answer, text) = act(&options.host.client()?, &options.action)?;
    Ok(options.host.show(&answer, text))
}

fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    match action {
        Action::List { plugin } => list(client, plugin.as_deref()),
        Action::Show { id } => {
            let letter = client.get(&format!("/v1/deadLetters/{id}"))?;
            let text = details(&letter)?;
            Ok((letter, text))
        }
        Action::Redrive(Which { id: Some(id), .. }) => {
            let answer = client.post(&format!("/v1/deadLetters/{id}:redrive"), &json!({}))?;
            Ok((answer, format!("dead letter {id} is being handled again")))
        }
        Action::Redrive(Which { plugin, .. }) => {
            let body = plugin.as_ref().map_or_else(|| json!({}), |plugin| json!({ "plugin": plugin }));
            let answer = client.post("/v1/deadLetters:redrive", &body)?;
            let (redriven, left) = (number(&answer, "redriven"), number(&answer, "left"));
            let left = match left {
                0 => String::new(),
                left => format!("; {left} stay, as their plugins do not run or are at it already"),
            };
            Ok((answer, format!("{redriven} dead letters are being handled again{left}")))
        }
        Action::Purge(Which { id: Some(id), .. }) => {
            let answer = client.delete(&format!("/v1/deadLetters/{id}"))?;
            Ok((answer, format!("dead letter {id} is gone")))
        }
        Action::Purge(Which { plugin, .. }) => {
            let which = match plugin {
                Some(plugin) => format!("plugin={}", escape(PluginName::new(plugin)?.as_str())),
                None => "all=true".into(),
            };
            let answer = client.delete(&format!("/v1/deadLetters?{which}"))?;
            let text = format!("{} dead letters are gone", number(&answer, "purged"));
            Ok((answer, text))
        }
    }
}

fn number(answer: &Value, field: &str) -> u64 {
    answer.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn list(client: &Client, plugin: Option<&str>) -> anyhow::Result<(Value, String)> {
    let plugin = plugin.map(|name| anyhow::Ok(escape(PluginName::new(name)?.as_str()))).transpose()?;
    let mut letters = Vec::new();
    let mut token = String::new();
    loop {
        let plugin = plugin.as_ref().map(|plugin| format!("&plugin={plugin}")).unwrap_or_default();
        let page = client.get(&format!("/v1/deadLetters?pageSize=1000&pageToken={token}{plugin}"))?;
        letters.extend(page.get("deadLetters").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let columns = ["/id", "/time", "/plugin", "/attempt", "/event/id", "/error"];
    let rows: Vec<_> =
        letters.iter().map(|letter| columns.iter().map(|column| text(letter, column)).collect()).collect();
    let shown = table(&["LETTER", "TIME", "PLUGIN", "TRIES", "EVENT", "ERROR"], &rows);
    Ok((json!({ "deadLetters": letters }), shown))
}

fn details(letter: &Value) -> anyhow::Result<String> {
    let fields = [
        ("letter", "/id"),
        ("time", "/time"),
        ("plugin", "/plugin"),
        ("digest", "/digest"),
        ("tries", "/attempt"),
        ("error", "/error"),
        ("event", "/event/id"),
        ("event time", "/event/time"),
        ("event kind", "/event/kind"),
        ("device", "/event/device"),
    ];
    let mut rows: Vec<_> = fields.iter().map(|(name, at)| vec![(*name).to_owned(), text(letter, at)]).collect();
    rows.push(vec!["data".into(), shown(letter.pointer("/event/binaryData"))?]);
    let logs = letter.get("logs").and_then(Value::as_array).cloned().unwrap_or_default();
    rows.extend(logs.iter().map(|line| vec!["log".into(), line.as_str().unwrap_or_default().to_owned()]));
    Ok(table::details(&rows))
}
