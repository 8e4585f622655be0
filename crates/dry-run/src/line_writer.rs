//! The thread that writes a recording to its file. It masks what may have secrets, and ends by itself when the time limit is reached or
//! the file is full.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    line_queue::{Block, LineQueue, Queued},
    mask::Masks,
    recording::Line,
};
use switchbox_model::limits::{LimitName, names};
use switchbox_support::{metrics::Metrics, threads};

/// The interval at which the writer takes queued lines. Workers do not wake it: a system call per execution would cost them more
/// than the rest of the recording.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes of lines that are written at once. Blocks that have as many are not copied.
const WRITE_BYTES: usize = 64 * 1024;

/// What the workers share with the writer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) closed: AtomicBool,
    pub(crate) queue: LineQueue,
    pub(crate) masks: Masks,
    pub(crate) executions: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) ended: Mutex<Option<String>>,
    /// The limit that ends it before its file is full. Set before `closed`.
    pub(crate) limit: OnceLock<LimitName>,
}

/// The writer's thread.
pub(crate) struct Writer {
    pub(crate) file: BufWriter<File>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) until: Option<Instant>,
    pub(crate) max_bytes: u64,
    /// Counts the limit that ends it.
    pub(crate) metrics: Metrics,
    /// Skipped executions that the file mentions already.
    pub(crate) skipped: u64,
    /// The line that is being made.
    pub(crate) text: Vec<u8>,
}

/// Why the writer ends.
enum EndReason {
    Stopped,
    TimeLimit,
    Limit(LimitName),
    Failed(io::Error),
}

impl Shared {
    pub(crate) fn new(masks: Masks, bytes: u64) -> Self {
        Self {
            closed: AtomicBool::new(false),
            queue: LineQueue::default(),
            masks,
            executions: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            bytes: AtomicU64::new(bytes),
            ended: Mutex::default(),
            limit: OnceLock::new(),
        }
    }
}

/// A file for lines.
pub(crate) fn buffered(file: File) -> BufWriter<File> {
    BufWriter::with_capacity(WRITE_BYTES, file)
}

impl Writer {
    pub(crate) fn run(mut self) {
        // The writer has a low priority: executions that it has no time to write are left out.
        threads::use_lowest_priority();
        let ended = self.write_all();
        self.shared.closed.store(true, Ordering::Relaxed);
        let why = match ended {
            EndReason::Stopped => "stopped".to_owned(),
            EndReason::TimeLimit => "its time limit is reached".to_owned(),
            EndReason::Limit(limit) => {
                self.metrics.limit(limit);
                format!("the limit \"{limit}\" is reached")
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
            let is_closed = self.shared.closed.load(Ordering::Acquire) || Arc::strong_count(&self.shared) == 1;
            let is_over = self.until.is_some_and(|until| Instant::now() >= until);
            for queued in self.shared.queue.take() {
                if let Err(error) = self.take(queued) {
                    return EndReason::Failed(error);
                }
                if self.is_full() {
                    return EndReason::Limit(names::RECORDING_BYTES);
                }
            }
            if let Err(error) = self.gap().and_then(|()| self.file.flush()) {
                return EndReason::Failed(error);
            }
            if self.is_full() {
                return EndReason::Limit(names::RECORDING_BYTES);
            }
            if is_over {
                return EndReason::TimeLimit;
            }
            if is_closed {
                return self.shared.limit.get().map_or(EndReason::Stopped, |limit| EndReason::Limit(*limit));
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

    fn take(&mut self, queued: Queued) -> io::Result<()> {
        let line = match queued {
            Queued::Lines(block) => {
                let written = self.write_block(&block);
                self.shared.queue.give_back(block);
                return written;
            }
            Queued::Version(mut version) => {
                version.masked = self.shared.masks.version(&mut version);
                Line::Version(*version)
            }
            Queued::Start(mut start) => {
                self.shared.masks.start(&mut start);
                Line::Start(start)
            }
            Queued::Execution(mut line, bytes) => {
                self.shared.queue.written(bytes);
                self.shared.executions.fetch_add(1, Ordering::Relaxed);
                line.masked = self.shared.masks.execution(&mut line);
                Line::Execution(line)
            }
        };
        self.write(&line)
    }

    /// Writes a block, or as many of its lines as the file has room for: the last one is the first that exceeds it.
    fn write_block(&mut self, block: &Block) -> io::Result<()> {
        let room = self.max_bytes.saturating_sub(self.shared.bytes.load(Ordering::Relaxed));
        if (block.text.len() as u64) < room {
            return self.write_text(&block.text, block.executions);
        }
        for line in block.text.split_inclusive(|byte| *byte == b'\n') {
            self.write_text(line, 1)?;
            if self.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn write_text(&mut self, text: &[u8], executions: u64) -> io::Result<()> {
        self.shared.executions.fetch_add(executions, Ordering::Relaxed);
        self.shared.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.file.write_all(text)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        self.text.clear();
        line.append_to(&mut self.text);
        self.shared.bytes.fetch_add(self.text.len() as u64, Ordering::Relaxed);
        self.file.write_all(&self.text)
    }
}
