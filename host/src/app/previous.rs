//! The components that run, and those that ran before them, so that a plugin can be rolled back: two files a plugin in the
//! data folder. Only components of the watched folder; a built-in changes with the host.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{model::PluginName, plugin, store::private};

const FOLDER: &str = "components";

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

    /// The plugin is gone. Blocks.
    pub(super) fn forget(&self, plugin: &PluginName) {
        for which in ["current", "previous"] {
            // There may be none.
            let _ = fs::remove_file(self.path(plugin, which));
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
        previous.forget(&name);
        assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
    }
}
