//! Paths of files: `files/{project}/{location}/{registry}/{device}/{name}`. Ids of registries and devices are names of folders
//! without any encoding; names of files are encoded.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::name::FileName;
use switchbox_model::{DeviceId, DeviceName, RegistryName};

/// A file as it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// When it was written, milliseconds since the Unix epoch.
    pub time_ms: u64,
}

/// A file of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub device: DeviceId,
    pub name: FileName,
    pub stored: Stored,
}

impl Stored {
    pub(crate) fn of(file: &fs::Metadata) -> Self {
        let time = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { bytes: file.len(), time_ms: time.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0)) }
    }
}

pub(crate) fn of_registry(root: &Path, registry: &RegistryName) -> PathBuf {
    root.join(registry.project()).join(registry.location()).join(registry.id())
}

pub(crate) fn of_device(root: &Path, device: &DeviceName) -> PathBuf {
    of_registry(root, &device.registry).join(device.id.as_str())
}

/// Makes the folder and those above it up to `root`, which is there; each is on the disk when this returns.
pub(crate) fn make(root: &Path, folder: &Path) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let Some(above) = folder.parent() else { return Ok(()) };
    make(root, above)?;
    match private(folder) {
        // Another upload created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    sync(above)
}

/// A folder that only the host's user can read.
pub(crate) fn private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

/// What was put into the folder, or taken out of it, is on the disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The names in a folder that can be read, in order. A folder that is not there has none.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The files of a device, in the order of their names.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<(FileName, Stored)>> {
    let mut found = Vec::new();
    for segment in names(folder)? {
        let Some(name) = FileName::from_disk(&segment) else { continue };
        match fs::symlink_metadata(folder.join(&segment)) {
            Ok(file) if file.is_file() => found.push((name, Stored::of(&file))),
            Ok(_) => {}
            // Deleted since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Calls `found` with each file below `root`. Anything else in the folder is ignored.
pub(crate) fn walk(root: &Path, found: &mut dyn FnMut(&DeviceName, Stored)) -> io::Result<()> {
    for project in names(root)? {
        for location in names(&root.join(&project))? {
            for registry in names(&root.join(&project).join(&location))? {
                let Ok(registry) = RegistryName::of(&project, &location, &registry) else { continue };
                let folder = of_registry(root, &registry);
                for id in names(&folder)?.iter().filter_map(|id| DeviceId::new(id).ok()) {
                    let device = DeviceName { registry: registry.clone(), id };
                    for (_, stored) in files(&of_device(root, &device))? {
                        found(&device, stored);
                    }
                }
            }
        }
    }
    Ok(())
}
