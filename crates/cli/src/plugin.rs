//! `switchbox plugin`: plugins of a running host.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::typed,
    client::Client,
    exit::wrong,
    host::HostOptions,
    language::Language,
    plugin_build, plugin_canary, plugin_logs, plugin_new, plugin_record, plugin_replay, plugin_shadow, plugin_test,
    plugin_try, plugin_versions,
    printed::Printed,
    table::{self, table},
    url::escape,
};
use switchbox_admin_api::{
    GrantRequest, GrantResponse, ListPluginsResponse, Plugin, PluginCounters, PluginFile, PluginRolledBack,
};
use switchbox_model::PluginName;
use switchbox_rules::grants::{Capability, GrantPatterns};

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub(super) host: HostOptions,
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Create a plugin's project: it builds, its test passes, and it runs when its .wasm is put into the plugin folder
    New {
        name: String,
        /// The folder of the project [default: a folder of that name, here]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// The language of the plugin
        #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
        lang: Language,
        /// For developers of Switchbox itself: use the plugin-sdk folder of a checkout, by its absolute path [default: the SDK of this
        /// program, copied into the project]
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Build the plugin in a folder with the tool chain of its language; if something is missing, the error says what to install
    Build(plugin_build::Options),
    /// List all plugins
    List,
    /// Show one plugin
    Get { name: String },
    /// Show what a plugin would do with an event: it runs in its sandbox, and nothing is carried out
    Try(Box<plugin_try::Options>),
    /// Record a plugin's executions, with its calls of the host, for a replay
    Record(Box<plugin_record::Options>),
    /// Replay a recording, without a host: the same component has the same effects, another one shows its differences
    Replay(plugin_replay::Options),
    /// Run a candidate beside a plugin: it sees the same events, its effects are not carried out, and the differences are shown
    Shadow(plugin_shadow::Options),
    /// Let a candidate act for some devices, then for more, for all, or for none; without options: show its status
    Canary(plugin_canary::Options),
    /// Run the cases in a plugin's folder in the sandbox, without a host
    Test(plugin_test::Options),
    /// Show a plugin's log lines and its failures, the newest last
    Logs(plugin_logs::Options),
    /// Enable a plugin
    Enable { name: String },
    /// Disable a plugin: its files and its state are kept, and it gets no events
    Disable { name: String },
    /// Read a plugin's files again
    Reload { name: String },
    /// List the versions that have run: since when, by whom, and how they ended
    History { name: String },
    /// Show the differences between two versions: component, settings, triggers, grants, imports
    Diff(plugin_versions::Diff),
    /// Restore a version that ran before, with its settings
    Rollback(plugin_versions::Rollback),
    /// Consent to all grants that a plugin asks for, or to some: such as config=lamp-*
    ///
    /// Comments in the settings file are kept under [grants]. A settings file that is a symbolic link is replaced by a file
    Grant {
        name: String,
        #[arg(value_name = "CAPABILITY=PATTERN")]
        grants: Vec<String>,
    },
    /// Delete a plugin's files; its state and timers are kept for 7 days, in case the files come back
    #[command(visible_alias = "delete")]
    Remove {
        name: String,
        /// Delete its state and timers at once, also those of a plugin that was removed before
        #[arg(long)]
        purge_state: bool,
    },
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<Printed> {
    match &options.action {
        Action::Try(arguments) => return plugin_try::run(&options.host, arguments).map(Printed::from),
        Action::Record(arguments) => return plugin_record::run(&options.host, arguments).map(Printed::from),
        Action::Replay(arguments) => return plugin_replay::run(&options.host, arguments),
        Action::Shadow(arguments) => return plugin_shadow::run(&options.host, arguments).map(Printed::from),
        Action::Canary(arguments) => return plugin_canary::run(&options.host, arguments).map(Printed::from),
        Action::Test(arguments) => return plugin_test::run(arguments),
        Action::Build(arguments) => return plugin_build::run(arguments).map(Printed::from),
        Action::History { name } => return plugin_versions::history(&options.host, name).map(Printed::from),
        Action::Diff(arguments) => return plugin_versions::diff(&options.host, arguments).map(Printed::from),
        Action::Rollback(arguments) => return plugin_versions::rollback(&options.host, arguments).map(Printed::from),
        _ => {}
    }
    if let Action::New { name, folder, lang, sdk } = &options.action {
        let folder = folder.clone().unwrap_or_else(|| name.into());
        let created = plugin_new::create(name, &folder, *lang, sdk.as_deref()).map_err(|error| match error {
            plugin_new::Error::NotEmpty(_) | plugin_new::Error::Write { .. } => error.into(),
            argument => wrong(argument.to_string()),
        });
        return Ok(next_steps(&created?).into());
    }
    let (answer, text) = act(&options.host.client()?, &options.action)?;
    Ok(options.host.show(&answer, text).into())
}

fn act(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    let post = |name: &str, verb: &str, done: &str| {
        let answer = client.post(&format!("{}:{verb}", path(name)?), &json!({}))?;
        Ok((answer, format!("{name} {done}")))
    };
    match action {
        Action::List => {
            let answer = client.get("/v1/plugins")?;
            let text = list(typed(&answer)?);
            Ok((answer, text))
        }
        Action::Get { name } => {
            let answer = client.get(&path(name)?)?;
            let text = details(typed(&answer)?);
            Ok((answer, text))
        }
        Action::New { .. }
        | Action::Build(_)
        | Action::Logs(_)
        | Action::Try(_)
        | Action::Record(_)
        | Action::Replay(_)
        | Action::Shadow(_)
        | Action::Canary(_)
        | Action::Test(_)
        | Action::History { .. }
        | Action::Diff(_)
        | Action::Rollback(_) => {
            anyhow::bail!("this is done elsewhere")
        }
        Action::Enable { name } => {
            let answer = client.post(&format!("{}:enable", path(name)?), &json!({}))?;
            let done = match state(&answer)?.as_str() {
                "" | "disabled" => "will be enabled when its change before is done".to_owned(),
                state => format!("is enabled; its state: {state}"),
            };
            Ok((answer, format!("{name} {done}")))
        }
        Action::Disable { name } => {
            let answer = client.post(&format!("{}:disable", path(name)?), &json!({}))?;
            let done = match state(&answer)?.as_str() {
                "disabled" => "is disabled".to_owned(),
                state => format!("will be disabled when its change before is done; its state now: {state}"),
            };
            Ok((answer, format!("{name} {done}")))
        }
        Action::Reload { name } => post(name, "reload", "is being read again"),
        Action::Grant { name, grants } => {
            let answer = client.post(&format!("{}:grant", path(name)?), &granted(grants)?)?;
            let text = may_do(name, &typed(&answer)?);
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

/// No arguments: all that it asks for.
fn granted(grants: &[String]) -> anyhow::Result<GrantRequest> {
    let mut granted = GrantPatterns::new();
    for grant in grants {
        let (capability, pattern) = grant
            .split_once('=')
            .ok_or_else(|| wrong(format!("{grant}: write CAPABILITY=PATTERN, such as config=lamp-*")))?;
        let known = Capability::ALL.into_iter().find(|known| known.as_str() == capability);
        let known = known.ok_or_else(|| {
            let names = Capability::ALL.map(Capability::as_str).join(", ");
            wrong(format!("{grant}: {capability} is not a capability; there are {names}"))
        })?;
        granted.entry(known).or_default().push(pattern.to_owned());
    }
    Ok(GrantRequest { grants: Some(granted).filter(|granted| !granted.is_empty()) })
}

/// What a plugin may do with its new grants.
fn may_do(name: &str, granted: &GrantResponse) -> String {
    if !granted.grants_in_force.is_empty() {
        return format!("{name} may do this now: {}", granted.grants_in_force.join(", "));
    }
    let given = granted.grants.iter().flat_map(|(capability, patterns)| {
        patterns.iter().map(move |pattern| format!("{} {pattern}", capability.as_str()))
    });
    let given: Vec<_> = given.collect();
    format!(
        "{name} may do nothing now: none of what it asks for is granted by {}; `switchbox plugin get {name}` shows what it asks for",
        given.join(", ")
    )
}

fn next_steps(created: &plugin_new::Created) -> String {
    let plugin_new::Created { folder, install, build, component } = created;
    let (folder, component) = (folder.display(), component.display());
    let before = if install.is_empty() { "cargo test".to_owned() } else { install.join("\n  ") };
    format!(
        "A plugin is in {folder}. What to do next:\n\n  cd {folder}\n  {before}\n  {build}\n  switchbox plugin test .\n  cp {component} PLUGINS/\n\n\
         where PLUGINS is the folder that the host watches (\"plugins\" in its ready line)."
    )
}

fn path(name: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/plugins/{}", escape(PluginName::new(name)?.as_str())))
}

/// The plugin's state, if the call waited for it.
fn state(answer: &Value) -> anyhow::Result<String> {
    Ok(typed::<PluginFile>(answer)?.state.unwrap_or_default())
}

fn list(answer: ListPluginsResponse) -> String {
    let row = |plugin: Plugin| {
        let Plugin { name, state, version, counters, last_error, .. } = plugin;
        let [events, done, dead] = [counters.events, counters.done, counters.dead].map(|count| count.to_string());
        vec![name, state, version, events, done, dead, last_error.unwrap_or_default()]
    };
    let rows: Vec<_> = answer.plugins.into_iter().map(row).collect();
    table(&["PLUGIN", "STATE", "VERSION", "EVENTS", "DONE", "DEAD", "LAST ERROR"], &rows)
}

fn details(plugin: Plugin) -> String {
    let limits: Vec<_> = plugin.limits.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let mut rows = vec![
        ("name".to_owned(), plugin.name),
        ("state".to_owned(), plugin.state),
        ("summary".to_owned(), plugin.summary),
        ("version".to_owned(), plugin.version),
        ("component".to_owned(), plugin.component),
        ("digest".to_owned(), plugin.digest),
        ("triggers".to_owned(), plugin.triggers.join(", ")),
        ("asks for".to_owned(), plugin.grants.join(", ")),
        ("may do".to_owned(), plugin.grants_in_force.join(", ")),
        ("imports".to_owned(), plugin.imports.join(", ")),
        ("refused imports".to_owned(), plugin.refused_imports.join(", ")),
        ("empty imports".to_owned(), plugin.empty_imports.join(", ")),
        ("settings".to_owned(), plugin.settings.trim().to_owned()),
        ("limits".to_owned(), limits.join(", ")),
        ("wait for approval".to_owned(), plugin.waiting_for_approval.to_string()),
        ("last error".to_owned(), plugin.last_error.unwrap_or_default()),
        ("warnings".to_owned(), plugin.warnings.join(", ")),
    ];
    if let Some(guard) = plugin.guard {
        let (events, of, seconds) = (guard.events.0, guard.of_events.0, guard.seconds.0);
        let failed =
            format!("{} traps, {} errors, {} dead letters", guard.traps.0, guard.errors.0, guard.dead_letters.0);
        let text = format!("new since {}: {events} of {of} events, {seconds} s at least; {failed}", guard.since);
        rows.push(("under guard".to_owned(), text));
    }
    if let Some(PluginRolledBack { digest, error, time, until, stays }) = plugin.rolled_back {
        let what = if stays { "failed its guard, in force" } else { "rolled back" };
        let fields = [(what, digest), ("because", error), ("at", time.to_string()), ("until", until)];
        rows.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
    let PluginCounters { events, done, retried, rejected, failed, dead, effects } = plugin.counters;
    let counters = [
        ("events", events),
        ("events done", done),
        ("events rejected", rejected),
        ("events retried", retried),
        ("events failed", failed),
        ("dead letters", dead),
        ("effects", effects),
    ];
    rows.extend(counters.map(|(name, count)| (name.to_owned(), count.to_string())));
    let limits = plugin.limits_hit.into_iter();
    rows.extend(limits.map(|(name, count)| (format!("limit hit: {name}"), count.to_string())));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
    table::details(&rows)
}
