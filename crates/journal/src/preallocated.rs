//! Makes files of the journal before they are needed: with their full length, filled with zeros and synced. If the writer did that itself,
//! every commit would wait for it. Files that the journal does not need any more are used again: a file system overwrites faster than it
//! grows.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::blocks::{BlockFile, Blocks};

/// The extension of such files.
pub(crate) const FILE_EXTENSION: &str = "spare";
/// How many files are kept to be used again.
pub(crate) const MAX_READY: usize = 4;
/// Bytes of zeros that are written at once. A commit waits for one such write at most.
const WRITE_BYTES: usize = 64 * 1024;
/// The pause between two writes, in which the disk serves commits. With it, 100 MiB are made in a second, which is more than the journal grows
/// by.
const PAUSE_BETWEEN_WRITES: Duration = Duration::from_micros(500);

/// Makes files in advance, and keeps files to be used again.
pub(crate) struct Preallocator {
    folder: PathBuf,
    /// Files that can be used.
    ready: Vec<PathBuf>,
    /// How many names were used.
    created: u64,
    /// The thread that makes a file.
    making: Option<JoinHandle<io::Result<PathBuf>>>,
}

impl Preallocator {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ready: Vec::new(), created: 0, making: None }
    }

    fn next_path(&mut self) -> PathBuf {
        self.created += 1;
        self.folder.join(format!("{}.{FILE_EXTENSION}", self.created))
    }

    /// Keeps a file that has no readers for later use, or removes it when there are enough.
    pub(crate) fn recycle(&mut self, path: &Path) -> io::Result<()> {
        if self.ready.len() >= MAX_READY {
            return fs::remove_file(path);
        }
        let ready_path = self.next_path();
        fs::rename(path, &ready_path)?;
        self.ready.push(ready_path);
        Ok(())
    }

    /// Keeps a file that was given out and not used.
    pub(crate) fn return_unused(&mut self, path: PathBuf) {
        self.ready.push(path);
    }

    /// Removes all files that are kept.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.ready.drain(..).try_for_each(fs::remove_file)
    }

    pub(crate) fn is_ready(&mut self) -> bool {
        self.collect();
        !self.ready.is_empty()
    }

    /// Takes a file that is ready. Returns `None` if there is none; does not wait.
    pub(crate) fn take(&mut self) -> Option<PathBuf> {
        self.collect();
        self.ready.pop()
    }

    /// Requests that a file of this many bytes will be ready soon. Does not wait.
    pub(crate) fn request(&mut self, bytes: u64) {
        self.collect();
        if !self.ready.is_empty() || self.making.is_some() {
            return;
        }
        let path = self.next_path();
        let work = move || preallocate(path, bytes);
        // Supervision: it may fail; the writer then creates its file itself, and the next one is made in advance again.
        let started = thread::Builder::new().name("journal-spare".into()).spawn(work);
        match started {
            Ok(making) => self.making = Some(making),
            Err(error) => tracing::debug!(%error, "no file of the journal is preallocated"),
        }
    }

    /// Makes the file available that the thread has made, if the thread has ended.
    fn collect(&mut self) {
        let Some(made) = self.making.take_if(|making| making.is_finished()) else { return };
        match made.join() {
            Ok(Ok(path)) => self.ready.push(path),
            // The writer then creates the file itself, and reports an error of the disk.
            Ok(Err(error)) => tracing::debug!(%error, "no file of the journal was preallocated"),
            Err(_) => tracing::error!("preallocating a file of the journal panicked; the journal continues without it"),
        }
    }
}

impl Drop for Preallocator {
    fn drop(&mut self) {
        // The next opening of the journal may create a file of the same name.
        self.making.take().into_iter().for_each(|making| drop(making.join()));
    }
}

/// Creates a file of zeros.
fn preallocate(path: PathBuf, bytes: u64) -> io::Result<PathBuf> {
    let file = BlockFile::open(&path)?;
    let mut zeros = Blocks::default();
    zeros.resize(WRITE_BYTES);
    for at in (0..bytes).step_by(WRITE_BYTES) {
        file.write(zeros.bytes(), at, true)?;
        thread::sleep(PAUSE_BETWEEN_WRITES);
    }
    file.sync_with_length()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_wanted_is_whole_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut preallocated = Preallocator::new(folder.path());
        assert_eq!(preallocated.take(), None);
        let bytes = 3 * WRITE_BYTES as u64;
        preallocated.request(bytes);
        preallocated.request(bytes);
        let ready_path = std::iter::from_fn(|| Some(preallocated.take())).flatten().next().unwrap();
        let found = fs::read(&ready_path).unwrap();
        assert!(found.len() as u64 == bytes && found.iter().all(|byte| *byte == 0));
        assert_eq!((preallocated.take(), preallocated.created), (None, 1));
    }

    #[test]
    fn files_are_used_again_and_not_hoarded() {
        let folder = tempfile::tempdir().unwrap();
        let mut preallocated = Preallocator::new(folder.path());
        for number in 0..=MAX_READY {
            let path = folder.path().join(number.to_string());
            fs::write(&path, "old").unwrap();
            preallocated.recycle(&path).unwrap();
        }
        preallocated.request(1);
        let taken: Vec<_> = std::iter::from_fn(|| preallocated.take()).collect();
        assert_eq!(taken.len(), MAX_READY);
        assert!(taken.iter().all(|path| fs::read(path).unwrap() == b"old"), "one more was made");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MAX_READY);
    }

    #[test]
    fn nothing_is_written_any_more_when_the_log_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut preallocated = Preallocator::new(folder.path());
        preallocated.request(16 * WRITE_BYTES as u64);
        drop(preallocated);
        let lengths: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(lengths, [16 * WRITE_BYTES as u64]);
    }
}
