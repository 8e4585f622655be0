//! `switchbox plugin record`: records a plugin on a running host, and fetches the recording; or makes one of the host's journal.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{
    answer::{executions, typed},
    client::Client,
    exit::{Code, failed, wrong},
    host::{HostOptions, OutputParser, OutputTo},
    since,
    url::escape,
};
use switchbox_admin_api::{Int64, Plugin, PluginRecording, RecordPluginRequest, Time};
use switchbox_dry_run::recording::{Line, Reader};
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
    /// Make a recording of the executions in the journal: with their events and effects, without what the plugin asked of the host
    #[arg(long, conflicts_with_all = ["time", "always", "stop", "size"])]
    from_journal: bool,
    /// Of the journal only executions since then: 1h, or a time such as 2030-01-01T00:00:00Z
    #[arg(long, value_name = "DURATION|TIME", requires = "from_journal", value_parser = since::parse)]
    since: Option<Time>,
    /// The file to write; without --for and --stop: the recording so far
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same as --file; but table, json and jsonl are formats, as elsewhere
    // Has the name of the option that is a format elsewhere, so clap takes it in the place of that one.
    #[arg(long, short, value_name = "FILE", value_parser = OutputParser { files: true })]
    output: Option<OutputTo>,
    /// A glob of keys whose values are masked, in addition to the host's own
    #[arg(long, value_name = "GLOB")]
    mask: Vec<String>,
    /// The largest file on the host, bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
}

impl Options {
    /// The file to write.
    fn written(&self) -> anyhow::Result<Option<&Path>> {
        match (&self.file, &self.output) {
            (Some(_), Some(OutputTo::File(_))) => {
                Err(wrong("--file and --output both name the file to write: leave one of them out"))
            }
            (None, Some(OutputTo::File(_))) if self.always => {
                Err(wrong("--always does not wait for the recording; fetch it later with --stop --file FILE"))
            }
            (None, Some(OutputTo::File(file))) => Ok(Some(file)),
            (file, _) => Ok(file.as_deref()),
        }
    }
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<String> {
    let written = options.written()?;
    let client = host.client()?;
    let name = PluginName::new(&options.name)?;
    let path = format!("/v1/plugins/{}", escape(name.as_str()));
    if options.from_journal {
        let file = written.ok_or_else(|| wrong("--from-journal needs --file FILE: where the recording is written"))?;
        return from_journal(&client, options, &name, (&path, file));
    }
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
        if written.is_none() {
            return Ok(format!("{name} is being recorded; fetch it with `switchbox plugin record {name} --file FILE`"));
        }
    } else if written.is_none() {
        return Err(wrong("say --for TIME or --always to begin, --stop to end, or --file FILE to fetch the recording"));
    }
    let waits = options.stop || options.time.is_some();
    let recording = if waits { Some(ended(&client, &path)?) } else { state(&client, &path)? };
    let Some(file) = written else { return Ok(summary(&name, recording.as_ref(), None)) };
    let bytes = fetch(&client, &format!("{path}/recording"), file)?;
    Ok(summary(&name, recording.as_ref(), Some((file, bytes))))
}

/// Writes the recording that the host makes of its journal.
fn from_journal(
    client: &Client,
    options: &Options,
    name: &PluginName,
    (path, file): (&str, &Path),
) -> anyhow::Result<String> {
    let since = options.since.map(|since| format!("since={}", escape(&since.to_string())));
    let masks = options.mask.iter().map(|mask| format!("mask={}", escape(mask)));
    let query: Vec<_> = since.into_iter().chain(masks).collect();
    let bytes = fetch(client, &format!("{path}/journalRecording?{}", query.join("&")), file)?;
    let Counts { executions: count, skipped, why } = counts(file)?;
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} left out") };
    let file = file.display();
    let executions = executions(count);
    Ok(format!(
        "{executions} of {name}{skipped}; ended: {why}\n{bytes} bytes in {file}, without what {name} asked of the host; replay them \
         with `switchbox plugin replay {file}`"
    ))
}

/// What the last line of a recording says.
struct Counts {
    executions: u64,
    skipped: u64,
    why: String,
}

fn counts(file: &Path) -> anyhow::Result<Counts> {
    let mut reader = Reader::new(BufReader::new(File::open(file)?))?;
    let mut last = None;
    while let Some(line) = reader.next_line()? {
        last = Some(line);
    }
    match last {
        Some(Line::End { executions, skipped, why }) => Ok(Counts { executions, skipped, why }),
        _ => bail!(
            "{} has no last line: the host could not read its journal to the end; its log says why",
            file.display()
        ),
    }
}

fn state(client: &Client, path: &str) -> anyhow::Result<Option<PluginRecording>> {
    Ok(typed::<Plugin>(&client.get(path)?)?.recording)
}

/// Waits until the recording has ended.
fn ended(client: &Client, path: &str) -> anyhow::Result<PluginRecording> {
    let mut printed = 0;
    loop {
        let missing = || failed(Code::NotFound, "the host has no recording of it; was it started again?");
        let recording = state(client, path)?.ok_or_else(missing)?;
        if recording.ended.is_some() {
            return Ok(recording);
        }
        let count = recording.executions.0;
        if count > printed * 2 {
            printed = count;
            // Standard error is closed, so the warning cannot be shown.
            let _ = terminal::print_error(&format!("{} so far", executions(count)));
        }
        thread::sleep(LOOK_EVERY);
    }
}

pub(super) fn fetch(client: &Client, path: &str, to: &Path) -> anyhow::Result<u64> {
    let mut from = client.stream(path)?;
    let mut file = File::create(to).with_context(|| format!("{} cannot be written", to.display()))?;
    io::copy(&mut from.by_ref(), &mut file).with_context(|| format!("{} cannot be written", to.display()))
}

fn summary(name: &PluginName, recording: Option<&PluginRecording>, file: Option<(&Path, u64)>) -> String {
    let counts = recording.map(|recording| {
        let PluginRecording { executions: count, skipped, ended, .. } = recording;
        let skipped = if skipped.0 == 0 { String::new() } else { format!(", {} left out", skipped.0) };
        let ended = ended.as_ref().map(|why| format!("; ended: {why}")).unwrap_or_default();
        format!("{} of {name}{skipped}{ended}", executions(count.0))
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
