//! Writes plugins into the watched folder: whole files only, each under its own name at once. Never loads anything.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{
    edit,
    error::{Error, Kind},
};
use switchbox_model::PluginName;
use switchbox_support::clock;

/// The first bytes of a component (a plain module has another layer).
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The watched folder. Every call blocks for as long as the disk takes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held while a file is read, changed and written, so that of two calls none undoes the other.
    changing: Arc<Mutex<()>>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, changing: Arc::default() }
    }

    fn path(&self, name: &PluginName, ending: &str) -> PathBuf {
        self.path.join(format!("{name}.{ending}"))
    }

    /// True when the plugin has a file here.
    pub(super) fn has(&self, name: &PluginName) -> bool {
        ["wasm", "toml"].iter().any(|ending| self.path(name, ending).is_file())
    }

    pub(super) fn put_component(&self, name: &PluginName, bytes: &[u8]) -> Result<PathBuf, Error> {
        if !bytes.starts_with(COMPONENT) {
            let what = if bytes.starts_with(b"\0asm") { "a core module" } else { "no WebAssembly" };
            return Err(Error::invalid(format!("the body is {what}; a plugin is a WebAssembly component")));
        }
        let _changing = self.changing.lock();
        self.write(name, "wasm", bytes)
    }

    pub(super) fn put_settings(&self, name: &PluginName, text: &[u8]) -> Result<PathBuf, Error> {
        let text = std::str::from_utf8(text).map_err(|_| Error::invalid("the settings are not UTF-8"))?;
        edit::parse(text)?;
        let _changing = self.changing.lock();
        self.write(name, "toml", text.as_bytes())
    }

    /// Changes the settings file; makes it when the plugin has only a component.
    pub(super) fn edit(
        &self,
        name: &PluginName,
        change: impl FnOnce(&str) -> Result<String, Error>,
    ) -> Result<(), Error> {
        let _changing = self.changing.lock();
        if !self.has(name) {
            return Err(Error::not_found(format!("plugin {name} in {}", self.path.display())));
        }
        let text = match fs::read_to_string(self.path(name, "toml")) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|e| problem(&self.path(name, "toml"), &e))?,
        };
        self.write(name, "toml", change(&text)?.as_bytes()).map(drop)
    }

    pub(super) fn remove(&self, name: &PluginName) -> Result<(), Error> {
        let _changing = self.changing.lock();
        if !self.has(name) {
            return Err(Error::not_found(format!("plugin {name} in {}", self.path.display())));
        }
        // The component first: alone it would run with all that it asks for.
        for ending in ["wasm", "toml"] {
            let path = self.path(name, ending);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(problem(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the plugin's files look changed.
    pub(super) fn touch(&self, name: &PluginName) -> Result<(), Error> {
        let now = UNIX_EPOCH + Duration::from_millis(clock::now_ms());
        let mut touched = false;
        for ending in ["toml", "wasm"] {
            let path = self.path(name, ending);
            if path.is_file() {
                let file = File::options().append(true).open(&path).map_err(|e| problem(&path, &e))?;
                file.set_modified(now).map_err(|e| problem(&path, &e))?;
                touched = true;
            }
        }
        if touched { Ok(()) } else { Err(Error::not_found(format!("plugin {name} in {}", self.path.display()))) }
    }

    fn write(&self, name: &PluginName, ending: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.path(name, ending);
        // A name that begins with a point is none that the watcher looks at.
        let beside = self.path.join(format!(".{name}.{ending}.{}", getrandom::u32().unwrap_or_default()));
        let written = fs::create_dir_all(&self.path).and_then(|()| write_whole(&beside, &path, bytes));
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            return Err(problem(&path, &error));
        }
        Ok(path)
    }
}

fn write_whole(beside: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

fn problem(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder, PluginName) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins");
        (folder, Folder::new(path), PluginName::new("relay").unwrap())
    }

    #[test]
    fn a_file_appears_whole_and_nothing_is_left_beside_it() {
        let (_keep, folder, name) = folder();
        let path = folder.put_component(&name, b"\0asm\x0d\0\x01\0rest").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"\0asm\x0d\0\x01\0rest");
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
        folder.remove(&name).unwrap();
        assert_eq!(folder.remove(&name).unwrap_err().kind, Kind::NotFound);
    }

    #[test]
    fn what_is_no_component_or_no_toml_is_refused() {
        let (_keep, folder, name) = folder();
        for (bytes, part) in [(&b"\0asm\x01\0\0\0"[..], "core module"), (b"hello", "no WebAssembly")] {
            assert!(folder.put_component(&name, bytes).unwrap_err().text.contains(part));
        }
        assert!(folder.put_settings(&name, b"a = [").unwrap_err().text.contains("line 1"));
        assert!(!folder.has(&name));
    }

    #[test]
    fn an_edit_makes_the_file_that_a_lone_component_has_not() {
        let (_keep, folder, name) = folder();
        let edit = |folder: &Folder| folder.edit(&name, |text| edit::set_enabled(text, false));
        assert_eq!(edit(&folder).unwrap_err().kind, Kind::NotFound);
        folder.put_component(&name, COMPONENT).unwrap();
        edit(&folder).unwrap();
        assert_eq!(fs::read_to_string(folder.path(&name, "toml")).unwrap(), "enabled = false\n");
    }
}
