//! `switchbox plugin replay`: replays a recording, without a host.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::{host::HostOptions, printed::Printed};
use switchbox_dry_run::{
    offline,
    recording::{Line, Reader},
    replay::{ReplayRequest, Replayed, replay},
};
use switchbox_plugin_model::{PluginSettings, digest};

/// The exit code if there are differences.
const DIFFERENT: u8 = 9;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The file from `switchbox plugin record`
    file: PathBuf,
    /// Another component [default: the recorded one: built in, beside FILE, or in the host's data folder]
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Another settings file
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<Printed> {
    let component = match &options.component {
        Some(path) => read(path)?,
        None => recorded(&options.file, host.data_folder().as_deref())?,
    };
    let settings = options.settings.as_ref().map(|path| {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        PluginSettings::parse(&text).with_context(|| format!("{}", path.display()))
    });
    let settings = settings.transpose()?;
    let replayed = replayed(&options.file, component, settings, 0)?;
    let code = if replayed.differences.is_empty() { 0 } else { DIFFERENT };
    let text = if host.wants_json() { serde_json::to_string_pretty(&replayed)? } else { to_text(&replayed) };
    Ok(Printed { text, code })
}

/// Replays a file with this component. `not_compared`: its first executions, which are replayed all the same.
pub(super) fn replayed(
    file: &Path,
    component: Bytes,
    settings: Option<PluginSettings>,
    not_compared: u64,
) -> anyhow::Result<Replayed> {
    let file = open(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let component = offline::load(component).await?;
        anyhow::Ok(replay(file, ReplayRequest { component, settings, not_compared }).await?)
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
pub(super) fn is(bytes: &[u8], wanted: &str) -> bool {
    digest(bytes) == wanted
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    Ok(fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?.into())
}

/// The recorded component, if it can be found.
fn recorded(file: &Path, data: Option<&Path>) -> anyhow::Result<Bytes> {
    let mut reader = Reader::new(open(file)?)?;
    let plugin = reader.plugin.clone();
    let wanted = loop {
        match reader.next_line()? {
            Some(Line::Version(version)) => break version.digest,
            Some(_) => {}
            None => bail!("{} has no executions", file.display()),
        }
    };
    let builtin = switchbox_builtins::names().filter_map(switchbox_builtins::find);
    if let Some(found) = builtin.into_iter().find(|bytes| digest(bytes) == wanted) {
        return Ok(Bytes::from_static(found));
    }
    let beside = file.with_file_name(format!("{plugin}.wasm"));
    let installed = data.map(|data| data.join("plugins").join(format!("{plugin}.wasm")));
    // Where the host keeps the components of earlier versions.
    let kept = data.map(|data| data.join("components").join(format!("{}.wasm", wanted.trim_start_matches("sha256:"))));
    for path in [Some(beside), installed, kept].into_iter().flatten() {
        if let Ok(bytes) = fs::read(&path)
            && digest(&bytes) == wanted
        {
            return Ok(bytes.into());
        }
    }
    bail!("the recorded component of {plugin}, {wanted}, is not here; name it, or another version, with --component")
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
    }
    let more = replayed.different.saturating_sub(replayed.differences.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let Replayed { plugin, executions, different, .. } = replayed;
    lines.push(format!("{executions} executions of {plugin} replayed, {different} different"));
    if replayed.from_journal && *different > 0 {
        lines.push(
            "the recording is made of the journal, which does not have what a plugin asked of the host".to_owned(),
        );
    }
    if replayed.skipped > 0 {
        lines.push(format!("the recording left out {}", replayed.skipped));
    }
    if replayed.cut_off {
        lines.push("the recording's last line is not whole: it was being written when its host ended".to_owned());
    }
    lines.join("\n")
}
