//! `switchbox dead-letters`: events that a plugin could not handle.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::{self, or_dash, typed},
    client::Client,
    on_host,
    payload::readable,
    table,
    url::escape,
    when::at,
};
use switchbox_admin_api::{
    DeadLetter, PurgeDeadLettersResponse, RedriveDeadLettersRequest, RedriveDeadLettersResponse,
};
use switchbox_model::PluginName;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, oldest first
    List {
        /// Only those of this plugin
        #[arg(long)]
        plugin: Option<String>,
    },
    /// Show one of them, with its event and the plugin's log lines
    Show { id: u64 },
    /// Handle the events again; a dead letter is deleted when its event is handled
    Redrive(DeadLetterSelection),
    /// Delete them
    Purge(DeadLetterSelection),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct DeadLetterSelection {
    /// Only this one
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
                let dead_letter = client.get(&format!("/v1/deadLetters/{id}"))?;
                let text = details(typed(&dead_letter)?);
                Ok((dead_letter, text))
            }
            Self::Redrive(DeadLetterSelection { id: Some(id), .. }) => {
                let answer = client.post(&format!("/v1/deadLetters/{id}:redrive"), &json!({}))?;
                Ok((answer, format!("dead letter {id} is being handled again")))
            }
            Self::Redrive(DeadLetterSelection { plugin, .. }) => {
                let body = RedriveDeadLettersRequest { plugin: plugin.clone() };
                let answer = client.post("/v1/deadLetters:redrive", &body)?;
                let RedriveDeadLettersResponse { redriven, left } = typed(&answer)?;
                let left = match left {
                    0 => String::new(),
                    left => format!("; {left} stay, as their plugins do not run or are at it already"),
                };
                Ok((answer, format!("{redriven} dead letters are being handled again{left}")))
            }
            Self::Purge(DeadLetterSelection { id: Some(id), .. }) => {
                let answer = client.delete(&format!("/v1/deadLetters/{id}"))?;
                Ok((answer, format!("dead letter {id} is gone")))
            }
            Self::Purge(DeadLetterSelection { plugin, .. }) => {
                let which = match plugin {
                    Some(plugin) => format!("plugin={}", escape(PluginName::new(plugin)?.as_str())),
                    None => "all=true".into(),
                };
                let answer = client.delete(&format!("/v1/deadLetters?{which}"))?;
                let text = format!("{} dead letters are gone", typed::<PurgeDeadLettersResponse>(&answer)?.purged);
                Ok((answer, text))
            }
        }
    }
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

fn details(dead_letter: DeadLetter) -> String {
    let event = dead_letter.event;
    let mut rows = vec![
        ("letter", dead_letter.id.to_string()),
        ("time", at(dead_letter.time.to_string())),
        ("plugin", dead_letter.plugin),
        ("digest", dead_letter.digest),
        ("tries", dead_letter.attempt.to_string()),
        ("error", dead_letter.error),
        ("event", event.id.to_string()),
        ("event time", at(event.time.to_string())),
        ("event kind", answer::cell(serde_json::to_value(event.kind).ok().as_ref())),
        ("device", or_dash(event.device)),
        ("data", readable(event.binary_data.as_ref())),
    ];
    rows.extend(dead_letter.logs.into_iter().map(|line| ("log", line)));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table::details(&rows)
}
