//! The components that run, and those that ran before them, so that a plugin can be rolled back: two files a plugin in the
//! data folder. Only components of the watched folder; a built-in changes with the host. Beside them the settings that each of
//! the last few versions had, so that a version that came back by itself comes back after a restart too.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use switchbox_model::PluginName;
use switchbox_plugin_runtime as plugin;
use switchbox_store::private;

const FOLDER: &str = "components";
/// Versions of a plugin whose settings are kept.
const VERSIONS: usize = 4;

/// A version that a plugin has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ran {
    /// Stands for the component with all of its settings.
    pub(super) version: String,
    /// `builtin:…`, or the digest of a component of the watched folder.
    pub(super) component: String,
    /// Its settings file.
    pub(super) settings: Arc<str>,
}

#[derive(Debug, Clone)]
pub(super) struct Previous(PathBuf);

impl Previous {
    pub(super) fn new(data: &Path) -> Self {
        Self(data.join(FOLDER))
    }

    fn path(&self, plugin: &PluginName, which: &str) -> PathBuf {
        self.0.join(format!("{plugin}.{which}.wasm"))
    }

    /// This one runs now. Blocks.
    pub(super) fn runs(&self, plugin: &PluginName, bytes: &[u8]) -> io::Result<()> {
        let current = self.path(plugin, "current");
        match fs::read(&current) {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) => fs::rename(&current, self.path(plugin, "previous"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => private::make_folder(&self.0)?,
            Err(error) => return Err(error),
        }
        let beside = self.path(plugin, "new");
        fs::write(&beside, bytes)?;
        fs::rename(beside, current)
    }

    /// The one that ran before the one with this digest, which may run so newly that nothing tells of it here. Blocks.
    pub(super) fn before(&self, plugin: &PluginName, digest: &str) -> io::Result<Option<Vec<u8>>> {
        for which in ["previous", "current"] {
            match fs::read(self.path(plugin, which)) {
                Ok(bytes) if plugin::digest(&bytes) != digest => return Ok(Some(bytes)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Keeps the version. Blocks.
    pub(super) fn note_version(&self, plugin: &PluginName, ran: Ran) -> io::Result<()> {
        let mut versions = self.versions(plugin);
        if versions.last() == Some(&ran) {
            return Ok(());
        }
        versions.retain(|known| known.version != ran.version);
        versions.push(ran);
        let old = versions.len().saturating_sub(VERSIONS);
        versions.drain(..old);
        private::make_folder(&self.0)?;
        let (path, beside) = (self.versions_path(plugin), self.path(plugin, "new"));
        fs::write(&beside, serde_json::to_vec(&versions)?)?;
        fs::rename(beside, path)
    }

    /// A version as it was kept, with the bytes of its component unless that is a built-in. Blocks.
    pub(super) fn version(&self, plugin: &PluginName, version: &str) -> Option<(Ran, Option<Vec<u8>>)> {
        let ran = self.versions(plugin).into_iter().find(|ran| ran.version == version)?;
        if ran.component.starts_with("builtin:") {
            return Some((ran, None));
        }
        let files = ["current", "previous"].into_iter().filter_map(|which| fs::read(self.path(plugin, which)).ok());
        let bytes = files.into_iter().find(|bytes| plugin::digest(bytes) == ran.component)?;
        Some((ran, Some(bytes)))
    }

    /// None where there is no such file, or one that cannot be read: it costs no more than going back.
    fn versions(&self, plugin: &PluginName) -> Vec<Ran> {
        let text = fs::read(self.versions_path(plugin)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn versions_path(&self, plugin: &PluginName) -> PathBuf {
        self.0.join(format!("{plugin}.versions.json"))
    }

    /// The plugin is gone. Blocks.
    pub(super) fn forget(&self, plugin: &PluginName) {
        for path in [self.path(plugin, "current"), self.path(plugin, "previous"), self.versions_path(plugin)] {
            // There may be none.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_before_is_the_last_other_one() {
        let data = tempfile::tempdir().unwrap();
        let previous = Previous::new(data.path());
        let name = PluginName::new("relay").unwrap();
        let before = |running: &str| previous.before(&name, &plugin::digest(running.as_bytes())).unwrap();
        assert_eq!(before("one"), None);
        for (bytes, expected) in
            [("one", None), ("one", None), ("two", Some("one")), ("two", Some("one")), ("one", Some("two"))]
        {
            previous.runs(&name, bytes.as_bytes()).unwrap();
            assert_eq!(before(bytes).as_deref(), expected.map(str::as_bytes), "after {bytes}");
        }
        assert_eq!(before("two").as_deref(), Some(b"one".as_slice()), "it went back already, which is not noted yet");
        let ran = |version: &str, component: &str| Ran {
            version: version.into(),
            component: component.into(),
            settings: "a = 1".into(),
        };
        let one = ran("v1", &plugin::digest(b"one"));
        for ran in [one.clone(), ran("v2", "builtin:x"), ran("v3", &plugin::digest(b"lost"))] {
            previous.note_version(&name, ran).unwrap();
        }
        assert_eq!(previous.version(&name, "v1"), Some((one, Some(b"one".to_vec()))));
        assert_eq!(previous.version(&name, "v2").unwrap().1, None);
        assert_eq!(previous.version(&name, "v3"), None, "its component is not there");
        for n in 4..9 {
            previous.note_version(&name, ran(&format!("v{n}"), "builtin:x")).unwrap();
        }
        assert_eq!(previous.version(&name, "v2"), None, "only the last few are kept");
        previous.forget(&name);
        assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
    }
}
