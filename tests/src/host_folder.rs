//! The folder of a test's host: a temporary folder with its data, its plugins and its log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A temporary folder. It outlives the hosts that run in it one after the other.
#[derive(Debug)]
pub struct HostFolder {
    root: TempDir,
}

impl Default for HostFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl HostFolder {
    /// Creates the folder with an empty plugin folder.
    ///
    /// # Panics
    ///
    /// Panics if no temporary folder can be created.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("switchbox-test-").tempdir().expect("no temporary folder");
        let host_folder = Self { root };
        fs::create_dir(host_folder.plugins()).expect("no plugin folder");
        host_folder
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    /// The log: standard error of all programs that were started here.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.path().join("host.log")
    }

    /// The file with the offset of the hosts' wall clock, in milliseconds.
    #[must_use]
    pub fn clock(&self) -> PathBuf {
        self.root().join("clock")
    }

    /// Sets the hosts' wall clock ahead by this many milliseconds, or back.
    ///
    /// # Panics
    ///
    /// Panics if the file system fails.
    pub fn set_clock(&self, shift_ms: i64) {
        let beside = self.root().join("clock.new");
        std::fs::write(&beside, shift_ms.to_string()).expect("the clock cannot be set");
        std::fs::rename(beside, self.clock()).expect("the clock cannot be set");
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Puts a file into the plugin folder, atomically.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be written.
    pub fn plugin(&self, file: &str, content: impl AsRef<[u8]>) {
        let aside = self.root.path().join("aside");
        fs::write(&aside, content).expect("the plugin cannot be written");
        fs::rename(&aside, self.plugins().join(file)).expect("the plugin cannot be put into its folder");
    }

    /// # Panics
    ///
    /// Panics if it is not there.
    pub fn remove_plugin(&self, file: &str) {
        fs::remove_file(self.plugins().join(file)).expect("the plugin cannot be removed");
    }
}
