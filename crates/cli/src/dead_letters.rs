//! `switchbox dead-letters`: events that a plugin could not handle.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::{self, items},
    client::Client,
    on_host,
    payload::shown,
    table,
    url::escape,
};
use switchbox_model::PluginName;

#[derive(Debug, Subcommand)]
pub enum Action {
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
pub struct Which {
    /// One of them
    id: Option<u64>,
    /// All those of this plugin
    #[arg(long)]
    plugin: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::List { plugin } => list(client, plugin.as_deref()),
            Self::Show { id } => {
                let letter = client.get(&format!("/v1/deadLetters/{id}"))?;
                let text = details(&letter)?;
                Ok((letter, text))
            }
            Self::Redrive(Which { id: Some(id), .. }) => {
                let answer = client.post(&format!("/v1/deadLetters/{id}:redrive"), &json!({}))?;
                Ok((answer, format!("dead letter {id} is being handled again")))
            }
            Self::Redrive(Which { plugin, .. }) => {
                let body = plugin.as_ref().map_or_else(|| json!({}), |plugin| json!({ "plugin": plugin }));
                let answer = client.post("/v1/deadLetters:redrive", &body)?;
                let (redriven, left) = (number(&answer, "redriven"), number(&answer, "left"));
                let left = match left {
                    0 => String::new(),
                    left => format!("; {left} stay, as their plugins do not run or are at it already"),
                };
                Ok((answer, format!("{redriven} dead letters are being handled again{left}")))
            }
            Self::Purge(Which { id: Some(id), .. }) => {
                let answer = client.delete(&format!("/v1/deadLetters/{id}"))?;
                Ok((answer, format!("dead letter {id} is gone")))
            }
            Self::Purge(Which { plugin, .. }) => {
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
}

fn number(answer: &Value, field: &str) -> u64 {
    answer.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn list(client: &Client, plugin: Option<&str>) -> anyhow::Result<(Value, String)> {
    let plugin = plugin.map(|name| anyhow::Ok(format!("?plugin={}", escape(PluginName::new(name)?.as_str()))));
    let answer = client.all(&format!("/v1/deadLetters{}", plugin.transpose()?.unwrap_or_default()), "deadLetters")?;
    let columns = [
        ("LETTER", "/id"),
        ("TIME", "/time"),
        ("PLUGIN", "/plugin"),
        ("TRIES", "/attempt"),
        ("EVENT", "/event/id"),
        ("ERROR", "/error"),
    ];
    let text = answer::list(&answer, "deadLetters", &columns);
    Ok((answer, text))
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
    let mut rows = answer::rows(letter, &fields);
    rows.push(vec!["data".into(), shown(letter.pointer("/event/binaryData"))?]);
    rows.extend(
        items(letter, "logs").iter().map(|line| vec!["log".into(), line.as_str().unwrap_or_default().to_owned()]),
    );
    Ok(table::details(&rows))
}
