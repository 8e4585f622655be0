//! A recording that is being written: it takes executions from workers without making them wait, masks them, and writes them to its
//! file on a thread of its own. It ends by itself when its time limit is reached or its file is full.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    effect::{OutcomeLine, lines},
    event::EventLine,
    mask::{DEFAULT, Masks},
    recorder::RecordedCalls,
    recording::{ExecutionLine, FORMAT, Line, StartLine, VersionLine},
};
use switchbox_model::{DeviceName, Effect, Event, PluginName, limits};
use switchbox_plugin_runtime::{Execution, KvChange, Verdict};
use switchbox_support::{clock, metrics::Metrics, tasks::Tasks, threads};

/// The interval at which the writer takes queued messages. Workers do not wake it: a system call per execution would cost them more
/// than the rest of the recording.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes that are read at once to find the last line of a file.
const PIECE_BYTES: usize = 64 * 1024;

/// Executions in the writer's queue; their bytes are bounded too.
const QUEUE: usize = 8 * 1024;
/// Further room in the queue, only for starts of instances. If it is full, the recording ends.
const QUEUE_OF_STARTS: usize = 1024;

/// Options of a recording.
#[derive(Debug)]
pub struct Options {
    pub plugin: PluginName,
    /// The file. An existing file is replaced, unless the recording continues in it.
    pub file: PathBuf,
    /// The recording of a host that was restarted continues in its file, after its last whole line.
    pub continues: bool,
    /// `None`: until it is stopped or its file is full.
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
    shared: Arc<Shared>,
    instances: AtomicU32,
    /// The ids of the versions so far.
    versions: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Shared {
    closed: AtomicBool,
    queue: Mutex<Vec<Message>>,
    /// Bytes in the writer's queue, roughly.
    queued: AtomicU64,
    /// The queue had no room for an execution since the writer took what was in it.
    full: AtomicBool,
    executions: AtomicU64,
    skipped: AtomicU64,
    bytes: AtomicU64,
    ended: Mutex<Option<String>>,
}

enum Message {
    Version(Box<VersionLine>),
    Start(StartLine),
    Execution(Box<CapturedExecution>, u64),
}

/// An execution that is to be written.
struct CapturedExecution {
    instance: u32,
    event: Event,
    device: Option<DeviceName>,
    attempt: u32,
    calls: RecordedCalls,
    effects: Vec<Effect>,
    kv: Vec<KvChange>,
    verdict: Verdict,
    logs: Vec<String>,
    guest_us: u64,
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
        let first = text_of(&first);
        file.write_all(&first).map_err(failed)?;
        let shared = Arc::new(Shared { bytes: AtomicU64::new(before + first.len() as u64), ..Shared::default() });
        let writer = Writer {
            file: BufWriter::new(file),
            masks,
            shared: Arc::clone(&shared),
            until: options.time.map(|time| Instant::now() + time),
            max_bytes: options.max_bytes,
            metrics: options.metrics,
            skipped: 0,
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
        self.shared.closed.store(true, Ordering::Relaxed);
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
    pub fn start(&self, id: &str, version: impl FnOnce(u32) -> VersionLine, time_ms: u64, calls: RecordedCalls) -> u32 {
        let instance = self.instances.fetch_add(1, Ordering::Relaxed) + 1;
        // Locked until both are queued, so that the file has a version before its instances.
        let mut versions = self.versions.lock();
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        let version = match versions.iter().position(|known| known == id) {
            Some(at) => number(at),
            None => {
                let new = number(versions.len());
                versions.push(id.to_owned());
                self.send_start(Message::Version(Box::new(version(new))));
                new
            }
        };
        self.send_start(Message::Start(StartLine { instance, version, time_ms, calls: calls.calls }));
        instance
    }

    /// Whether there is room for another execution in the writer's queue. If there is none, counts one as left out.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let Shared { queued, full, skipped, .. } = &*self.shared;
        let bytes = queued.load(Ordering::Relaxed);
        let room = bytes < limits::RECORDING_QUEUE_BYTES && !full.load(Ordering::Relaxed);
        if !room && !self.is_closed() {
            skipped.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    /// Records an execution of the instance. Returns false if it is left out because the writer's queue is full.
    pub fn execution(
        &self,
        instance: u32,
        event: &Event,
        (device, attempt): (Option<&DeviceName>, u32),
        calls: RecordedCalls,
        execution: &Execution,
    ) -> bool {
        if self.is_closed() {
            return true;
        }
        let weight = weight(event, &calls, execution);
        let full = self.shared.queued.load(Ordering::Relaxed) + weight > limits::RECORDING_QUEUE_BYTES;
        if full || calls.too_large {
            self.shared.skipped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let captured = CapturedExecution {
            instance,
            event: event.clone(),
            device: device.cloned(),
            attempt,
            calls,
            effects: execution.effects.clone(),
            kv: execution.kv.clone(),
            verdict: execution.verdict.clone(),
            logs: execution.logs.clone(),
            guest_us: u64::try_from(execution.guest_time.as_micros()).unwrap_or(u64::MAX),
        };
        let message = Message::Execution(Box::new(captured), weight);
        let mut queue = self.shared.queue.lock();
        let has_room = queue.len() < QUEUE;
        if has_room {
            self.shared.queued.fetch_add(weight, Ordering::Relaxed);
            queue.push(message);
        } else {
            self.shared.full.store(true, Ordering::Relaxed);
            self.shared.skipped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// If a start finds no room, the recording ends, because the executions of that instance could not be replayed.
    fn send_start(&self, message: Message) {
        let mut queue = self.shared.queue.lock();
        if queue.len() < QUEUE + QUEUE_OF_STARTS {
            queue.push(message);
        } else {
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

/// Bytes that an execution takes in the queue, roughly.
fn weight(event: &Event, calls: &RecordedCalls, execution: &Execution) -> u64 {
    const EXECUTION_BYTES: usize = 512;
    const CALL_BYTES: usize = 512;
    let effects = execution.effects.iter().map(|effect| CALL_BYTES + effect.payload_bytes()).sum::<usize>();
    let writes = execution.kv.iter().map(|change| change.value.as_ref().map_or(0, bytes::Bytes::len)).sum::<usize>();
    let bytes = EXECUTION_BYTES + event.data.payload().len() + calls.calls.len() * CALL_BYTES + effects + writes;
    bytes as u64
}

/// A line with its line end.
fn text_of(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The writer's thread.
struct Writer {
    file: BufWriter<File>,
    masks: Masks,
    shared: Arc<Shared>,
    until: Option<Instant>,
    max_bytes: u64,
    metrics: Metrics,
    /// Skipped executions that the file mentions already.
    skipped: u64,
}

/// Why the writer ends.
enum EndReason {
    Stopped,
    TimeLimit,
    Full,
    Failed(io::Error),
}

impl Writer {
    fn run(mut self) {
        // The writer has a low priority: executions that it has no time to write are left out.
        threads::use_lowest_priority();
        let ended = self.write_all();
        self.shared.closed.store(true, Ordering::Relaxed);
        let why = match ended {
            EndReason::Stopped => "stopped".to_owned(),
            EndReason::TimeLimit => "its time limit is reached".to_owned(),
            EndReason::Full => {
                self.metrics.limit(limits::names::RECORDING_BYTES);
                format!("the limit \"{}\" is reached", limits::names::RECORDING_BYTES)
            }
            EndReason::Failed(error) => {
                tracing::warn!(%error, "a recording of a plugin ends: its file cannot be written");
                format!("its file cannot be written: {error}")
            }
        };
        let (executions, skipped) = (&self.shared.executions, &self.shared.skipped);
        let (executions, skipped) = (executions.load(Ordering::Relaxed), skipped.load(Ordering::Relaxed));
        let last = Line::End { why: why.clone(), executions, skipped };
        // An earlier write error is in the status.
        let _ = self.write(&last).and_then(|()| self.file.flush());
        *self.shared.ended.lock() = Some(why);
    }

    fn write_all(&mut self) -> EndReason {
        loop {
            // Read before the queue, so that everything that was queued before the end is written.
            let is_closed = self.shared.closed.load(Ordering::Relaxed) || Arc::strong_count(&self.shared) == 1;
            let is_over = self.until.is_some_and(|until| Instant::now() >= until);
            let queued = std::mem::take(&mut *self.shared.queue.lock());
            self.shared.full.store(false, Ordering::Relaxed);
            for message in queued {
                if let Err(error) = self.take(message) {
                    return EndReason::Failed(error);
                }
                if self.is_full() {
                    return EndReason::Full;
                }
            }
            if let Err(error) = self.gap().and_then(|()| self.file.flush()) {
                return EndReason::Failed(error);
            }
            if self.is_full() {
                return EndReason::Full;
            }
            if is_over {
                return EndReason::TimeLimit;
            }
            if is_closed {
                return EndReason::Stopped;
            }
            thread::sleep(WRITE_INTERVAL);
        }
    }

    fn is_full(&self) -> bool {
        self.shared.bytes.load(Ordering::Relaxed) >= self.max_bytes
    }

    fn gap(&mut self) -> io::Result<()> {
        let skipped = self.shared.skipped.load(Ordering::Relaxed);
        let new = skipped - std::mem::replace(&mut self.skipped, skipped);
        if new == 0 { Ok(()) } else { self.write(&Line::Gap { skipped: new }) }
    }

    fn take(&mut self, message: Message) -> io::Result<()> {
        let line = match message {
            Message::Version(mut version) => {
                version.masked = self.masks.version(&mut version);
                Line::Version(*version)
            }
            Message::Start(mut start) => {
                self.masks.start(&mut start);
                Line::Start(start)
            }
            Message::Execution(captured, weight) => {
                self.shared.queued.fetch_sub(weight, Ordering::Relaxed);
                self.shared.executions.fetch_add(1, Ordering::Relaxed);
                let mut line = captured.line();
                line.masked = self.masks.execution(&mut line);
                Line::Execution(Box::new(line))
            }
        };
        self.write(&line)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = text_of(line);
        self.shared.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.file.write_all(&text)
    }
}

impl CapturedExecution {
    fn line(self) -> ExecutionLine {
        let Self { instance, event, device, attempt, calls, effects, kv, verdict, logs, guest_us } = self;
        let name = |num| calls.names.get(num).cloned();
        ExecutionLine {
            instance,
            event: EventLine::of(&event, device.as_ref(), attempt),
            effects: lines(&effects, &kv, &name),
            calls: calls.calls,
            outcome: OutcomeLine::of(&verdict),
            logs,
            guest_us,
            masked: false,
        }
    }
}
