//! Makes files of the journal before they are needed: with their full length, filled with zeros and synced. If the writer did that itself,
//! every commit would wait for it. Files that the journal does not need any more are used again: a file system overwrites faster than it
//! grows.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::blocks::{BlockFile, Blocks};
use switchbox_support::scheduling;

/// How the names of such files end.
pub(crate) const SPARE: &str = "spare";
/// Files kept to be used again.
pub(crate) const KEPT: usize = 4;
/// Zeros written at once: a commit waits behind as many.
const PIECE: usize = 64 * 1024;
/// How long the disk is left to the foreground's commits between two pieces. 100 MiB are made in a second so, which is more than
/// the journal grows by.
const PAUSE_BETWEEN_PIECES: Duration = Duration::from_micros(500);

pub(crate) struct Preallocator {
    folder: PathBuf,
    ready: Vec<PathBuf>,
    made: u64,
    making: Option<JoinHandle<io::Result<PathBuf>>>,
}

impl Preallocator {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ready: Vec::new(), made: 0, making: None }
    }

    fn next_path(&mut self) -> PathBuf {
        self.made += 1;
        self.folder.join(format!("{}.{SPARE}", self.made))
    }

    /// Keeps a file that has no readers for later use, or removes it when there are enough.
    pub(crate) fn put(&mut self, path: &Path) -> io::Result<()> {
        if self.ready.len() >= KEPT {
            return fs::remove_file(path);
        }
        let spare = self.next_path();
        fs::rename(path, &spare)?;
        self.ready.push(spare);
        Ok(())
    }

    /// Keeps a file that was given out and not used.
    pub(crate) fn put_back(&mut self, path: PathBuf) {
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

    /// A file that is ready. Waits for none.
    pub(crate) fn take(&mut self) -> Option<PathBuf> {
        self.collect();
        self.ready.pop()
    }

    /// Sees to it that a file of so many bytes will be ready soon. Waits for nothing.
    pub(crate) fn want(&mut self, bytes: u64) {
        self.collect();
        if !self.ready.is_empty() || self.making.is_some() {
            return;
        }
        let path = self.next_path();
        let work = move || {
            scheduling::request_long_slices();
            make(path, bytes)
        };
        // Supervision: it may fail; the journal then makes its file by itself, and the next one is made ahead again.
        let started = thread::Builder::new().name("journal-spare".into()).spawn(work);
        match started {
            Ok(making) => self.making = Some(making),
            Err(error) => tracing::debug!(%error, "no file of the journal is made ahead"),
        }
    }

    fn collect(&mut self) {
        let Some(made) = self.making.take_if(|making| making.is_finished()) else { return };
        match made.join() {
            Ok(Ok(path)) => self.ready.push(path),
            // The writer makes the file itself then, and reports what is wrong with the disk.
            Ok(Err(error)) => tracing::debug!(%error, "no file of the journal was made ahead"),
            Err(_) => tracing::error!("making a file of the journal ahead panicked; the journal goes on without"),
        }
    }
}

impl Drop for Preallocator {
    fn drop(&mut self) {
        // The next opening of the journal may make a file of the same name.
        self.making.take().into_iter().for_each(|making| drop(making.join()));
    }
}

fn make(path: PathBuf, bytes: u64) -> io::Result<PathBuf> {
    let file = BlockFile::open(&path)?;
    let mut zeros = Blocks::default();
    zeros.resize(PIECE);
    for at in (0..bytes).step_by(PIECE) {
        file.write(zeros.bytes(), at, true)?;
        if scheduling::has_foreground(Instant::now()) {
            thread::sleep(PAUSE_BETWEEN_PIECES);
        }
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
        let bytes = 3 * PIECE as u64;
        preallocated.want(bytes);
        preallocated.want(bytes);
        let spare = std::iter::from_fn(|| Some(preallocated.take())).flatten().next().unwrap();
        let found = fs::read(&spare).unwrap();
        assert!(found.len() as u64 == bytes && found.iter().all(|byte| *byte == 0));
        assert_eq!((preallocated.take(), preallocated.made), (None, 1));
    }

    #[test]
    fn files_are_used_again_and_not_hoarded() {
        let folder = tempfile::tempdir().unwrap();
        let mut preallocated = Preallocator::new(folder.path());
        for number in 0..=KEPT {
            let path = folder.path().join(number.to_string());
            fs::write(&path, "old").unwrap();
            preallocated.put(&path).unwrap();
        }
        preallocated.want(1);
        let taken: Vec<_> = std::iter::from_fn(|| preallocated.take()).collect();
        assert_eq!(taken.len(), KEPT);
        assert!(taken.iter().all(|path| fs::read(path).unwrap() == b"old"), "one more was made");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT);
    }

    #[test]
    fn nothing_is_written_any_more_when_the_log_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut preallocated = Preallocator::new(folder.path());
        preallocated.want(16 * PIECE as u64);
        drop(preallocated);
        let lengths: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(lengths, [16 * PIECE as u64]);
    }
}
