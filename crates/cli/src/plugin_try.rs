//! `switchbox plugin try`: shows what a plugin would do with an event, on a running host, which carries nothing out.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    answer::typed, client::Client, context::DATA_VARIABLE, exit::wrong, host::HostOptions, language::Language,
    names::Names, payload, table, url::escape,
};
use switchbox_admin_api::{Base64, Int64, TryMethodAnswer, TryPluginRequest, TryPluginResponse};
use switchbox_dry_run::effect::EffectLine;
use switchbox_model::PluginName;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A plugin of the host, or a component's file, which need not be installed
    #[arg(value_name = "NAME|FILE")]
    pub(super) what: String,
    /// The event's data: text, @FILE, or - for standard input
    #[arg(value_name = "DATA")]
    pub(super) payload: Option<String>,
    /// The same as DATA; the host's data folder is named by SWITCHBOX_DATA
    // Has the name of the host's option, so clap takes it in the place of that one, and the type, as clap copies its value.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// The device that the event came from
    #[arg(long)]
    pub(super) device: Option<String>,
    #[command(flatten)]
    names: Names,
    /// The data is telemetry of this sub-folder
    #[arg(long)]
    subfolder: Option<String>,
    /// The data is a reported state, not telemetry
    #[arg(long, conflicts_with_all = ["subfolder", "topic", "timer"])]
    state: bool,
    /// The data was published on this ordinary topic
    #[arg(long, conflicts_with_all = ["subfolder", "timer"])]
    topic: Option<String>,
    /// A timer of this name fired
    #[arg(long, value_name = "NAME", conflicts_with = "subfolder")]
    timer: Option<String>,
    /// The event as JSON, in the format of docs/recordings.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["payload", "device", "event_number"])]
    event: Option<PathBuf>,
    /// The number of an event in the journal
    #[arg(long, value_name = "N", conflicts_with_all = ["payload", "device"])]
    event_number: Option<u64>,
    /// A settings file to try instead of the one in force
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The answer of a device's method; without it, the device is offline
    #[arg(long, value_name = "DEVICE:METHOD=DATA")]
    method_answer: Vec<String>,
}

/// The host's answer, and its text for users.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<String> {
    let (name, component) = what(&options.what)?;
    let mut request = request(options)?;
    let client = host.without_data().client()?;
    request.component = component.map(|bytes| Base64(bytes.into()));
    let answer = call(&client, &name, &request)?;
    let text = to_text(&typed(&answer)?);
    Ok(host.show(&answer, text))
}

fn call(client: &Client, name: &PluginName, request: &TryPluginRequest) -> anyhow::Result<Value> {
    client.post(&format!("/v1/plugins/{}:try", escape(name.as_str())), request)
}

/// A plugin's name; for a file also its bytes.
pub(super) fn what(what: &str) -> anyhow::Result<(PluginName, Option<Vec<u8>>)> {
    let path = Path::new(what);
    let is_rule =
        |ending: &OsStr| Language::ALL.iter().any(|language| language.ending().is_some_and(|of| of == ending));
    if path.extension().is_some_and(is_rule) && path.is_file() {
        return Err(wrong(format!(
            "{what} is a rule's source, and a component is tried: build it with `switchbox plugin build`"
        )));
    }
    if !what.contains('/') && path.extension().is_none_or(|ending| ending != "wasm") {
        return Ok((PluginName::new(what)?, None));
    }
    let bytes = std::fs::read(path).with_context(|| format!("{what} cannot be read"))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    Ok((PluginName::new(stem)?, Some(bytes)))
}

/// The event's data, as DATA or in `--data`.
fn given(options: &Options) -> anyhow::Result<Option<&str>> {
    let Options { payload, data, event, event_number, .. } = options;
    let Some(data) = data else { return Ok(payload.as_deref()) };
    let other = if payload.is_some() {
        "DATA"
    } else if event.is_some() {
        "--event FILE"
    } else if event_number.is_some() {
        "--event-number N"
    } else {
        let text = data.to_str().ok_or_else(|| wrong("--data is not UTF-8; write @FILE, or - for standard input"))?;
        return Ok(Some(text));
    };
    Err(wrong(format!(
        "--data is the event's data, and {other} has the event's data too: leave one of them out. If --data is to be the host's data \
         folder, name that by {DATA_VARIABLE}=DIR"
    )))
}

fn request(options: &Options) -> anyhow::Result<TryPluginRequest> {
    let given = given(options)?;
    let read =
        |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    let event = match (&options.event, options.event_number) {
        (Some(path), _) => {
            let text = read(path)?;
            let event = serde_json::from_str::<Map<String, Value>>(&text);
            Some(event.map_err(|error| wrong(format!("{} is not an event in JSON: {error}", path.display())))?)
        }
        (None, Some(_)) => None,
        (None, None) => Some(event(options, given)?),
    };
    Ok(TryPluginRequest {
        event,
        event_number: options.event_number.map(Int64),
        component: None,
        settings: options.settings.as_ref().map(read).transpose()?,
        method_answers: options.method_answer.iter().map(|text| method_answer(text)).collect::<Result<_, _>>()?,
    })
}

/// The event that the options describe.
fn event(options: &Options, given: Option<&str>) -> anyhow::Result<Map<String, Value>> {
    let data = match given {
        Some(text) => payload::data(text)?,
        None if options.timer.is_some() => Vec::new(),
        None => return Err(wrong("give the event's data, --event FILE or --event-number N")),
    };
    let payload = match String::from_utf8(data) {
        Ok(text) => json!(text),
        Err(bytes) => json!({"base64": STANDARD.encode(bytes.as_bytes())}),
    };
    let data = if let Some(topic) = &options.topic {
        json!({"topic": {"topic": topic, "payload": payload}})
    } else if let Some(name) = &options.timer {
        json!({"timer": {"name": name, "payload": payload}})
    } else if options.state {
        json!({"state": {"payload": payload}})
    } else {
        json!({"telemetry": {"subfolder": options.subfolder.as_deref().unwrap_or_default(), "payload": payload}})
    };
    let mut event = Map::from_iter([("data".to_owned(), data)]);
    if options.topic.is_none() && options.timer.is_none() {
        let missing = || wrong("--device says which device the event came from");
        let device = options.device.as_deref().ok_or_else(missing)?;
        event.insert("device".to_owned(), json!(options.names.device(device)?.to_string()));
    }
    event.insert("timeMs".to_owned(), json!(switchbox_support::clock::now_ms()));
    Ok(event)
}

fn method_answer(text: &str) -> anyhow::Result<TryMethodAnswer> {
    let parts = text.split_once('=').and_then(|(call, data)| Some((call.rsplit_once(':')?, data)));
    let named = parts.filter(|((device, method), _)| !device.is_empty() && !method.is_empty());
    let unusable = || wrong(format!("{text}: write DEVICE:METHOD=DATA, such as garage-1:open={{\"ok\":true}}"));
    let ((device, method), data) = named.ok_or_else(unusable)?;
    let binary_data = Some(Base64(payload::data(data)?.into()));
    Ok(TryMethodAnswer { device: device.into(), method: method.into(), status: None, binary_data })
}

fn to_text(tried: &TryPluginResponse) -> String {
    let mut lines = Vec::new();
    if !tried.triggered {
        lines
            .push("note: its triggers do not match this event, so the host would not give it to the plugin".to_owned());
    }
    if !tried.registered {
        lines.push("note: the device that the event came from is not registered".to_owned());
    }
    let reason = tried.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    lines.push(format!("{} would be {}{reason}; nothing was carried out", tried.name, tried.outcome));
    if let Some(why) = &tried.approval {
        lines.push(format!("note: its effects would wait for an operator's approval: {why}"));
    }
    for effect in &tried.effects {
        let line = serde_json::from_value::<EffectLine>(Value::Object(effect.clone()));
        lines.push(format!("  effect: {}", line.map_or_else(|_| json!(effect).to_string(), |line| line.to_text())));
    }
    lines.extend(tried.calls.iter().map(|call| format!("  call: {}", json!(call))));
    lines.extend(tried.logs.iter().map(|line| format!("  log: {line}")));
    lines.extend(tried.limits_hit.iter().map(|limit| format!("  limit hit: {limit}")));
    let rows = [
        ("digest", tried.digest.clone()),
        ("guest time", format!("{} µs", tried.guest_micros.0)),
        ("memory", format!("{} KiB", tried.memory_bytes.0 / 1024)),
        ("grants used", tried.grants_used.join(", ")),
        ("grants denied", tried.grants_denied.join(", ")),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    format!("{}\n{}", lines.join("\n"), table::details(&rows))
}
