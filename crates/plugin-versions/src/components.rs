//! The components that are kept, and the rules in JavaScript that some were made of: one file each, named by its digest. Plugins with the
//! same component share the file.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use switchbox_store::private;

/// What the files of components end with.
pub(super) const COMPONENT: &str = "wasm";
/// What the files of rules in JavaScript end with.
pub(super) const SCRIPT: &str = "js";

/// The name of a component's file without its ending. Returns `None` if the text is not a component's digest.
fn stem(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

fn path(folder: &Path, digest: &str, ending: &str) -> Option<PathBuf> {
    Some(folder.join(format!("{}.{ending}", stem(digest)?)))
}

/// Stores the file, if it is not stored already.
pub(super) fn keep(folder: &Path, digest: &str, ending: &str, bytes: &[u8]) -> io::Result<()> {
    let path = path(folder, digest, ending).ok_or_else(|| io::Error::other(format!("{digest} is not a digest")))?;
    if size(folder, digest, ending) == Some(bytes.len() as u64) {
        return Ok(());
    }
    write_whole(&path, bytes)
}

/// Writes a file under a temporary name and renames it, so that it is never there in part.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        private::make_folder(folder)?;
    }
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

/// Returns `None` if it is not stored.
pub(super) fn size(folder: &Path, digest: &str, ending: &str) -> Option<u64> {
    Some(fs::metadata(path(folder, digest, ending)?).ok()?.len())
}

pub(super) fn read(folder: &Path, digest: &str, ending: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(path) = path(folder, digest, ending) else { return Ok(None) };
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Deletes the files that are not among these digests.
pub(super) fn retain(folder: &Path, used: &BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let digest = format!("sha256:{stem}");
        let is_kept = path.extension().is_some_and(|ending| ending == COMPONENT || ending == SCRIPT);
        if is_kept && self::stem(&digest).is_some() && !used.contains(&digest) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
