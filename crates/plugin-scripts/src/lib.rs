//! Makes components of rules in JavaScript, which are files of the plugin folder. The tool chain that the settings name runs in a bounded
//! child process. Components are stored under the digest of what they were made of. If there is no tool chain, the error says how to get one.

mod bounded;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    sync::Semaphore,
    time::timeout,
};

use switchbox_model::limits::{COMPILE_TIME, SCRIPTS_KEPT};
use switchbox_plugin_model::{Kind, MAX_COMPONENT_BYTES, digest, inspect};
use switchbox_store::private;
use switchbox_support::clock;

pub use self::bounded::{COMMAND, run_toolchain};

/// The interface, as the tool chain reads it.
const WIT: [(&str, &str); 3] = [
    ("plugin.wit", include_str!("../../../wit/plugin.wit")),
    ("settings-schema.wit", include_str!("../../../wit/settings-schema.wit")),
    ("migration.wit", include_str!("../../../wit/migration.wit")),
];

/// What the tool chain is given; the names are of files in the folder in which it runs.
const ARGUMENTS: [&str; 9] = ["--wit", "wit", "--world", "plugin", "--js", "rule.js", "--sync", "-o", "rule.wasm"];

/// How long the tool chain may take. Its processor time is bounded by [`COMPILE_TIME`].
const WALL_TIME: Duration = Duration::from_secs(2 * COMPILE_TIME.as_secs());

/// The beginning of the names of folders in which it runs.
const WORK: &str = "work-";

/// Bytes of what it says that are kept, from the end.
const STDERR_BYTES: usize = 2_048;

/// Makes and keeps the components.
#[derive(Debug)]
pub struct Scripts {
    /// The program. `None` if no components are made of rules in JavaScript.
    toolchain: Option<PathBuf>,
    /// Only this host writes it.
    folder: PathBuf,
    /// One at a time: each takes a processor and some hundred MiB.
    permits: Semaphore,
}

impl Scripts {
    #[must_use]
    pub fn new(toolchain: Option<PathBuf>, data: &Path) -> Self {
        Self { toolchain, folder: data.join("compiled").join("scripts"), permits: Semaphore::new(1) }
    }

    /// The component of the rule in `file`.
    ///
    /// # Errors
    /// A text for the author: there is no tool chain, it fails, or a limit is reached.
    pub async fn component(&self, file: &str, source: &Bytes) -> Result<Bytes, String> {
        let Some(toolchain) = &self.toolchain else { return Err(no_toolchain(file)) };
        let made_of = WIT.iter().map(|(_, text)| *text).chain(ARGUMENTS);
        let made_of =
            made_of.fold(toolchain.display().to_string().into_bytes(), |all, part| [&all, part.as_bytes()].concat());
        let hex = digest(&[&made_of, &b"\0"[..], source].concat()).replace("sha256:", "");
        let kept = self.folder.join(format!("{hex}.wasm"));
        let failed = |error: io::Error| format!("{file} cannot be made a component: {error}");
        let _permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
        let found = kept.clone();
        if let Some(bytes) = blocking(move || read_kept(&found)).await.map_err(failed)? {
            return Ok(bytes);
        }
        let (folder, text) = (self.folder.clone(), source.clone());
        let work = blocking(move || prepare(&folder, &text)).await.map_err(failed)?;
        let (status, stderr_end) = match timeout(WALL_TIME, run(toolchain, work.path())).await {
            Ok(ran) => ran.map_err(|error| format!("{file}: {} does not start: {error}", toolchain.display()))?,
            Err(_) => {
                return Err(format!(
                    "{file}: the limit \"compile-time\" is reached: it takes longer than {WALL_TIME:?}"
                ));
            }
        };
        if !status.success() {
            return Err(format!("{file} is no component ({status}): {stderr_end}"));
        }
        let folder = self.folder.clone();
        let (made, bytes) = blocking(move || {
            let made = work.path().join("rule.wasm");
            let bytes = read_component(&made)?;
            fs::rename(&made, &kept)?;
            prune(&folder);
            Ok((work, bytes))
        })
        .await
        .map_err(failed)?;
        drop(made);
        Ok(bytes)
    }
}

/// The line that installs it, and the setting.
fn no_toolchain(file: &str) -> String {
    format!(
        "{file} is a rule in JavaScript, and this host was given no tool chain to make a component of it. To install one: npm install -g \
         componentize-qjs@0.4.5; then start the host with --js-toolchain \"$(command -v componentize-qjs)\". Or make NAME.wasm of it \
         elsewhere: switchbox plugin build"
    )
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// `None` if there is none. One that cannot be used is made again.
fn read_kept(path: &Path) -> io::Result<Option<Bytes>> {
    match read_component(path) {
        Ok(bytes) => {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now_ms());
            // Only the order of removal depends on this time.
            let _ = fs::File::open(path).and_then(|file| file.set_modified(now));
            Ok(Some(bytes))
        }
        Err(_) => Ok(None),
    }
}

fn read_component(path: &Path) -> io::Result<Bytes> {
    if fs::metadata(path)?.len() > MAX_COMPONENT_BYTES as u64 {
        return Err(io::Error::other("the limit \"component-bytes\" is reached"));
    }
    let bytes = fs::read(path)?;
    match inspect(&bytes) {
        Ok(Kind::Component) => Ok(bytes.into()),
        _ => Err(io::Error::other("the tool chain has made something else")),
    }
}

/// A folder with what the tool chain reads. It is removed when it is dropped. Only one is in use at a time, so others are those of hosts
/// that were killed.
fn prepare(folder: &Path, source: &[u8]) -> io::Result<tempfile::TempDir> {
    private::make_folder(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(WORK.as_bytes()) {
            // What cannot be removed costs space alone.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let work = tempfile::Builder::new().prefix(WORK).tempdir_in(folder)?;
    fs::create_dir(work.path().join("wit"))?;
    for (name, text) in WIT {
        fs::write(work.path().join("wit").join(name), text)?;
    }
    fs::write(work.path().join("rule.js"), source)?;
    Ok(work)
}

/// Runs the tool chain under bounds. Returns how it ended and the end of what it said.
async fn run(toolchain: &Path, work: &Path) -> io::Result<(ExitStatus, String)> {
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { env::current_exe()? };
    let mut command = Command::new(program);
    command.arg(COMMAND).arg(toolchain).args(ARGUMENTS).current_dir(work).env_clear().kill_on_drop(true);
    // A program of Node begins with `#!/usr/bin/env node`.
    command.env("PATH", env::var_os("PATH").unwrap_or_default()).env("HOME", work).env("NO_COLOR", "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr_end = match child.stderr.take() {
        Some(stderr) => end_of(stderr).await?,
        None => String::new(),
    };
    Ok((child.wait().await?, stderr_end))
}

async fn end_of(mut stream: impl AsyncRead + Unpin) -> io::Result<String> {
    let (mut end, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        end.extend_from_slice(piece.get(..read).unwrap_or_default());
        let excess = end.len().saturating_sub(STDERR_BYTES);
        end.drain(..excess);
    }
    let text = String::from_utf8_lossy(&end);
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | "))
}

/// Removes the components past the bound that were not used for longest.
fn prune(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut kept: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok().filter(fs::Metadata::is_file)?.modified().ok()?, entry.path())))
        .collect();
    kept.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
    for (_, path) in kept.iter().skip(SCRIPTS_KEPT) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "the component of an old rule cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_killed_hosts_go_and_components_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("work-killed/wit")).unwrap();
        fs::write(folder.path().join("work-killed/rule.js"), "x").unwrap();
        fs::write(folder.path().join("ab.wasm"), "kept").unwrap();
        let work = prepare(folder.path(), b"the rule").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert_eq!(names, [folder.path().join("ab.wasm"), work.path().to_owned()]);
        assert_eq!(fs::read(work.path().join("rule.js")).unwrap(), b"the rule");
        assert!(work.path().join("wit/migration.wit").is_file());
    }
}
