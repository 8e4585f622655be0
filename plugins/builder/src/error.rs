//! Errors of building a component.

use std::{io, path::PathBuf};

use crate::guest::TARGET;

/// Why a component was not built. Each text is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not set: this runs only in a build script")]
    NoBuildScript(&'static str),
    #[error("{0} is not in a cargo workspace")]
    NoWorkspace(PathBuf),
    #[error("the target {TARGET} is not installed; run: rustup target add {TARGET}")]
    NoTarget,
    #[error("cannot run {program}: {source}")]
    Run { program: String, source: io::Error },
    #[error("the guests do not build; what cargo says of them stands above, or run: {command}")]
    Build { command: String },
    #[error("cannot copy {from} to {to}: {source}")]
    Copy { from: PathBuf, to: PathBuf, source: io::Error },
}
