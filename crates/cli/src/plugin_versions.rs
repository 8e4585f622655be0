//! `switchbox plugin history`, `diff` and `rollback`: the versions of a plugin that have run on a host, the differences between two
//! of them, and restoring one.

use std::{fmt::Write as _, io::Read as _, path::PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tempfile::NamedTempFile;

use super::{
    answer::typed,
    client::Client,
    exit::{self, Code, Failed, wrong},
    host::HostOptions,
    line_diff, plugin_record, plugin_replay,
    table::table,
    url::escape,
};
use switchbox_admin_api::{
    ListPluginVersionsResponse, Plugin, PluginFile, PluginVersion, RollbackRequest, Time, VersionInForce,
    VersionRolledBack,
};
use switchbox_model::PluginName;
use switchbox_plugin_model::PluginSettings;

/// The largest component, bytes.
const COMPONENT_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    name: String,
    /// The older version: a number of `plugin history`, or the beginning of a digest [default: the version before the one in force]
    a: Option<String>,
    /// The newer version [default: the version in force]
    b: Option<String>,
    /// A recording of the plugin: both versions replay it, and their differences are shown
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Compare the last N executions only; without --recording those of the plugin's recording on the host, or of its journal if there
    /// is none
    #[arg(long, value_name = "N")]
    last: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    name: String,
    /// A number of `plugin history`, or the beginning of a digest, at least 6 digits [default: the previous version that did not fail its
    /// guard]
    #[arg(long, value_name = "N|DIGEST")]
    to: Option<String>,
}

pub(super) fn history(host: &HostOptions, name: &str) -> anyhow::Result<String> {
    let answer = host.client()?.get(&path(name)?)?;
    let text = listed(typed(&answer)?);
    Ok(host.show(&answer, text))
}

pub(super) fn rollback(host: &HostOptions, options: &Rollback) -> anyhow::Result<String> {
    let name = PluginName::new(&options.name)?;
    let request = RollbackRequest { to: options.to.clone() };
    let answer = host.client()?.post(&format!("/v1/plugins/{}:rollback", escape(name.as_str())), &request)?;
    let number = typed::<PluginFile>(&answer)?.version.unwrap_or_default();
    Ok(host.show(&answer, format!("{name} goes back to version {number}")))
}

pub(super) fn diff(host: &HostOptions, options: &Diff) -> anyhow::Result<String> {
    let client = host.client()?;
    let versions = typed::<ListPluginVersionsResponse>(&client.get(&path(&options.name)?)?)?.versions;
    let in_force = || versions.iter().find(|version| version.in_force);
    let newer = match &options.b {
        Some(requested) => find(&versions, requested),
        None => in_force(),
    };
    let newer = newer.ok_or_else(|| missing(&options.name, options.b.as_deref().unwrap_or("in force")))?;
    let older = match &options.a {
        Some(requested) => find(&versions, requested),
        None => versions.iter().find(|version| version.number != newer.number),
    };
    let older = older.ok_or_else(|| missing(&options.name, options.a.as_deref().unwrap_or("before it")))?;
    let mut answer = json!({"from": older, "to": newer});
    let mut text = shown(&options.name, older, newer);
    let fetched =
        if options.last.is_some() && options.recording.is_none() { Some(fetch(&client, &options.name)?) } else { None };
    if let Some(recording) = options.recording.as_deref().or(fetched.as_ref().map(|file| file.path())) {
        let not_compared = match options.last {
            Some(last) => plugin_replay::executions(recording)?.saturating_sub(last),
            None => 0,
        };
        for (key, version) in [("fromReplay", older), ("toReplay", newer)] {
            let (component, settings) = (component(&client, &options.name, version)?, settings(version)?);
            let requested = plugin_replay::ComponentSource::One(component.into());
            let replayed = plugin_replay::replayed(recording, requested, Some(settings), not_compared)?;
            let _ = write!(text, "\nversion {}:\n{}", version.number, plugin_replay::to_text(&replayed));
            if let Some(fields) = answer.as_object_mut() {
                fields.insert(key.to_owned(), serde_json::to_value(&replayed)?);
            }
        }
    }
    Ok(host.show(&answer, text))
}

/// The plugin's recording on the host, or one of its journal if there is none.
fn fetch(client: &Client, name: &str) -> anyhow::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    let plugin = format!("/v1/plugins/{}", escape(PluginName::new(name)?.as_str()));
    let is_recorded = typed::<Plugin>(&client.get(&plugin)?)?.recording.is_some();
    let what = if is_recorded { "recording" } else { "journalRecording" };
    plugin_record::fetch(client, &format!("{plugin}/{what}"), file.path())?;
    Ok(file)
}

fn path(name: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/plugins/{}/versions", escape(PluginName::new(name)?.as_str())))
}

fn missing(name: &str, requested: &str) -> Failed {
    let text = format!("there is no version {requested} of {name}; `switchbox plugin history {name}` lists them");
    exit::failed(Code::NotFound, text)
}

fn find<'a>(versions: &'a [PluginVersion], requested: &str) -> Option<&'a PluginVersion> {
    if let Ok(number) = requested.parse::<u64>() {
        return versions.iter().find(|version| version.number == number);
    }
    let hex = requested.strip_prefix("sha256:").unwrap_or(requested);
    let named = |version: &&PluginVersion| version.digest.trim_start_matches("sha256:").starts_with(hex);
    if hex.is_empty() { None } else { versions.iter().find(named) }
}

fn component(client: &Client, name: &str, version: &PluginVersion) -> anyhow::Result<Vec<u8>> {
    if let Some(builtin) = version.component.strip_prefix("builtin:") {
        let found = switchbox_builtins::find(builtin).filter(|bytes| plugin_replay::has_digest(bytes, &version.digest));
        let other =
            || wrong(format!("{}, as it was in version {}, is not in this program", version.component, version.number));
        return Ok(found.ok_or_else(other)?.to_vec());
    }
    let from = client.stream(&format!("{}/{}/component", path(name)?, version.number))?;
    let mut bytes = Vec::new();
    from.take(COMPONENT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn settings(version: &PluginVersion) -> anyhow::Result<PluginSettings> {
    PluginSettings::parse(&version.settings).with_context(|| format!("the settings of version {}", version.number))
}

fn listed(answer: ListPluginVersionsResponse) -> String {
    let rows = |version: PluginVersion| {
        let PluginVersion { in_force, kept, rolled_back, time, by: by_last, earlier, .. } = version.clone();
        let PluginVersion { number, digest, component, version, .. } = version;
        let builtin = component.starts_with("builtin:");
        let state = match rolled_back {
            Some(back) if back.stays => failed(&back),
            _ if in_force => "in force".to_owned(),
            Some(back) => failed(&back),
            None if kept || builtin => String::new(),
            None => "component not kept".into(),
        };
        let by = |by: Option<String>| by.map_or_else(|| "files".to_owned(), |by| format!("token {by}"));
        let row = |time: Time, by: String, state: String| {
            let (digest, component) = (short(&digest), component.clone());
            vec![number.to_string(), time.to_string(), by, version.clone(), digest, component, state]
        };
        let before = |before: VersionInForce| {
            let state = before.rolled_back.map_or_else(|| "before".to_owned(), |back| failed(&back));
            row(before.time, by(before.by), state)
        };
        let last = row(time, by(by_last), state);
        std::iter::once(last).chain(earlier.into_iter().map(before)).collect::<Vec<_>>()
    };
    let rows: Vec<_> = answer.versions.into_iter().flat_map(rows).collect();
    table(&["N", "SINCE", "BY", "VERSION", "DIGEST", "COMPONENT", "STATE"], &rows)
}

/// What the guard did.
fn failed(back: &VersionRolledBack) -> String {
    let what = if back.stays { "failed its guard" } else { "rolled back" };
    format!("{what} {}: {}", back.time, back.why)
}

/// The beginning of a digest, enough to identify a version.
fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

fn shown(name: &str, older: &PluginVersion, newer: &PluginVersion) -> String {
    let mut text = format!("{name}: version {} → version {}\n", older.number, newer.number);
    let component = |version: &PluginVersion| format!("{} {} {}", version.component, version.version, version.digest);
    let parts = [
        ("component", vec![component(older)], vec![component(newer)]),
        ("settings", lines(&older.settings), lines(&newer.settings)),
        ("triggers", older.triggers.clone(), newer.triggers.clone()),
        ("asks for", older.grants.clone(), newer.grants.clone()),
        ("may do", older.grants_in_force.clone(), newer.grants_in_force.clone()),
        ("imports", older.imports.clone(), newer.imports.clone()),
        ("state schema", vec![older.state_schema.to_string()], vec![newer.state_schema.to_string()]),
    ];
    for (what, older, newer) in parts {
        if older == newer {
            let _ = writeln!(text, "{what}: the same");
        } else {
            let _ = writeln!(text, "{what}:");
            for line in line_diff::diff(&older, &newer) {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
