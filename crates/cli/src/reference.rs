//! `switchbox completions` and `switchbox man`: shell completions and manual pages, from the definition of the commands.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap_complete::Shell;

use super::printed::show;

/// Print the completions of commands and flags for a shell, such as `switchbox completions bash`
#[derive(Debug, clap::Args)]
pub struct Completions {
    shell: Shell,
}

/// Write a manual page for each command, such as `switchbox man ~/.local/share/man/man1`
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The folder; it is created if necessary
    folder: PathBuf,
}

/// # Errors
///
/// Standard output cannot be written.
pub fn completions(mut command: clap::Command, options: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "switchbox", &mut script);
    show(&String::from_utf8(script)?)
}

/// # Errors
///
/// The folder or a file in it cannot be written.
pub fn man(command: clap::Command, options: &Man) -> anyhow::Result<()> {
    let folder = &options.folder;
    let failed = || format!("{} cannot be written", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(command, folder).with_context(failed)?;
    show(&format!("the pages are in {}; `man -l {0}/switchbox.1` shows the first", folder.display()))
}
