//! `switchbox plugin`: plugins of a running host.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::items,
    client::Client,
    host::Host,
    plugin_logs, plugin_new,
    table::{self, table},
    url::escape,
};
use switchbox_model::PluginName;

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub(super) host: Host,
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Write a new plugin's project: it builds, its test passes, and it runs when its .wasm is dropped into the folder
    New {
        name: String,
        /// Where to write it [default: a folder of that name, here]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// The plugin-sdk folder of a checkout [default: the SDK of this program, written into the project]
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// All plugins
    List,
    /// Everything about one plugin
    Get { name: String },
    /// What it wrote to its log, and its failures, the newest last
    Logs(plugin_logs::Options),
    /// Let it run
    Enable { name: String },
    /// Keep its files and its state, but let it see no events
    Disable { name: String },
    /// Read its files again
    Reload { name: String },
    /// Go back to the component that ran before
    Rollback { name: String },
    /// Consent to all that it asks for, or to less: such as config=lamp-*
    Grant {
        name: String,
        #[arg(value_name = "CAPABILITY=PATTERN")]
        grants: Vec<String>,
    },
    /// Delete its files; its state and timers are kept for 7 days, for the case that they come back
    #[command(visible_alias = "delete")]
    Remove {
        name: String,
        /// Delete its state and timers at once, also those of a plugin that was removed before
        #[arg(long)]
        purge_state: bool,
    },
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    if let Action::New { name, folder, sdk } = &options.action {
        let folder = folder.clone().unwrap_or_else(|| name.into());
        return Ok(next_steps(&plugin_new::create(name, &folder, sdk.as_deref())?));
    }
    let (answer, text) = act(&options.host.client()?, &options.action)?;
    Ok(options.host.show(&answer, text))
}

fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    let post = |name: &str, verb: &str, done: &str| {
        let answer = client.post(&format!("{}:{verb}", path(name)?), &json!({}))?;
        Ok((answer, format!("{name} {done}")))
    };
    match action {
        Action::List => {
            let answer = client.get("/v1/plugins")?;
            let text = list(&answer);
            Ok((answer, text))
        }
        Action::Get { name } => {
            let answer = client.get(&path(name)?)?;
            let text = details(&answer);
            Ok((answer, text))
        }
        Action::New { .. } | Action::Logs(_) => anyhow::bail!("this is done elsewhere"),
        Action::Enable { name } => {
            let answer = client.post(&format!("{}:enable", path(name)?), &json!({}))?;
            let done = match text(&answer, "/state").as_str() {
                "" | "disabled" => "will be enabled when its change before is done".to_owned(),
                state => format!("is enabled; its state: {state}"),
            };
            Ok((answer, format!("{name} {done}")))
        }
        Action::Disable { name } => {
            let answer = client.post(&format!("{}:disable", path(name)?), &json!({}))?;
            let done = match text(&answer, "/state").as_str() {
                "disabled" => "is disabled".to_owned(),
                state => format!("will be disabled when its change before is done; its state now: {state}"),
            };
            Ok((answer, format!("{name} {done}")))
        }
        Action::Reload { name } => post(name, "reload", "is being read again"),
        Action::Rollback { name } => post(name, "rollback", "goes back to the component that ran before"),
        Action::Grant { name, grants } => {
            let answer = client.post(&format!("{}:grant", path(name)?), &granted(grants)?)?;
            let text = format!("{name} may do this now: {}", answer.get("grants").unwrap_or(&Value::Null));
            Ok((answer, text))
        }
        Action::Remove { name, purge_state } => {
            let query = if *purge_state { "?purgeState=true" } else { "" };
            let answer = client.delete(&format!("{}{query}", path(name)?))?;
            let kept = if *purge_state { ", and its state and timers are deleted" } else { "" };
            Ok((answer, format!("{name} is removed{kept}")))
        }
    }
}

/// Nothing given: all that it asks for.
fn granted(grants: &[String]) -> anyhow::Result<Value> {
    let mut by_capability: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for grant in grants {
        let (capability, pattern) = grant
            .split_once('=')
            .ok_or_else(|| anyhow::anyhow!("{grant}: write CAPABILITY=PATTERN, such as config=lamp-*"))?;
        by_capability.entry(capability).or_default().push(pattern);
    }
    Ok(if by_capability.is_empty() { json!({}) } else { json!({ "grants": by_capability }) })
}

fn next_steps(created: &plugin_new::Created) -> String {
    let plugin_new::Created { folder, build, component } = created;
    let (folder, component) = (folder.display(), component.display());
    format!(
        "A plugin is in {folder}. What to do next:\n\n  cd {folder}\n  cargo test\n  {build}\n  cp {component} PLUGINS/\n\n\
         where PLUGINS is the folder that the host watches (\"plugins\" in its ready line)."
    )
}

fn path(name: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/plugins/{}", escape(PluginName::new(name)?.as_str())))
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

fn list(answer: &Value) -> String {
    let columns = ["/name", "/state", "/version", "/counters/events", "/counters/done", "/counters/dead", "/lastError"];
    let rows: Vec<_> = items(answer, "plugins")
        .iter()
        .map(|plugin| columns.iter().map(|column| text(plugin, column)).collect())
        .collect();
    table(&["PLUGIN", "STATE", "VERSION", "EVENTS", "DONE", "DEAD", "LAST ERROR"], &rows)
}

fn details(plugin: &Value) -> String {
    let mut rows = Vec::new();
    for (field, shown) in [
        ("name", "name"),
        ("state", "state"),
        ("summary", "summary"),
        ("version", "version"),
        ("component", "component"),
        ("digest", "digest"),
        ("triggers", "triggers"),
        ("grants", "asks for"),
        ("grantsInForce", "may do"),
        ("lastError", "lastError"),
        ("warnings", "warnings"),
    ] {
        rows.push(vec![shown.to_owned(), text(plugin, &format!("/{field}"))]);
    }
    if plugin.get("takenBack").is_some() {
        for (field, what) in [("digest", "taken back"), ("error", "because"), ("time", "at"), ("until", "until")] {
            rows.push(vec![what.to_owned(), text(plugin, &format!("/takenBack/{field}"))]);
        }
    }
    for (field, what) in [("counters", ""), ("limitsHit", "limit hit: ")] {
        if let Some(Value::Object(counts)) = plugin.get(field) {
            rows.extend(counts.iter().map(|(name, count)| vec![format!("{what}{name}"), count.to_string()]));
        }
    }
    let settings = text(plugin, "/settings");
    let settings = if settings.trim().is_empty() { String::new() } else { format!("\n{}", settings.trim_end()) };
    format!("{}{settings}", table::details(&rows))
}
