//! The history of each plugin: its last versions in the order in which they came into force, with settings, authors and times, and the
//! canaries that ended. The file is written after each change, and is durable when the call returns.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    components, migrate,
    version::{NewVersion, RolledBack, TimeInForce, Version},
};
use switchbox_model::{PluginName, limits};
use switchbox_plugin_model::{CanaryStatus, digest};

const FOLDER: &str = "components";
const ENDING: &str = ".history.json";
/// The end of the names of the files with windows and canaries.
const WINDOWS: &str = ".windows.json";

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    /// The number of the next new version.
    next: u64,
    /// Oldest first.
    versions: Vec<Version>,
    /// Those that have ended, oldest first.
    #[serde(default)]
    canaries: Vec<CanaryStatus>,
}

/// The version histories of all plugins. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
    /// Locked while a history is changed.
    changing: Arc<Mutex<()>>,
    /// The text that was last given to [`History::keep_windows`], by plugin.
    windows: Arc<Mutex<BTreeMap<PluginName, String>>>,
}

impl History {
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join(FOLDER), changing: Arc::default(), windows: Arc::default() }
    }

    /// The plugin's versions, oldest first: the last one came into force last.
    #[must_use]
    pub fn versions(&self, plugin: &PluginName) -> Vec<Version> {
        self.read(plugin).versions
    }

    /// Records that a version came into force. `bytes`: its component, to be stored; `None` for a built-in. `script`: the rule in
    /// JavaScript that it was made of.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn record_version(
        &self,
        plugin: &PluginName,
        ran: NewVersion,
        bytes: Option<&[u8]>,
        script: Option<&[u8]>,
    ) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut file = self.read(plugin);
        if file.versions.last().is_some_and(|last| last.id == ran.id && last.rolled_back.is_none()) {
            return Ok(());
        }
        if let Some(bytes) = bytes {
            components::keep(&self.folder, &ran.digest, components::COMPONENT, bytes)?;
        }
        let script = script.map(|text| (digest(text), text));
        if let Some((digest, text)) = &script {
            components::keep(&self.folder, digest, components::SCRIPT, text)?;
        }
        let script = script.map(|(digest, _)| digest);
        let known = file.versions.iter().position(|known| known.id == ran.id);
        let (number, earlier) = match known.map(|at| file.versions.remove(at)) {
            Some(known) => {
                let Version { number, mut earlier, time_ms, by, rolled_back, .. } = known;
                earlier.push(TimeInForce { time_ms, by, rolled_back });
                keep_newest(&mut earlier);
                (number, earlier)
            }
            None => {
                file.next += 1;
                (file.next, Vec::new())
            }
        };
        let NewVersion { id, digest, component, settings, time_ms, by, about } = ran;
        let rolled_back = None;
        file.versions.push(Version {
            number,
            id,
            digest,
            component,
            script,
            settings,
            time_ms,
            by,
            about,
            rolled_back,
            earlier,
        });
        keep_newest(&mut file.versions);
        self.write(plugin, &file)?;
        migrate::forget(&self.folder, plugin);
        self.forget_components()
    }

    /// Records that the version with this id was rolled back.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn record_rollback(&self, plugin: &PluginName, id: &str, rolled_back: RolledBack) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut file = self.read(plugin);
        let Some(version) = file.versions.iter_mut().rev().find(|version| version.id == id) else { return Ok(()) };
        if version.rolled_back.as_ref() == Some(&rolled_back) {
            return Ok(());
        }
        version.rolled_back = Some(rolled_back);
        self.write(plugin, &file)
    }

    /// Records a canary that has ended. One that continued after a kill, because its end was not stored everywhere, ends again.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn record_canary(&self, plugin: &PluginName, ended: CanaryStatus) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut file = self.read(plugin);
        file.canaries.retain(|known| known.since_ms != ended.since_ms || known.digest != ended.digest);
        file.canaries.push(ended);
        keep_newest(&mut file.canaries);
        self.write(plugin, &file)
    }

    /// The plugin's last canaries that have ended, oldest first.
    #[must_use]
    pub fn canaries(&self, plugin: &PluginName) -> Vec<CanaryStatus> {
        self.read(plugin).canaries
    }

    /// The bytes of a version's component. Returns `None` if they are not stored.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn component(&self, version: &Version) -> io::Result<Option<Vec<u8>>> {
        components::read(&self.folder, &version.digest, components::COMPONENT)
    }

    /// The rule in JavaScript that a version's component was made of. Returns `None` if there is none, or if it is not stored.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn script(&self, version: &Version) -> io::Result<Option<Vec<u8>>> {
        let Some(digest) = &version.script else { return Ok(None) };
        components::read(&self.folder, digest, components::SCRIPT)
    }

    /// Whether the bytes of its component are stored.
    #[must_use]
    pub fn has_component(&self, version: &Version) -> bool {
        components::size(&self.folder, &version.digest, components::COMPONENT).is_some()
    }

    /// Stores what continues after a restart: the text, and the component of a canary. An empty text deletes it.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn keep_windows(&self, plugin: &PluginName, text: &str, component: Option<&[u8]>) -> io::Result<()> {
        let _changing = self.changing.lock();
        // Also if it cannot be written: it is tried again when it changes.
        self.windows.lock().insert(plugin.clone(), text.to_owned());
        let path = self.folder.join(format!("{plugin}{WINDOWS}"));
        if text.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        if let Some(bytes) = component {
            components::keep(&self.folder, &digest(bytes), components::COMPONENT, bytes)?;
        }
        components::write_whole(&path, text.as_bytes())
    }

    /// Whether this text was the last that was given to [`History::keep_windows`], by whatever task, or there was none yet: then what is stored
    /// may still have to continue.
    #[must_use]
    pub fn keeps_windows(&self, plugin: &PluginName, text: &str) -> bool {
        self.windows.lock().get(plugin).is_none_or(|kept| kept == text)
    }

    /// What continues after a restart, as it was stored. Empty if there is nothing.
    #[must_use]
    pub fn windows(&self, plugin: &PluginName) -> String {
        fs::read_to_string(self.folder.join(format!("{plugin}{WINDOWS}"))).unwrap_or_default()
    }

    /// A stored component.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn stored(&self, digest: &str) -> io::Result<Option<Vec<u8>>> {
        components::read(&self.folder, digest, components::COMPONENT)
    }

    /// Deletes the history of a plugin.
    pub fn forget(&self, plugin: &PluginName) {
        let _changing = self.changing.lock();
        self.windows.lock().remove(plugin);
        migrate::forget(&self.folder, plugin);
        // There may be none; a component that stays is deleted with the next change.
        let _ = fs::remove_file(self.path(plugin));
        let _ = fs::remove_file(self.folder.join(format!("{plugin}{WINDOWS}")));
        let _ = self.forget_components();
    }

    fn path(&self, plugin: &PluginName) -> PathBuf {
        self.folder.join(format!("{plugin}{ENDING}"))
    }

    /// Empty where there is no such file, or one that cannot be read: it costs no more than going back.
    fn read(&self, plugin: &PluginName) -> File {
        match fs::read(self.path(plugin)) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => {
                let versions = migrate::versions(&self.folder, plugin);
                File { next: versions.len() as u64, versions, canaries: Vec::new() }
            }
        }
    }

    fn write(&self, plugin: &PluginName, file: &File) -> io::Result<()> {
        components::write_whole(&self.path(plugin), &serde_json::to_vec(file)?)
    }

    /// Deletes the components of no version, and those of each plugin's oldest versions where they are too many bytes.
    fn forget_components(&self) -> io::Result<()> {
        let mut used = BTreeSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(WINDOWS)) {
                used.extend(canary_component(&self.folder.join(&name)));
                continue;
            }
            let plugin = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            let Some(plugin) = plugin.and_then(|plugin| PluginName::new(plugin).ok()) else { continue };
            let (mut bytes, mut own) = (0, BTreeSet::new());
            for version in self.read(&plugin).versions.into_iter().rev() {
                if own.contains(&version.digest) {
                    continue;
                }
                let Some(size) = components::size(&self.folder, &version.digest, components::COMPONENT) else {
                    continue;
                };
                bytes += size;
                if bytes > limits::PLUGIN_VERSION_BYTES {
                    break;
                }
                own.insert(version.digest);
                own.extend(version.script);
            }
            used.extend(own);
        }
        components::retain(&self.folder, &used)
    }
}

/// A history has so many of each: versions, times at which a version came into force, canaries.
fn keep_newest<T>(items: &mut Vec<T>) {
    let old = items.len().saturating_sub(limits::PLUGIN_VERSIONS);
    items.drain(..old);
}

/// The digest of the component of a canary that is stored in this file.
fn canary_component(path: &Path) -> Option<String> {
    let windows: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(windows.get("canary")?.get("component")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests;
