//! `switchbox explain`: why something happened on a running host.

use serde_json::Value;

use super::{exit::wrong, host::HostOptions, names::Names, url::escape};
use switchbox_core::explain::Id;

/// Explain why something happened: the causes of a config, a command or a method call, and the effects of an event
///
/// An event is written 42; a config version lamp-1@7; the newest config of a device lamp-1; the execution of event 42 by plugin
/// wake is 42.wake, its first effect 42.wake.0 and its first method call 42.wake.m0; a command or a call of an operator
/// api.…; a dead letter deadLetters/3. Full resource names are accepted too
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    names: Names,
    id: String,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let id = whole(&options.names, options.id.trim())?;
    let answer = options.host.client()?.get(&format!("/v1/explain/{}", escape(&id)))?;
    let text = answer.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(options.host.show(&answer, text))
}

/// --registry is not part of the API: the host gets the device's full name.
fn whole(names: &Names, id: &str) -> anyhow::Result<String> {
    let parsed = Id::parse_in(id, &names.home()?).map_err(|error| wrong(error.to_string()))?;
    Ok(match parsed {
        Id::Config { device, version: Some(version) } => format!("{device}@{version}"),
        Id::Config { device, version: None } => device.to_string(),
        _ => id.to_owned(),
    })
}
