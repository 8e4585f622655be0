//! Whether the toolchain in force has the guests' target. Never installs anything: the toolchain is the user's.

use std::{env, path::PathBuf, process::Command};

use crate::{error::Error, guest::TARGET};

/// # Errors
///
/// The target is not installed, or `rustc` does not run.
pub(crate) fn check() -> Result<(), Error> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|source| Error::Run { program: rustc, source })?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() { Ok(()) } else { Err(Error::NoTarget) }
}
