//! Writes plugins into the watched folder, each file atomically. Never loads anything.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{
    authors::Authors,
    edit,
    error::{Error, ErrorStatus},
};
use switchbox_model::PluginName;
use switchbox_plugin_model::digest;
use switchbox_support::clock;

/// The first bytes of a component (a plain module has another layer).
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// What a version runs, to be written into the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Restored {
    Component(Vec<u8>),
    /// A rule in JavaScript, of which the host makes the component.
    Script(Vec<u8>),
}

/// What a plugin has in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// `sha256:…` of `NAME.wasm`.
    pub(super) component: Option<String>,
    /// `NAME.js`.
    pub(super) script: Option<Vec<u8>>,
    /// Empty if there is no `NAME.toml`.
    pub(super) settings: Vec<u8>,
}

/// The watched folder. Every call blocks for as long as the disk takes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    authors: Arc<Authors>,
    /// The caller that writes. Is `None` if it is not known.
    caller: Option<Arc<str>>,
    /// Held while a file is read, changed and written, so that concurrent calls do not undo each other.
    changing: Arc<Mutex<()>>,
}

impl Folder {
    pub(super) fn new(path: PathBuf, authors: Arc<Authors>) -> Self {
        Self { path, authors, caller: None, changing: Arc::default() }
    }

    /// The same folder, with this caller as the author.
    pub(super) fn by(&self, caller: &str) -> Self {
        Self { caller: Some(caller.into()), ..self.clone() }
    }

    fn path(&self, name: &PluginName, ending: &str) -> PathBuf {
        self.path.join(format!("{name}.{ending}"))
    }

    /// Whether the plugin has a file here.
    pub(super) fn has(&self, name: &PluginName) -> bool {
        ["wasm", "js", "toml"].iter().any(|ending| self.path(name, ending).is_file())
    }

    pub(super) fn files(&self, name: &PluginName) -> Result<Files, Error> {
        let read = |ending: &str| {
            let path = self.path(name, ending);
            match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                read => read.map(Some).map_err(|error| problem(&path, &error)),
            }
        };
        let component = read("wasm")?.map(|bytes| digest(&bytes));
        Ok(Files { component, script: read("js")?, settings: read("toml")?.unwrap_or_default() })
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

    /// Writes a version: its settings, and its component, or the rule that it is made of, unless it exists already. Both files are renamed
    /// into place together, so that neither runs with the predecessor of the other. A plugin without a settings file gets none for empty
    /// settings.
    pub(super) fn put_version(
        &self,
        name: &PluginName,
        component: Option<&Restored>,
        settings: &str,
    ) -> Result<PathBuf, Error> {
        let _changing = self.changing.lock();
        let of_settings = self.path(name, "toml");
        let mut files = Vec::new();
        if !settings.is_empty() || of_settings.is_file() {
            files.push(("toml", settings.as_bytes()));
        }
        files.extend(component.map(|restored| match restored {
            Restored::Component(bytes) => ("wasm", bytes.as_slice()),
            Restored::Script(text) => ("js", text.as_slice()),
        }));
        let written = files.iter().map(|(ending, bytes)| Ok((*ending, self.beside(name, ending, bytes)?)));
        for (ending, beside) in written.collect::<Result<Vec<_>, Error>>()? {
            let path = self.path(name, ending);
            fs::rename(beside, &path).map_err(|error| problem(&path, &error))?;
        }
        // A component would run instead of the rule.
        let before = self.path(name, "wasm");
        if matches!(component, Some(Restored::Script(_))) && before.is_file() {
            fs::remove_file(&before).map_err(|error| problem(&before, &error))?;
        }
        Ok(files.last().map_or(of_settings, |(ending, _)| self.path(name, ending)))
    }

    /// Changes the settings file, or creates it if the plugin has only a component.
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
        // The component first: without the settings file it would run with all grants that it asks for.
        for ending in ["wasm", "js", "toml"] {
            let path = self.path(name, ending);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(problem(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the plugin's files appear changed.
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
        let (path, beside) = (self.path(name, ending), self.beside(name, ending, bytes)?);
        fs::rename(&beside, &path).map_err(|error| {
            let _ = fs::remove_file(&beside);
            problem(&path, &error)
        })?;
        Ok(path)
    }

    /// Writes a file that is to be renamed into its place. Its name begins with a dot, so that the watcher ignores it.
    fn beside(&self, name: &PluginName, ending: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        if let Some(caller) = &self.caller {
            self.authors.writes(name, caller, bytes);
        }
        let beside = self.path.join(format!(".{name}.{ending}.{}", getrandom::u32().unwrap_or_default()));
        let written = fs::create_dir_all(&self.path).and_then(|()| write_whole(&beside, bytes));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            problem(&self.path(name, ending), &error)
        })?;
        Ok(beside)
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn problem(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorStatus::Internal, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder, PluginName) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins");
        (folder, Folder::new(path, Arc::default()), PluginName::new("relay").unwrap())
    }

    #[test]
    fn a_file_appears_whole_and_nothing_is_left_beside_it() {
        let (_keep, folder, name) = folder();
        let path = folder.put_component(&name, b"\0asm\x0d\0\x01\0rest").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"\0asm\x0d\0\x01\0rest");
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
        folder.remove(&name).unwrap();
        assert_eq!(folder.remove(&name).unwrap_err().status, ErrorStatus::NotFound);
    }

    #[test]
    fn a_version_comes_with_its_settings_and_says_whose_it_is() {
        let (_keep, folder, name) = folder();
        let by = folder.by("ops");
        by.put_version(&name, Some(&Restored::Component(COMPONENT.to_vec())), "").unwrap();
        assert!(folder.has(&name) && !folder.path(&name, "toml").exists());
        by.put_version(&name, None, "enabled = true\n").unwrap();
        assert_eq!(folder.authors.of(&name, COMPONENT, b"enabled = true\n").as_deref(), Some("ops"));
        by.put_version(&name, Some(&Restored::Component(COMPONENT.to_vec())), "").unwrap();
        assert_eq!(fs::read(folder.path(&name, "toml")).unwrap(), b"", "what the version before had is gone");
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 2);
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
        assert_eq!(edit(&folder).unwrap_err().status, ErrorStatus::NotFound);
        folder.put_component(&name, COMPONENT).unwrap();
        edit(&folder).unwrap();
        assert_eq!(fs::read_to_string(folder.path(&name, "toml")).unwrap(), "enabled = false\n");
    }
}
