//! Keeps bytes that are cut from the journal, in the folder `damaged` of the data folder, with a folder for each time. The host does not
//! delete or read them.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::private;
use switchbox_journal::{inspect::Torn, sync_folder};
use switchbox_support::clock;

/// The folder in the data folder.
pub(super) const FOLDER: &str = "damaged";

/// Creates a folder for the bytes that are cut now. Two in one millisecond get different names.
pub(super) fn make_folder(data: &Path) -> io::Result<PathBuf> {
    let parent = data.join(FOLDER);
    private::make_folder(&parent)?;
    let time = clock::rfc3339(clock::now_ms()).replace(':', "-");
    for number in 1.. {
        let folder = parent.join(if number == 1 { time.clone() } else { format!("{time}-{number}") });
        if !folder.exists() {
            private::make_folder(&folder)?;
            sync_folder(&parent)?;
            return Ok(folder);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Copies the bytes of a torn end into a new folder. Returns the path of the copy.
pub(super) fn keep_torn(data: &Path, torn: &Torn) -> io::Result<PathBuf> {
    let folder = make_folder(data)?;
    let name = torn.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = folder.join(format!("{name}.from-{}", torn.offset));
    let mut from = File::open(&torn.path)?;
    from.seek(SeekFrom::Start(torn.offset))?;
    let mut to = File::create(&path)?;
    io::copy(&mut from.take(torn.bytes), &mut to)?;
    to.sync_all()?;
    sync_folder(&folder)?;
    Ok(path)
}

/// Moves a file into the folder, unless a file of that name exists there.
pub(super) fn move_into(folder: &Path, path: &Path) -> io::Result<()> {
    let to = folder.join(path.file_name().unwrap_or_default());
    if to.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(path, to)
}
