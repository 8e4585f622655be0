//! `switchbox plugin record`: records a plugin on a running host, and fetches the recording.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{answer::typed, client::Client, host::HostOptions, url::escape};
use switchbox_admin_api::{Int64, Plugin, PluginRecording, RecordPluginRequest};
use switchbox_model::PluginName;
use switchbox_support::terminal;

/// How often it checks whether the recording has ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    name: String,
    /// How long to record, such as 10m or 1h; the recording is then written to FILE
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Record until it is stopped or its file is full, without waiting
    #[arg(long, conflicts_with_all = ["time", "file"])]
    always: bool,
    /// End the recording
    #[arg(long, conflicts_with_all = ["time", "always", "mask", "size"])]
    stop: bool,
    /// The file to write; without --for and --stop: the recording so far
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A glob of keys whose values are masked, in addition to the host's own
    #[arg(long, value_name = "GLOB")]
    mask: Vec<String>,
    /// The largest file on the host, bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<String> {
    let client = host.client()?;
    let name = PluginName::new(&options.name)?;
    let path = format!("/v1/plugins/{}", escape(name.as_str()));
    if options.stop {
        client.post(&format!("{path}:stopRecording"), &json!({}))?;
    } else if options.time.is_some() || options.always {
        let request = RecordPluginRequest {
            seconds: options.time.map(|time| Int64(time.as_secs().max(1))),
            bytes: options.size.map(Int64),
            mask: options.mask.clone(),
        };
        client.post(&format!("{path}:record"), &request)?;
        if options.always {
            return Ok(format!(
                "{name} is being recorded; end it with `switchbox plugin record {name} --stop --file FILE`"
            ));
        }
        if options.file.is_none() {
            return Ok(format!("{name} is being recorded; fetch it with `switchbox plugin record {name} --file FILE`"));
        }
    } else if options.file.is_none() {
        bail!("say --for TIME or --always to begin, --stop to end, or --file FILE to fetch the recording");
    }
    let waits = options.stop || options.time.is_some();
    let recording = if waits { Some(ended(&client, &path)?) } else { state(&client, &path)? };
    let Some(file) = &options.file else { return Ok(summary(&name, recording.as_ref(), None)) };
    let bytes = fetch(&client, &path, file)?;
    Ok(summary(&name, recording.as_ref(), Some((file, bytes))))
}

fn state(client: &Client, path: &str) -> anyhow::Result<Option<PluginRecording>> {
    Ok(typed::<Plugin>(&client.get(path)?)?.recording)
}

/// Waits until the recording has ended.
fn ended(client: &Client, path: &str) -> anyhow::Result<PluginRecording> {
    let mut printed = 0;
    loop {
        let recording = state(client, path)?.context("the host has no recording of it; was it started again?")?;
        if recording.ended.is_some() {
            return Ok(recording);
        }
        let executions = recording.executions.0;
        if executions > printed * 2 {
            printed = executions;
            // Standard error is closed, so the warning cannot be shown.
            let _ = terminal::print_error(&format!("{executions} executions so far"));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn fetch(client: &Client, path: &str, to: &Path) -> anyhow::Result<u64> {
    let mut from = client.stream(&format!("{path}/recording"))?;
    let mut file = File::create(to).with_context(|| format!("{} cannot be written", to.display()))?;
    io::copy(&mut from.by_ref(), &mut file).with_context(|| format!("{} cannot be written", to.display()))
}

fn summary(name: &PluginName, recording: Option<&PluginRecording>, file: Option<(&PathBuf, u64)>) -> String {
    let counts = recording.map(|recording| {
        let PluginRecording { executions, skipped, ended, .. } = recording;
        let skipped = if skipped.0 == 0 { String::new() } else { format!(", {} left out", skipped.0) };
        let ended = ended.as_ref().map(|why| format!("; ended: {why}")).unwrap_or_default();
        format!("{} executions of {name}{skipped}{ended}", executions.0)
    });
    let counts = counts.unwrap_or_else(|| format!("a recording of {name}"));
    match file {
        Some((file, bytes)) => {
            let file = file.display();
            format!("{counts}\n{bytes} bytes in {file}; replay them with `switchbox plugin replay {file}`")
        }
        None => counts,
    }
}
