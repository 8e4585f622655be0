//! Folders that only the host's user can read, as they hold data such as hashes of passwords and telemetry.

use std::{fs, io, path::Path};

/// Creates the folder and the folders above it, if they do not exist.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whether other users of this machine may read the folder, or have other rights to it.
#[cfg(unix)]
pub(super) fn is_readable_by_others(folder: &Path) -> io::Result<bool> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder)?.permissions());
    Ok(mode & 0o077 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_readable_by_others(_folder: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_is_made_is_its_owners_alone_and_one_that_is_there_stays_as_it_is() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("data");
        make_folder(&folder).unwrap();
        assert!(!is_readable_by_others(&folder).unwrap());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&folder).unwrap();
        assert!(is_readable_by_others(&folder).unwrap());
    }
}
