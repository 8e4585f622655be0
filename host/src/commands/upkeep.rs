//! `switchbox check`, `repair`, `backup` and `restore`: what is done with a data folder beside running a host on it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::anyhow;

use crate::app::ExitStatus;
use switchbox_cli as cli;
use switchbox_store as store;

/// Which data folder
#[derive(Debug, clap::Args)]
struct Data {
    /// The data folder
    #[arg(long, value_name = "DIR", env = "SWITCHBOX_DATA", default_value = "switchbox-data")]
    data: PathBuf,
}

impl Data {
    fn folder(&self) -> anyhow::Result<&Path> {
        let data = self.data.display();
        if !self.data.is_dir() {
            return Err(anyhow!("there is no data folder {data}; name it with --data"));
        }
        if !store::is_data_folder(&self.data) {
            return Err(anyhow!(
                "{data} is no data folder, as neither log/ nor state.db is in it; name the data folder with --data"
            ));
        }
        Ok(&self.data)
    }
}

/// Check all files of a data folder that no host is using. Ends with 0 if all is well, and with 3 if something is damaged
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    data: Data,
}

/// Repair a damaged data folder so that the host starts on it. What cannot be read is moved to its folder `damaged`, never deleted
#[derive(Debug, clap::Args)]
pub(super) struct Repair {
    #[command(flatten)]
    data: Data,
    /// Continue with state.db only, and move the whole journal aside: for a state.db that is older than the journal, without a
    /// backup
    #[arg(long)]
    without_journal: bool,
}

/// Copy a data folder to a new folder, also while a host is using it. The copy contains secrets (the admin token, hashes of
/// passwords, what devices sent): protect it like the data folder
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The folder to create
    to: PathBuf,
    #[command(flatten)]
    data: Data,
    /// The plugin folder, if it is not in the data folder
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

/// Create a data folder from a backup
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup's folder
    from: PathBuf,
    #[command(flatten)]
    data: Data,
}

pub(super) fn check(options: &Check) -> anyhow::Result<ExitCode> {
    let checked = store::check(options.data.folder()?)?;
    let damaged = checked.problems.iter().map(|problem| format!("DAMAGED {problem}"));
    let well = checked.problems.is_empty().then(|| "all is well".to_owned());
    let lines: Vec<_> = checked.lines.iter().map(ToString::to_string).chain(damaged).chain(well).collect();
    cli::show(&lines.join("\n"))?;
    if checked.problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(ExitStatus::Damaged as u8))
}

pub(super) fn repair(options: &Repair) -> anyhow::Result<String> {
    let done = store::repair(options.data.folder()?, options.without_journal)?;
    let aside = done.aside.map(|aside| format!("what was cut is in {}", aside.display()));
    Ok(done.lines.into_iter().chain(aside).collect::<Vec<_>>().join("\n"))
}

pub(super) fn backup(options: &Backup) -> anyhow::Result<String> {
    let made = store::backup(options.data.folder()?, options.plugins.as_deref(), &options.to)?;
    Ok(format!(
        "{}: {} files, up to event {} (row {} of the journal)\nit holds secrets: keep it as safe as the data folder",
        options.to.display(),
        made.files.len(),
        made.last_event,
        made.last_row
    ))
}

pub(super) fn restore(options: &Restore) -> anyhow::Result<String> {
    let found = store::restore(&options.from, &options.data.data)?;
    let data = options.data.data.display();
    Ok(format!(
        "{data}: as it was at {}, up to event {} (row {} of the journal)",
        found.time, found.last_event, found.last_row
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_that_is_no_data_folder_is_not_checked_repaired_or_backed_up() {
        let folder = tempfile::tempdir().unwrap();
        let data = || Data { data: folder.path().to_owned() };
        let refused = [
            check(&Check { data: data() }).map(|_| ()),
            repair(&Repair { data: data(), without_journal: false }).map(|_| ()),
            backup(&Backup { to: folder.path().join("backup"), data: data(), plugins: None }).map(|_| ()),
        ];
        for refused in refused {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("neither log/ nor state.db"), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it was changed");
        // One of the two may be lost.
        for part in ["log", "state.db"] {
            let parts = tempfile::tempdir().unwrap();
            fs::create_dir(parts.path().join(part)).unwrap();
            assert!(Data { data: parts.path().to_owned() }.folder().is_ok(), "{part}");
        }
    }
}
