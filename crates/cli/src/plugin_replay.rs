//! `switchbox plugin replay`: replays a recording, without a host.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::{answer::executions as counted, host::HostOptions, printed::Printed};
use switchbox_dry_run::{
    offline,
    recording::{Line, Reader},
    replay::{ReplayRequest, replay},
    replay_result::{MissingComponent, Replayed},
    replay_version::{Components, RecordedComponents},
};
use switchbox_plugin_model::{PluginSettings, digest};

/// The exit code if there are differences, or executions that were not replayed.
const DIFFERENT: u8 = 9;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The file from `switchbox plugin record`
    file: PathBuf,
    /// Another component, for all versions of the recording [default: the recorded ones: built in, beside FILE, or in the host's data folder]
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Another settings file
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<Printed> {
    let source = match &options.component {
        Some(path) => ComponentSource::One(read(path)?),
        None => ComponentSource::Recorded { file: options.file.clone(), data: host.data_folder() },
    };
    let settings = options.settings.as_ref().map(|path| {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        PluginSettings::parse(&text).with_context(|| format!("{}", path.display()))
    });
    let settings = settings.transpose()?;
    let replayed = replayed(&options.file, source, settings, 0)?;
    if replayed.executions == 0 {
        bail!(nothing(&options.file, &replayed));
    }
    let code = if replayed.is_equal() { 0 } else { DIFFERENT };
    let text = if host.wants_json() { serde_json::to_string_pretty(&replayed)? } else { to_text(&replayed) };
    Ok(Printed { text, code })
}

/// The components to replay with.
pub(super) enum ComponentSource {
    /// This one, for all versions.
    One(Bytes),
    /// Each version's own, looked for beside the recording and in a host's data folder.
    Recorded { file: PathBuf, data: Option<PathBuf> },
}

/// Replays a file. `not_compared`: its first executions, which are replayed all the same.
pub(super) fn replayed(
    file: &Path,
    source: ComponentSource,
    settings: Option<PluginSettings>,
    not_compared: u64,
) -> anyhow::Result<Replayed> {
    let file = open(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let components = match source {
            ComponentSource::One(component) => Components::One(offline::load(component).await?),
            ComponentSource::Recorded { file, data } => {
                let find = move |plugin: &str, digest: &str| recorded(plugin, digest, &file, data.as_deref());
                Components::Recorded(RecordedComponents::new(find)?)
            }
        };
        anyhow::Ok(replay(file, ReplayRequest { components, settings, not_compared }).await?)
    })
}

/// The number of executions in a file.
pub(super) fn executions(file: &Path) -> anyhow::Result<u64> {
    let mut reader = Reader::new(open(file)?)?;
    let mut count = 0;
    while let Some(line) = reader.next_line()? {
        count += u64::from(matches!(line, Line::Execution(_)));
    }
    Ok(count)
}

/// Whether these are the bytes of the component with the digest.
pub(super) fn has_digest(bytes: &[u8], expected_digest: &str) -> bool {
    digest(bytes) == expected_digest
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    Ok(fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?.into())
}

/// The recorded component with the digest. Returns `None` if it is not here.
fn recorded(plugin: &str, expected_digest: &str, file: &Path, data: Option<&Path>) -> Option<Bytes> {
    let builtin = switchbox_builtins::names().filter_map(switchbox_builtins::find);
    if let Some(found) = builtin.into_iter().find(|bytes| has_digest(bytes, expected_digest)) {
        return Some(Bytes::from_static(found));
    }
    let beside = file.with_file_name(format!("{plugin}.wasm"));
    let installed = data.map(|data| data.join("plugins").join(format!("{plugin}.wasm")));
    // Where the host keeps the components of earlier versions.
    let kept = data
        .map(|data| data.join("components").join(format!("{}.wasm", expected_digest.trim_start_matches("sha256:"))));
    let files = [Some(beside), installed, kept].into_iter().flatten();
    files.filter_map(|path| fs::read(path).ok()).find(|bytes| has_digest(bytes, expected_digest)).map(Bytes::from)
}

/// Why nothing was replayed.
fn nothing(file: &Path, replayed: &Replayed) -> String {
    let Replayed { plugin, missing, skipped, .. } = replayed;
    let file = file.display();
    if missing.is_empty() {
        let left_out = if *skipped > 0 { format!("; it left out {skipped}") } else { String::new() };
        return format!("{file} has no execution of {plugin} to replay{left_out}");
    }
    let digests: Vec<_> = missing.iter().map(|missing| missing.digest.as_str()).collect();
    let digests = digests.join(", ");
    format!("the recorded component of {plugin}, {digests}, is not here; name it, or another version, with --component")
}

pub(super) fn to_text(replayed: &Replayed) -> String {
    let mut lines = Vec::new();
    for difference in &replayed.differences {
        let of = if difference.device.is_empty() { String::new() } else { format!(" of {}", difference.device) };
        match difference.event {
            0 => lines
                .push(format!("the start of an instance (line {}), whose events are not compared:", difference.line)),
            event => lines.push(format!("event {event}{of} (line {}):", difference.line)),
        }
        lines.extend(difference.differs.iter().map(|text| format!("  {text}")));
        if difference.masked {
            lines.push("  values in this line are masked, which may be why".to_owned());
        }
        if difference.restarted {
            lines.push("  its instance was started again without its memory, which may be why".to_owned());
        }
    }
    let more = replayed.different.saturating_sub(replayed.differences.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let Replayed { plugin, executions, different, .. } = replayed;
    lines.push(format!("{} of {plugin} replayed, {different} different", counted(*executions)));
    lines.extend(notes(replayed));
    lines.join("\n")
}

/// What limits the result.
fn notes(replayed: &Replayed) -> Vec<String> {
    let Replayed { different, not_triggered, restarted, skipped, .. } = replayed;
    let mut lines = Vec::new();
    if *not_triggered > 0 {
        lines.push(format!("its triggers do not match the events of {not_triggered} of them"));
    }
    for MissingComponent { digest, executions } in &replayed.missing {
        lines.push(format!(
            "not replayed, because the component, {digest}, is not here: {}; --component FILE replays all with another one",
            counted(*executions)
        ));
    }
    if *restarted > 0 {
        lines.push(format!(
            "{restarted} times an instance was started again without its memory, because too many others ran"
        ));
    }
    if replayed.from_journal && *different > 0 {
        lines.push(
            "the recording is made of the journal, which does not have what a plugin asked of the host".to_owned(),
        );
    }
    if *skipped > 0 {
        lines.push(format!("the recording left out {skipped}"));
    }
    if replayed.cut_off {
        lines.push("the recording's last line is not whole: it was being written when its host ended".to_owned());
    }
    lines
}
