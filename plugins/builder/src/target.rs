//! Sees to it that the toolchain in force has the guests' target. Never changes another toolchain.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use crate::{Error, TARGET};

/// Installs the target where it is missing, with the toolchain that this build runs on.
pub(crate) fn ensure() -> Result<(), Error> {
    if installed()? {
        return Ok(());
    }
    add().map_err(|reason| Error::NoTarget { reason })?;
    match installed()? {
        true => Ok(()),
        false => Err(Error::NoTarget { reason: "rustup did not put it into the toolchain in force".into() }),
    }
}

fn installed() -> Result<bool, Error> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|source| Error::Run { program: rustc, source })?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && folder.is_dir())
}

fn add() -> Result<(), String> {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    // rustup's own proxy says which toolchain this build runs on; the folder we are in need not say the same.
    if let Ok(toolchain) = env::var("RUSTUP_TOOLCHAIN") {
        rustup.args(["--toolchain", &toolchain]);
    }
    let output = rustup.output().map_err(|e| format!("rustup: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(reason(&output)) }
}

/// The line in which rustup says why.
fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.starts_with("error")).or_else(|| text.lines().last());
    line.map_or_else(|| output.status.to_string(), |line| format!("rustup says: {}", line.trim()))
}
