//! A recording that is being written: it takes executions from workers without making them wait for its file, which a thread of its own
//! writes. A worker makes the text of a line itself (`instance_lines.rs`) if the line is short and has no secrets: that costs less than
//! handing the parts over.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    line_queue::Queued,
    line_writer::{Shared, Writer, buffered},
    mask::{DEFAULT, Masks, TooManySecrets},
    recorder::RecordedCalls,
    recording::{FORMAT, Line, StartLine, VersionLine},
};
use switchbox_model::{PluginName, limits::names};
use switchbox_support::{clock, metrics::Metrics, tasks::Tasks};

/// The beginning of an execution's line.
const EXECUTION: &[u8] = br#"{"kind":"execution""#;

/// Bytes that are read at once to find the last line of a file.
const PIECE_BYTES: usize = 64 * 1024;

/// Options of a recording.
#[derive(Debug)]
pub struct Options {
    pub plugin: PluginName,
    /// The file. An existing file is replaced, unless the recording continues in it.
    pub file: PathBuf,
    /// The recording of a host that was restarted continues in its file, after its last whole line.
    pub continues: bool,
    /// For how long. Is `None` if the recording continues until it is stopped or its file is full.
    pub time: Option<Duration>,
    /// Maximum size of the file, bytes.
    pub max_bytes: u64,
    /// Patterns of secret keys, in addition to [`DEFAULT`].
    pub mask: Vec<String>,
    /// Counts a full file.
    pub metrics: Metrics,
}

/// Why a recording cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error("{0}")]
    Mask(String),
    #[error("the recording cannot be written to {file}: {source}")]
    File { file: PathBuf, source: io::Error },
}

/// The status of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub began_ms: u64,
    pub until_ms: Option<u64>,
    /// Those in its file; also those before a restart of the host, if it continued.
    pub executions: u64,
    pub skipped: u64,
    pub bytes: u64,
    /// Why it ended. `None` if it is running.
    pub ended: Option<String>,
}

/// A recording of one plugin. Shared by its workers.
pub struct Recording {
    began_ms: u64,
    until_ms: Option<u64>,
    file: PathBuf,
    pub(crate) shared: Arc<Shared>,
    instances: AtomicU32,
    /// The ids of the versions so far.
    versions: Mutex<Vec<String>>,
}

impl Recording {
    /// Starts a recording.
    ///
    /// # Errors
    ///
    /// A pattern is not a valid glob, or the file cannot be written.
    pub fn begin(options: Options, tasks: &Tasks) -> Result<Arc<Self>, BeginError> {
        let masks = Masks::new(&options.mask).map_err(BeginError::Mask)?;
        let failed = |source| BeginError::File { file: options.file.clone(), source };
        let (mut file, before) =
            if options.continues { reopen(&options.file) } else { create(&options.file) }.map_err(failed)?;
        let began_ms = clock::now_ms();
        let patterns = DEFAULT.into_iter().map(str::to_owned).chain(options.mask);
        let first = Line::Recording {
            format: FORMAT,
            plugin: options.plugin.to_string(),
            host: env!("CARGO_PKG_VERSION").into(),
            begin_ms: began_ms,
            mask: patterns.collect(),
            from_journal: false,
        };
        let mut text = Vec::new();
        first.append_to(&mut text);
        file.write_all(&text).map_err(failed)?;
        let shared = Arc::new(Shared::new(masks, before + text.len() as u64));
        if before > 0 {
            // In a thread of its own: the file may be large, and the writer must not be late.
            let (path, shared) = (options.file.clone(), Arc::clone(&shared));
            let count = move || {
                shared.executions.fetch_add(executions_in(&path, before), Ordering::Relaxed);
            };
            tasks.spawn_thread("recording count", count).map_err(failed)?;
        }
        let writer = Writer {
            file: buffered(file),
            shared: Arc::clone(&shared),
            until: options.time.map(|time| Instant::now() + time),
            max_bytes: options.max_bytes,
            metrics: options.metrics,
            skipped: 0,
            text,
        };
        tasks.spawn_thread("plugin recording", move || writer.run()).map_err(failed)?;
        Ok(Arc::new(Self {
            began_ms,
            until_ms: options.time.map(|time| began_ms.saturating_add(crate::call::millis(time))),
            file: options.file,
            shared,
            instances: AtomicU32::new(0),
            versions: Mutex::default(),
        }))
    }

    /// Whether it takes no more executions.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Ends the recording. Its last line is written shortly after.
    pub fn stop(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    #[must_use]
    pub fn status(&self) -> Status {
        let Shared { executions, skipped, bytes, ended, .. } = &*self.shared;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (executions, skipped, bytes) = (count(executions), count(skipped), count(bytes));
        let (began_ms, until_ms, ended) = (self.began_ms, self.until_ms, ended.lock().clone());
        Status { began_ms, until_ms, executions, skipped, bytes, ended }
    }

    /// Records a new instance of the version `id`. Returns the instance's number.
    pub(crate) fn start(
        &self,
        id: &str,
        version: impl FnOnce(u32) -> VersionLine,
        time_ms: u64,
        calls: RecordedCalls,
    ) -> u32 {
        let instance = self.instances.fetch_add(1, Ordering::Relaxed) + 1;
        if self.add_start(instance, id, version, (time_ms, calls)).is_err() {
            // The first one stays.
            let _ = self.shared.limit.set(names::RECORDING_SECRET_BYTES);
            self.stop();
        }
        instance
    }

    /// Their secrets are remembered before the first execution of the instance.
    fn add_start(
        &self,
        instance: u32,
        id: &str,
        version: impl FnOnce(u32) -> VersionLine,
        (time_ms, calls): (u64, RecordedCalls),
    ) -> Result<(), TooManySecrets> {
        // Locked until both are queued, so that the file has a version before its instances.
        let mut versions = self.versions.lock();
        let masks = &self.shared.masks;
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        let version = match versions.iter().position(|known| known == id) {
            Some(at) => number(at),
            None => {
                let new = number(versions.len());
                let mut line = version(new);
                masks.remember_version(&mut line)?;
                versions.push(id.to_owned());
                self.send_start(Queued::Version(Box::new(line)));
                new
            }
        };
        let mut start = StartLine { instance, version, time_ms, calls: calls.calls };
        masks.remember_start(&mut start)?;
        self.send_start(Queued::Start(start));
        Ok(())
    }

    /// Whether there is room for another execution in the writer's queue, and nothing is counted.
    #[must_use]
    pub fn may_have_room(&self) -> bool {
        !self.is_closed() && self.shared.queue.has_room()
    }

    /// Whether it takes the next execution of an instance: the writer's queue has room, and no earlier execution of the instance is left out
    /// (`has_gap`). Otherwise counts one as left out.
    #[must_use]
    pub fn takes_next(&self, has_gap: bool) -> bool {
        let is_taken = !has_gap && self.shared.queue.has_room();
        if !is_taken && !self.is_closed() {
            self.count_left_out(1);
        }
        is_taken
    }

    pub(crate) fn count_left_out(&self, executions: u64) {
        self.shared.skipped.fetch_add(executions, Ordering::Relaxed);
    }

    /// If a start finds no room, the recording ends, because the executions of that instance could not be replayed.
    fn send_start(&self, start: Queued) {
        if !self.shared.queue.push_start(start) {
            self.stop();
        }
    }
}

/// Creates a file that only the host's user can read. An existing file is replaced and not overwritten, because a program may be
/// reading it.
fn create(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok((OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?, 0))
}

/// Opens a file after its last whole line, and creates one if there is none. Returns its bytes so far.
fn reopen(path: &Path) -> io::Result<(File, u64)> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(path),
        opened => opened?,
    };
    let (mut end, mut piece) = (file.metadata()?.len(), vec![0; PIECE_BYTES]);
    while end > 0 {
        let begin = end.saturating_sub(PIECE_BYTES as u64);
        let read = usize::try_from(end - begin).unwrap_or(0);
        let piece = piece.get_mut(..read).unwrap_or_default();
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            end = begin + at as u64 + 1;
            break;
        }
        end = begin;
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok((file, end))
}

/// The executions in the first `bytes` of a recording that this host has written. A file that cannot be read has none.
fn executions_in(path: &Path, bytes: u64) -> u64 {
    let Ok(file) = File::open(path) else { return 0 };
    let (mut lines, mut line, mut count) = (BufReader::with_capacity(PIECE_BYTES, file.take(bytes)), Vec::new(), 0);
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        count += u64::from(line.starts_with(EXECUTION));
        line.clear();
    }
    count
}

#[cfg(test)]
mod tests;
