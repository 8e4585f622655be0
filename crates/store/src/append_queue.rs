//! The queue of the writer, bounded in bytes. Events get their sequence numbers only here, so that numbers grow in the order of the
//! journal.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    Error,
    commit::{CommitProgress, OnCommit, QueuePosition},
    kept::KeptChange,
    permits::{Permits, QueuePermit},
    queries::DocumentRead,
};
use switchbox_model::{Entry, Seq};

/// How long an entry that no caller waits for may wait for others to share its commit.
const UNAWAITED_DELAY: Duration = Duration::from_millis(20);

/// How long the writer looks for what a plugin is about to submit before it sleeps: about what sleeping and being woken costs.
const SPIN: Duration = Duration::from_micros(25);
/// How often it waits for the processor between two looks.
const SPINS: usize = 20;

pub(super) enum Item {
    Entry {
        /// An entry that precedes it in the same commit.
        first: Option<Box<Entry>>,
        entry: Entry,
        /// The commit waits for the disk.
        sync: bool,
        on_commit: OnCommit,
        #[allow(dead_code, reason = "held for its drop")]
        permit: Option<QueuePermit>,
    },
    /// Records up to and including this row may be removed from the journal.
    Trim { row: i64, reuse: bool },
    /// Events and executions that are kept beyond the journal; written before the rows are trimmed.
    Keep { change: Box<KeptChange>, done: tokio::sync::oneshot::Sender<()> },
    /// Of the documents, with all that was submitted before.
    Read(DocumentRead),
    /// All documents made from what was submitted before are committed in `state.db`.
    Flush { done: tokio::sync::oneshot::Sender<()>, low_water: Option<Seq> },
}

struct Queue {
    items: Vec<Item>,
    /// A caller waits for one of the items.
    urgent: bool,
    next_seq: u64,
    /// Of the last entry.
    position: u64,
    closed: bool,
    /// The writer sleeps until it is woken. Otherwise it looks into the queue by itself, within [`UNAWAITED_DELAY`].
    asleep: bool,
}

pub(super) struct AppendQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
    pub(super) permits: Permits,
    /// Entries that plugins that handle an event now are likely to submit soon.
    expected_entries: AtomicU64,
    /// By events, for tasks that wait for one.
    journal_progress: tokio::sync::watch::Sender<JournalProgress>,
    /// By entries, for connections.
    pub(super) progress: CommitProgress,
}

/// How far the journal has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct JournalProgress {
    /// The last event that is in the journal.
    seq: Seq,
    /// No more will be written.
    ended: bool,
}

impl Queue {
    /// Returns the position of the entry, or of the last one before it.
    fn push(&mut self, item: Item) -> QueuePosition {
        if let Item::Entry { first, .. } = &item {
            self.position += 1 + u64::from(first.is_some());
        }
        self.items.push(item);
        QueuePosition(self.position)
    }
}

impl AppendQueue {
    pub(super) fn new(queue_bytes: usize, next_seq: u64) -> Self {
        Self {
            queue: Mutex::new(Queue {
                items: Vec::new(),
                urgent: false,
                next_seq,
                position: 0,
                closed: false,
                asleep: false,
            }),
            filled: Condvar::new(),
            permits: Permits::new(queue_bytes),
            expected_entries: AtomicU64::new(0),
            journal_progress: tokio::sync::watch::Sender::new(JournalProgress { seq: Seq(next_seq - 1), ended: false }),
            progress: CommitProgress::default(),
        }
    }

    /// Numbers the entry's events and queues it, without waking the writer. Returns the first number and the entry's position; none
    /// when the store is closed (`on_commit` has run). `first`: an entry without events that is written with it, or not at all.
    pub(super) fn append(
        &self,
        first: Option<Entry>,
        mut entry: Entry,
        sync: bool,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
    ) -> Option<(Seq, QueuePosition)> {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            on_commit.run(Err(Error::Closed));
            return None;
        }
        let first_seq = Seq(queue.next_seq);
        for event in entry.events_mut() {
            event.seq = Seq(queue.next_seq);
            queue.next_seq += 1;
        }
        // QoS 0 events are not acknowledged, so they are not urgent. What plugins make of them has its own urgency.
        queue.urgent |= sync;
        let item = Item::Entry { first: first.map(Box::new), entry, sync, on_commit, permit };
        Some((first_seq, queue.push(item)))
    }

    /// Queues items in this order.
    pub(super) fn push(&self, items: impl IntoIterator<Item = Item>) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            for item in items {
                if let Item::Entry { on_commit, .. } = item {
                    on_commit.run(Err(Error::Closed));
                }
            }
            return;
        }
        for item in items {
            queue.push(item);
        }
        queue.urgent = true;
        drop(queue);
        self.filled.notify_one();
    }

    /// Queues an entry that has no waiting caller: it is written with the next batch, or after `UNAWAITED_DELAY` in a batch of its own.
    pub(super) fn push_unawaited(&self, entry: Entry) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        queue.push(Item::Entry { first: None, entry, sync: false, on_commit: OnCommit::Nothing, permit: None });
        self.wake_if_needed(queue);
    }

    /// Wakes the writer for what was appended; about this many entries of plugins will follow soon.
    pub(super) fn wake(&self, expected: usize) {
        self.expected_entries.fetch_add(u64::try_from(expected).unwrap_or(0), Ordering::Relaxed);
        self.wake_if_needed(self.queue.lock());
    }

    /// Under load the writer is not woken for what no caller waits for: what follows from it wakes it a moment later.
    fn wake_if_needed(&self, queue: MutexGuard<'_, Queue>) {
        let needed = queue.urgent || queue.asleep;
        drop(queue);
        if needed {
            self.filled.notify_one();
        }
    }

    /// This many of the expected entries have arrived.
    pub(super) fn expected_arrived(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(0);
        let less = |expected: u64| Some(expected.saturating_sub(entries));
        let _ = self.expected_entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Takes what comes until then, if anything is expected at all. Returns false if nothing came in time, so that nothing is expected
    /// any more, or if the queue is closed and empty. `spins`: looks again and again for a moment before it sleeps.
    pub(super) fn take_expected(&self, until: Instant, spins: bool, into: &mut Vec<Item>) -> bool {
        if self.expected_entries.load(Ordering::Relaxed) == 0 {
            return false;
        }
        if spins {
            self.spin();
        }
        let mut queue = self.queue.lock();
        while queue.items.is_empty() && !queue.closed {
            if self.filled.wait_until(&mut queue, until).timed_out() {
                self.expected_entries.store(0, Ordering::Relaxed);
                return false;
            }
        }
        queue.urgent = false;
        let arrived = !queue.items.is_empty();
        into.append(&mut queue.items);
        arrived
    }

    /// Until there is something in the queue, but not for long.
    fn spin(&self) {
        let until = Instant::now() + SPIN;
        while self.queue.try_lock().is_none_or(|queue| queue.items.is_empty() && !queue.closed)
            && Instant::now() < until
        {
            (0..SPINS).for_each(|_| std::hint::spin_loop());
        }
    }

    /// The number that the next event will get.
    pub(super) fn next_seq(&self) -> Seq {
        Seq(self.queue.lock().next_seq)
    }

    /// Waits for items and takes all of them. Returns false when the queue is closed and empty.
    pub(super) fn take(&self, into: &mut Vec<Item>) -> bool {
        let mut queue = self.queue.lock();
        let mut until = Instant::now() + UNAWAITED_DELAY;
        while (!queue.urgent || queue.items.is_empty()) && !queue.closed {
            if !self.filled.wait_until(&mut queue, until).timed_out() {
                continue;
            }
            if !queue.items.is_empty() {
                break;
            }
            queue.asleep = true;
            while queue.items.is_empty() && !queue.closed {
                self.filled.wait(&mut queue);
            }
            queue.asleep = false;
            until = Instant::now() + UNAWAITED_DELAY;
        }
        queue.urgent = false;
        std::mem::swap(&mut queue.items, into);
        !into.is_empty()
    }

    /// All events up to and including this one are in the journal, but not necessarily on the disk.
    pub(super) fn record_written(&self, seq: Seq) {
        self.journal_progress
            .send_if_modified(|journal_progress| std::mem::replace(&mut journal_progress.seq, seq) != seq);
    }

    /// The writer has ended: what is not in the journal by now will never be.
    pub(super) fn record_ended(&self) {
        self.journal_progress.send_modify(|journal_progress| journal_progress.ended = true);
    }

    /// Waits until the event is in the journal; whether on the disk depends on how it was submitted. The error: it never will be.
    pub(super) async fn wait_until_written(&self, seq: Seq) -> Result<(), Error> {
        let mut journal_progress = self.journal_progress.subscribe();
        let reached =
            journal_progress.wait_for(|journal_progress| journal_progress.seq >= seq || journal_progress.ended).await;
        if reached.is_ok_and(|journal_progress| journal_progress.seq >= seq) { Ok(()) } else { Err(Error::Closed) }
    }

    /// Takes nothing new; what is queued is still written.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.permits.close();
        self.filled.notify_all();
    }
}

impl std::fmt::Debug for AppendQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppendQueue")
    }
}

#[cfg(test)]
mod tests;
