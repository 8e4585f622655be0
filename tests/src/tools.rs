//! External programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folder of the workspace.
///
/// # Panics
///
/// Panics if this package is in none.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are not in a workspace")
}

/// Raises this process's limit of open files as far as permitted.
///
/// # Panics
///
/// Panics if `prlimit` (of util-linux) is missing.
pub fn more_descriptors() {
    let raise = format!("prlimit --pid {} --nofile=$(ulimit -Hn):", std::process::id());
    assert!(runs(Command::new("sh").args(["-c", &raise])), "{raise}");
}

/// Whether the program exists and ends with success.
#[must_use]
pub fn runs(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The first Python that has this module.
#[must_use]
pub fn python_with(module: &str) -> Option<PathBuf> {
    let own = workspace().join(".ci/tools/venv/bin/python");
    let has = |python: &PathBuf| runs(Command::new(python).args(["-c", &format!("import {module}")]));
    [own, "python3".into()].into_iter().find(has)
}
