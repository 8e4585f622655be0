//! What is to be written to a recording: lines in blocks of text, which workers fill and the writer empties, and what the writer makes
//! into lines itself. Bounded by its bytes; what finds no room is refused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::recording::{ExecutionLine, StartLine, VersionLine};
use switchbox_model::limits::RECORDING_QUEUE_BYTES;

/// Bytes of a block. Lines that are longer together have a block of their own. The file system takes a long write for a third less time
/// than the same bytes in writes of 60,000 (0.28 and 0.39 ns for a byte).
const BLOCK_BYTES: usize = 256 * 1024;
/// Empty blocks that are kept for the next lines.
const EMPTY_BLOCKS: usize = 16;
/// A queue that was full has no room until it has fewer bytes. So executions are left out many at a time, and workers rarely start a new
/// instance after that.
const ROOM_AGAIN_BYTES: u64 = RECORDING_QUEUE_BYTES / 2;
/// Starts of instances, and their versions, that are in the queue at once.
const STARTS: usize = 1024;

/// Lines of executions, each with its line end.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) text: Vec<u8>,
    pub(crate) executions: u64,
}

#[derive(Debug)]
pub(crate) enum Queued {
    Lines(Block),
    Version(Box<VersionLine>),
    Start(StartLine),
    /// An execution that is long, or may have secrets, with the bytes that it takes in the queue.
    Execution(Box<ExecutionLine>, u64),
}

/// The queue. A caller that adds something never waits for the writer.
#[derive(Debug, Default)]
pub(crate) struct LineQueue {
    inner: Mutex<Inner>,
    /// Bytes of executions that are not written yet.
    bytes: AtomicU64,
    /// It was full, and has more than [`ROOM_AGAIN_BYTES`].
    full: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    queued: Vec<Queued>,
    starts: usize,
    empty: Vec<Block>,
}

impl LineQueue {
    /// Whether there is room for another execution.
    pub(crate) fn has_room(&self) -> bool {
        let was_full = self.full.load(Ordering::Relaxed);
        let most = if was_full { ROOM_AGAIN_BYTES } else { RECORDING_QUEUE_BYTES };
        let has_room = self.bytes.load(Ordering::Relaxed) < most;
        if has_room == was_full {
            self.full.store(!has_room, Ordering::Relaxed);
        }
        has_room
    }

    /// Adds the lines of executions, if there are any. Returns how many executions find no room: all of them, or none. Both arguments are
    /// empty afterwards.
    pub(crate) fn push_lines(&self, text: &mut Vec<u8>, executions: &mut u64) -> u64 {
        let added = std::mem::take(executions);
        let queued = added == 0 || self.push_text(text, added);
        text.clear();
        if queued { 0 } else { added }
    }

    fn push_text(&self, text: &[u8], executions: u64) -> bool {
        let mut inner = self.inner.lock();
        if !self.reserve(text.len() as u64) {
            return false;
        }
        if let Some(Queued::Lines(block)) = inner.queued.last_mut()
            && block.text.len() + text.len() <= BLOCK_BYTES
        {
            block.add(text, executions);
            return true;
        }
        let mut block = inner.empty.pop().unwrap_or_default();
        block.add(text, executions);
        inner.queued.push(Queued::Lines(block));
        true
    }

    /// Adds an execution for which the writer makes the line. Returns false if there is no room for so many bytes.
    pub(crate) fn push_execution(&self, line: ExecutionLine, bytes: u64) -> bool {
        let mut inner = self.inner.lock();
        let has_room = self.reserve(bytes);
        if has_room {
            inner.queued.push(Queued::Execution(Box::new(line), bytes));
        }
        has_room
    }

    /// Adds the start of an instance or its version. Returns false if there are too many.
    pub(crate) fn push_start(&self, start: Queued) -> bool {
        let mut inner = self.inner.lock();
        let has_room = inner.starts < STARTS;
        if has_room {
            inner.starts += 1;
            inner.queued.push(start);
        }
        has_room
    }

    /// Takes everything that was added since the last call.
    pub(crate) fn take(&self) -> Vec<Queued> {
        let mut inner = self.inner.lock();
        inner.starts = 0;
        std::mem::take(&mut inner.queued)
    }

    /// These bytes of executions were written.
    pub(crate) fn written(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The block was written.
    pub(crate) fn give_back(&self, mut block: Block) {
        self.written(block.text.len() as u64);
        block.text.clear();
        block.executions = 0;
        let mut inner = self.inner.lock();
        if inner.empty.len() < EMPTY_BLOCKS && block.text.capacity() <= 2 * BLOCK_BYTES {
            inner.empty.push(block);
        }
    }

    /// Called with the lock held, so that no two callers get the same room.
    fn reserve(&self, bytes: u64) -> bool {
        let has_room = self.bytes.load(Ordering::Relaxed) + bytes <= RECORDING_QUEUE_BYTES;
        if has_room {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.full.store(true, Ordering::Relaxed);
        }
        has_room
    }
}

impl Block {
    fn add(&mut self, lines: &[u8], executions: u64) {
        self.text.extend_from_slice(lines);
        self.executions += executions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_was_full_has_room_again_when_it_is_half_empty() {
        let queue = LineQueue::default();
        let line = vec![b'x'; 1024 * 1024];
        while queue.has_room() {
            assert!(queue.push_text(&line, 1));
        }
        assert!(!queue.push_text(&line, 1));
        let half = RECORDING_QUEUE_BYTES / 2 / line.len() as u64;
        for freed in 1..=half + 1 {
            queue.written(line.len() as u64);
            assert_eq!(queue.has_room(), freed > half, "{freed}");
        }
        // Too large for what is left: the next ones are left out with it.
        (0..half).for_each(|_| assert!(queue.push_text(&line, 1)));
        assert!(queue.has_room());
        assert!(!queue.push_text(&[line.clone(), line].concat(), 1) && !queue.has_room());
    }
}
