//! Locks a data folder for one host. The folder itself is locked, as changes in it do not affect that lock. The file `lock` in it is locked
//! as well, for versions before 0.2.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::Error;

/// Held for as long as a host, a check or a repair uses the folder.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    folder: File,
    file: Option<File>,
}

impl Lock {
    /// Locks an existing folder. Changes nothing in it.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let folder = File::open(path).map_err(|e| problem(path, &e))?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(path)),
            // Some file systems of the network lock no folders.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, data = %path.display(), "the folder cannot be locked; only the file `lock` in it keeps a second host out");
            }
        }
        let file = match File::options().read(true).write(true).open(path.join(FILE)) {
            Ok(file) => Some(lock_file(file, path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(problem(path, &error)),
        };
        Ok(Self { path: path.to_owned(), folder, file })
    }

    /// Creates the lock file for programs that check only that.
    pub(super) fn make_file(&mut self) -> Result<(), Error> {
        if self.file.is_none() {
            let file = File::create(self.path.join(FILE)).map_err(|e| problem(&self.path, &e))?;
            self.file = Some(lock_file(file, &self.path)?);
        }
        Ok(())
    }

    /// Checks that the folder is where it was. Otherwise another host could be using the folder that is there now.
    pub(super) fn check(&self) -> io::Result<()> {
        let (here, held) = (std::fs::metadata(&self.path)?, self.folder.metadata()?);
        if (here.dev(), here.ino()) == (held.dev(), held.ino()) {
            return Ok(());
        }
        Err(io::Error::other("another folder stands in its place"))
    }
}

const FILE: &str = "lock";

fn lock_file(file: File, path: &Path) -> Result<File, Error> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(locked(path)),
        Err(TryLockError::Error(error)) => Err(problem(path, &error)),
    }
}

fn locked(path: &Path) -> Error {
    Error::Locked { path: path.display().to_string() }
}

fn problem(path: &Path, error: &io::Error) -> Error {
    Error::Open { path: path.display().to_string(), problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_host_is_kept_out_whatever_happens_to_the_file() {
        let data = tempfile::tempdir().unwrap();
        let mut first = Lock::take(data.path()).unwrap();
        assert!(!data.path().join(FILE).exists(), "nothing is changed yet");
        first.make_file().unwrap();
        std::fs::remove_file(data.path().join(FILE)).unwrap();
        assert!(matches!(Lock::take(data.path()), Err(Error::Locked { .. })));
        drop(first);
        Lock::take(data.path()).unwrap();
    }

    #[test]
    fn a_host_of_an_earlier_version_is_seen() {
        let data = tempfile::tempdir().unwrap();
        let earlier = File::create(data.path().join(FILE)).unwrap();
        earlier.lock().unwrap();
        assert!(matches!(Lock::take(data.path()), Err(Error::Locked { .. })));
    }

    #[test]
    fn a_folder_that_was_put_in_the_place_of_the_own_one_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        std::fs::create_dir(&path).unwrap();
        let lock = Lock::take(&path).unwrap();
        lock.check().unwrap();
        std::fs::rename(&path, root.path().join("elsewhere")).unwrap();
        assert!(lock.check().is_err());
        std::fs::create_dir(&path).unwrap();
        assert!(lock.check().is_err());
    }
}
