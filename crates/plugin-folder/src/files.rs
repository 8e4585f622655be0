//! The files of the folder: which exist, which no longer change, and their content. Independent of plugins.

#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::options::Options;
use switchbox_model::limits::{SCRIPT_BYTES, plugin_names as names};
use switchbox_plugin_model::{BinaryError, MAX_COMPONENT_BYTES, PluginSettings, inspect};
use switchbox_support::{clock, fd_exhaustion};

/// What the name of a rule in JavaScript ends with.
pub(super) const SCRIPT: &str = ".js";

/// Largest settings file, bytes.
const MAX_SETTINGS_BYTES: u64 = 256 * 1024;

/// A file that was last written this long ago is read at the first scan.
const OLD: Duration = Duration::from_secs(2);

/// What two scans compare: if it differs, the file is read again, and its bytes decide whether it changed. The inode and the change
/// time distinguish it from a file of the same size and age that was copied or renamed into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified_ns: u128,
    #[cfg(unix)]
    changed_ns: i128,
    #[cfg(unix)]
    inode: (u64, u64),
}

/// What is in a file at rest. The error says what is wrong with it.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Or a rule in JavaScript, of which one will be made.
    Component(Result<[u8; 32], String>),
    Settings(Result<Box<PluginSettings>, String>),
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    /// When it began to look like this.
    since: Instant,
    /// Is `None` while the file is still changing.
    content: Option<Content>,
    /// A component's bytes, until they are taken.
    bytes: Option<Bytes>,
    /// A settings file's text.
    text: Option<Arc<str>>,
    /// It is at rest, but incomplete: more may come.
    incomplete: bool,
    /// When it was first missed.
    gone: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    settle: Duration,
    settle_time: Duration,
    files: BTreeMap<String, File>,
    /// What symbolic links in the folder lead to.
    targets: BTreeSet<PathBuf>,
    /// Entries with the name of a plugin that are not files, each already logged.
    refused: BTreeSet<String>,
}

impl Files {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            folder: options.folder.clone(),
            settle: options.settle,
            settle_time: options.settle_time,
            files: BTreeMap::new(),
            targets: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Names of the files that exist or existed a moment ago.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Returns `None` while the file is still being written.
    pub(super) fn content(&self, name: &str) -> Option<&Content> {
        self.files.get(name).and_then(|file| file.content.as_ref())
    }

    /// A settings file as it was read.
    pub(super) fn text(&self, name: &str) -> Option<Arc<str>> {
        self.files.get(name).and_then(|file| file.text.clone())
    }

    /// Files elsewhere that links in the folder lead to.
    pub(super) fn targets(&self) -> &BTreeSet<PathBuf> {
        &self.targets
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A component's bytes. Where they were taken before, the file is read again and the answer comes with a later look.
    pub(super) fn bytes(&mut self, name: &str) -> Option<Bytes> {
        let file = self.files.get_mut(name)?;
        if file.bytes.is_none() {
            file.content = None;
        }
        file.bytes.clone()
    }

    /// Drops the bytes that were not taken.
    pub(super) fn forget_bytes(&mut self) {
        self.files.values_mut().for_each(|file| file.bytes = None);
    }

    /// A file has just changed: look again soon.
    pub(super) fn unsettled(&self) -> bool {
        self.files.values().any(|file| (file.content.is_none() && !file.incomplete) || file.gone.is_some())
    }

    /// A file is incomplete and may still grow.
    pub(super) fn waiting(&self) -> bool {
        self.files.values().any(|file| file.incomplete)
    }

    /// Reads the folder once. Blocks.
    pub(super) fn scan(&mut self) -> io::Result<()> {
        let seen = self.list()?;
        let now = Instant::now();
        let settle = self.settle;
        self.files.retain(|name, file| {
            if seen.contains_key(name) {
                file.gone = None;
                return true;
            }
            now.duration_since(*file.gone.get_or_insert(now)) < settle
        });
        for (name, stamp) in seen {
            let file = self.files.entry(name.clone()).or_insert_with(|| File::new(stamp, now));
            if file.stamp != stamp {
                *file = File::new(stamp, now);
            }
            if file.content.is_none() && (now.duration_since(file.since) >= settle || is_old(stamp)) {
                let settling =
                    now.duration_since(file.since) < self.settle_time && !is_old_for(stamp, self.settle_time);
                read(&self.folder.join(&name), &name, file, settling, |path| fs::read(path));
            }
        }
        Ok(())
    }

    fn list(&mut self) -> io::Result<BTreeMap<String, Stamp>> {
        let mut seen = BTreeMap::new();
        let mut refused = BTreeSet::new();
        self.targets.clear();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || ![".wasm", ".toml", SCRIPT].iter().any(|ending| name.ends_with(ending)) {
                continue;
            }
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    if is_link {
                        self.targets.extend(fs::canonicalize(&path));
                    }
                    seen.insert(name, stamp(&metadata));
                }
                // It was removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link => {}
                found => {
                    if !self.refused.contains(&name) {
                        let why =
                            found.map_or_else(|error| error.to_string(), |_| "it is not a regular file".to_owned());
                        tracing::warn!(path = %path.display(), is_link, "the file is not used as a plugin: {why}");
                    }
                    refused.insert(name);
                }
            }
        }
        self.refused = refused;
        Ok(seen)
    }
}

impl File {
    fn new(stamp: Stamp, now: Instant) -> Self {
        Self { stamp, since: now, content: None, bytes: None, text: None, incomplete: false, gone: None }
    }
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Stamp {
        bytes: metadata.len(),
        modified_ns: modified.unwrap_or_default().as_nanos(),
        #[cfg(unix)]
        changed_ns: i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()),
        #[cfg(unix)]
        inode: (metadata.dev(), metadata.ino()),
    }
}

fn is_old(stamp: Stamp) -> bool {
    is_old_for(stamp, OLD)
}

fn is_old_for(stamp: Stamp, age: Duration) -> bool {
    let last_ns = stamp.modified_ns;
    // A copy may keep the age of what it is a copy of.
    #[cfg(unix)]
    let last_ns = last_ns.max(u128::try_from(stamp.changed_ns).unwrap_or(0));
    last_ns / 1_000_000 + age.as_millis() < u128::from(clock::now_ms())
}

/// Reads a file that has not changed since the last scan. If it changed while it was read, it is read again later.
fn read(path: &Path, name: &str, file: &mut File, settling: bool, read_whole: impl Fn(&Path) -> io::Result<Vec<u8>>) {
    let (script, component) = (name.ends_with(SCRIPT), !name.ends_with(".toml"));
    let (most, limit) = match (script, component) {
        (true, _) => (SCRIPT_BYTES, names::SCRIPT_BYTES),
        (false, true) => (MAX_COMPONENT_BYTES as u64, names::COMPONENT_BYTES),
        (false, false) => (MAX_SETTINGS_BYTES, names::SETTINGS_FILE_BYTES),
    };
    if file.stamp.bytes > most {
        let error = format!("{name} has {} bytes; the limit \"{limit}\" is {most}", file.stamp.bytes);
        file.content = Some(broken(component, error));
        return;
    }
    let bytes = match read_whole(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        // It is read at a later look; until then its plugin is what it was.
        Err(error) if fd_exhaustion::is_cause_of(&error) => {
            return fd_exhaustion::log_waiting("reading the plugin folder");
        }
        Err(error) => {
            file.content = Some(broken(component, format!("{name} cannot be read: {error}")));
            return;
        }
    };
    if !fs::metadata(path).is_ok_and(|metadata| stamp(&metadata) == file.stamp) {
        return;
    }
    if !component {
        let text = String::from_utf8(bytes).map_err(|error| error.to_string());
        let settings = text.and_then(|text| {
            file.text = Some(text.as_str().into());
            PluginSettings::parse(&text).map_err(|error| error.to_string())
        });
        file.content = Some(Content::Settings(settings.map(Box::new).map_err(|error| format!("{name}: {error}"))));
        return;
    }
    // What is in a rule is for its tool chain to judge.
    let problem = if script { bytes.is_empty().then_some(BinaryError::Empty) } else { inspect(&bytes).err() };
    file.incomplete = settling && problem.is_some_and(BinaryError::may_be_unfinished);
    if file.incomplete {
        return;
    }
    file.content = Some(match problem {
        Some(problem) => broken(true, format!("{name}: this is not a component: {problem}")),
        None => Content::Component(Ok(Sha256::digest(&bytes).into())),
    });
    file.bytes = Some(bytes.into());
}

fn broken(component: bool, error: String) -> Content {
    if component { Content::Component(Err(error)) } else { Content::Settings(Err(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_for_want_of_descriptors_is_read_later_and_is_not_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, "enabled = true").unwrap();
        let mut file = File::new(stamp(&fs::metadata(&path).unwrap()), Instant::now());
        let failing = |number| move |_: &Path| Err(io::Error::from_raw_os_error(number));
        for number in [libc::EMFILE, libc::ENFILE] {
            read(&path, "a.toml", &mut file, false, failing(number));
            assert!(file.content.is_none(), "{:?}", file.content);
        }
        read(&path, "a.toml", &mut file, false, failing(libc::EACCES));
        assert!(matches!(&file.content, Some(Content::Settings(Err(error))) if error.contains("cannot be read")));
        read(&path, "a.toml", &mut file, false, |path| fs::read(path));
        assert!(matches!(file.content, Some(Content::Settings(Ok(_)))));
    }
}
