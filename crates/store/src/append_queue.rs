//! The queue of the writer, bounded in bytes. Events get their sequence numbers only here, so that numbers grow in the order of the
//! journal.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    Error,
    commit::{CommitProgress, OnCommit, QueuePosition},
    kept::KeptChange,
    permits::{Permits, QueuePermit},
    queries::DocumentRead,
};
use switchbox_model::{Entry, Seq};
use switchbox_support::threads;

/// How long an entry that no caller waits for may wait for others to share its commit.
const UNAWAITED_DELAY: Duration = Duration::from_millis(20);

/// How long the writer looks for what a plugin is about to submit before it sleeps: about what sleeping and being woken costs.
const SPIN: Duration = Duration::from_micros(25);
/// How many pauses of the processor there are between two looks into the queue.
const SPINS: usize = 20;

/// Items that a submitter writes itself. More are worth a commit by the writer's thread while the submitter does other work.
pub(super) const WRITTEN_HERE: usize = 4;

/// An entry from the queue until it is applied.
pub(super) struct QueuedEntry {
    /// An entry that precedes it in the same commit.
    pub(super) first: Option<Box<Entry>>,
    pub(super) entry: Entry,
    /// The commit waits for the disk.
    pub(super) sync: bool,
    pub(super) on_commit: OnCommit,
    #[allow(dead_code, reason = "held until the entry is in the journal")]
    pub(super) permit: Option<QueuePermit>,
}

/// What the writer takes from its queue.
pub(super) enum Item {
    Entry(QueuedEntry),
    /// Records up to and including this row may be removed from the journal.
    Trim {
        row: i64,
        reuse: bool,
    },
    /// Events and executions that are kept beyond the journal; written before the rows are trimmed.
    Keep {
        change: Box<KeptChange>,
        done: tokio::sync::oneshot::Sender<()>,
    },
    /// A read of the documents, with all that was submitted before.
    Read(DocumentRead),
    /// All documents made from what was submitted before are committed in `state.db`.
    Flush {
        done: tokio::sync::oneshot::Sender<()>,
        low_water: Option<Seq>,
    },
}

/// The writer, for a thread that submits entries and finds it idle.
pub(super) trait IdleWriter: Send + Sync {
    /// Writes and applies what is queued, on this thread. Returns false if the writer's thread has to do it.
    fn write_here(&self, submitted: Submitted) -> bool;
}

/// What a thread has submitted and may write itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Submitted {
    /// A few entries that do not wait for the disk.
    Few,
    /// One entry, for which its caller waits until it is on the disk.
    Awaited,
}

/// The content of the queue.
struct Queue {
    items: Vec<Item>,
    /// A caller waits for one of the items.
    urgent: bool,
    /// One of the items waits for the disk, or is not an entry. Only [`Submitted::Awaited`] is written by another thread all the same.
    for_thread: bool,
    next_seq: u64,
    /// The first numbers of the entries that were appended and whose events are being offered to the plugins: at most one per thread.
    offering: Vec<u64>,
    /// The position of the last entry.
    position: u64,
    closed: bool,
    /// The writer sleeps until it is woken. Otherwise it looks into the queue by itself, within [`UNAWAITED_DELAY`].
    asleep: bool,
}

/// Queues entries for the writer. Reached through [`Handle`](super::Handle), which derefs to it.
pub struct AppendQueue {
    queue: Mutex<Queue>,
    /// Wakes the writer: there is something to write, or the queue is closed.
    filled: Condvar,
    /// Room in the queue.
    pub permits: Permits,
    /// Set when the writer has started.
    pub(super) idle_writer: OnceLock<Box<dyn IdleWriter>>,
    /// Entries that plugins that handle an event now are likely to submit soon.
    expected_entries: AtomicU64,
    /// How far the journal has got, by events: for tasks that wait for an event.
    journal_progress: tokio::sync::watch::Sender<JournalProgress>,
    /// How far the journal has got, by entries: for connections.
    pub progress: CommitProgress,
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
        match &item {
            Item::Entry(queued) => {
                self.position += 1 + u64::from(queued.first.is_some());
                self.for_thread |= queued.sync;
            }
            _ => self.for_thread = true,
        }
        self.items.push(item);
        QueuePosition(self.position)
    }

    /// Whether the submitter may write what is queued.
    fn may_be_written_here(&self, submitted: Submitted) -> bool {
        match submitted {
            Submitted::Few => !self.for_thread && self.items.len() <= WRITTEN_HERE,
            // Not beside events: what plugins make of them shares their commit, which the writer's thread waits for.
            Submitted::Awaited => matches!(self.items.as_slice(), [Item::Entry(_)]) && self.offering.is_empty(),
        }
    }

    fn take(&mut self, into: &mut Vec<Item>) {
        (self.urgent, self.for_thread) = (false, false);
        into.append(&mut self.items);
    }
}

impl AppendQueue {
    pub(super) fn new(queue_bytes: usize, next_seq: u64) -> Self {
        Self {
            queue: Mutex::new(Queue {
                items: Vec::new(),
                urgent: false,
                for_thread: false,
                next_seq,
                offering: Vec::new(),
                position: 0,
                closed: false,
                asleep: false,
            }),
            filled: Condvar::new(),
            permits: Permits::new(queue_bytes),
            idle_writer: OnceLock::new(),
            expected_entries: AtomicU64::new(0),
            journal_progress: tokio::sync::watch::Sender::new(JournalProgress { seq: Seq(next_seq - 1), ended: false }),
            progress: CommitProgress::default(),
        }
    }

    /// Numbers the entry's events and queues it for the journal; the caller offers the events to the plugins, and then calls
    /// [`AppendQueue::wake`], also if there are none. Returns the first number (they are
    /// consecutive) and the entry's position; none when the store is closed (`on_commit` has run). `first`: an entry without events that
    /// is written with it, or not at all.
    pub fn append(
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
        // Under the lock that numbers them: no caller of `offered` finds a number that is given out and not in this list.
        queue.offering.push(first_seq.0);
        // QoS 0 events are not acknowledged, so they are not urgent. What plugins make of them has its own urgency.
        queue.urgent |= sync;
        let queued = QueuedEntry { first: first.map(Box::new), entry, sync, on_commit, permit };
        Some((first_seq, queue.push(Item::Entry(queued))))
    }

    /// Queues items in this order. If little is queued, nothing of it is for the writer's thread, and the writer is idle, this thread writes
    /// and applies it: the entries then do not wait for two changes of threads. The caller holds no lock.
    pub(super) fn push(&self, items: impl IntoIterator<Item = Item>) {
        self.push_or_write(items, Submitted::Few);
    }

    fn push_or_write(&self, items: impl IntoIterator<Item = Item>, submitted: Submitted) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            for item in items {
                if let Item::Entry(queued) = item {
                    queued.on_commit.run(Err(Error::Closed));
                }
            }
            return;
        }
        for item in items {
            queue.push(item);
        }
        queue.urgent = true;
        let may_write = queue.may_be_written_here(submitted);
        drop(queue);
        let is_written = may_write && self.idle_writer.get().is_some_and(|writer| writer.write_here(submitted));
        if !is_written {
            self.filled.notify_one();
        }
    }

    /// Queues entries in this order. `sync`: their commit waits for the disk, so this thread does not write them. The caller holds no lock.
    pub fn submit(
        &self,
        entries: impl IntoIterator<Item = (Entry, OnCommit)>,
        sync: bool,
        permit: Option<QueuePermit>,
    ) {
        let mut permit = permit;
        self.push(entries.into_iter().map(|(entry, on_commit)| {
            Item::Entry(QueuedEntry { first: None, entry, sync, on_commit, permit: permit.take() })
        }));
    }

    /// Queues an entry whose caller waits until it is on the disk. On an idle host with a fast disk this thread writes it and waits for the disk:
    /// that takes less time than two changes of threads. The caller holds no lock of a thread.
    pub(super) fn submit_awaited(&self, entry: Entry, on_commit: OnCommit, permit: QueuePermit) {
        let item = Item::Entry(QueuedEntry { first: None, entry, sync: true, on_commit, permit: Some(permit) });
        // Other work could keep this thread from a processor while it has the writer, and with it everything that waits for the journal.
        if threads::has_foreground(Instant::now()) || self.expected_entries.load(Ordering::Relaxed) > 0 {
            self.push([item]);
        } else {
            self.push_or_write([item], Submitted::Awaited);
        }
    }

    /// Queues an entry that no caller waits for: it is written with the next batch, or after `UNAWAITED_DELAY` in a batch of its own.
    /// After a crash it may be missing.
    pub fn submit_unawaited(&self, entry: Entry) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        let on_commit = OnCommit::Nothing;
        queue.push(Item::Entry(QueuedEntry { first: None, entry, sync: false, on_commit, permit: None }));
        // A writer that is not asleep looks into the queue by itself, or is woken for an item that a caller waits for.
        let is_asleep = queue.asleep;
        drop(queue);
        if is_asleep {
            self.filled.notify_one();
        }
    }

    /// Wakes the writer after [`AppendQueue::append`], which returned `first`, if a caller waits for an item or the writer sleeps: the events
    /// have been offered to the plugins. `expected`: how many plugins are handling them just now; the writer may wait a fraction of a commit
    /// for them, so that events and their effects share one.
    pub fn wake(&self, first: Seq, expected: usize) {
        self.expected_entries.fetch_add(u64::try_from(expected).unwrap_or(0), Ordering::Relaxed);
        let mut queue = self.queue.lock();
        // An entry without events has the same first number as the one after it. It does not matter which of the two is removed.
        if let Some(index) = queue.offering.iter().position(|seq| *seq == first.0) {
            queue.offering.swap_remove(index);
        }
        let is_needed = queue.urgent || queue.asleep;
        drop(queue);
        if is_needed {
            self.filled.notify_one();
        }
    }

    /// All events before this number have been offered to the plugins. Waits for no thread that offers some. If a thread panics while
    /// it offers events, these are never passed, so that the next start handles them.
    #[must_use]
    pub fn offered(&self) -> Seq {
        let queue = self.queue.lock();
        Seq(queue.offering.iter().copied().min().unwrap_or(queue.next_seq))
    }

    /// This many of the expected entries have arrived.
    pub(super) fn expected_arrived(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(0);
        let reduced = |expected: u64| Some(expected.saturating_sub(entries));
        let _ = self.expected_entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reduced);
    }

    /// Takes the items that come before `until`, if any are expected. Returns false if none came: nothing is expected any more then, or the queue
    /// is closed and empty. `spins`: waits without sleeping at first.
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
        let arrived = !queue.items.is_empty();
        queue.take(into);
        arrived
    }

    /// Waits without sleeping until there is something in the queue, for at most [`SPIN`].
    fn spin(&self) {
        let until = Instant::now() + SPIN;
        while self.queue.try_lock().is_none_or(|queue| queue.items.is_empty() && !queue.closed)
            && Instant::now() < until
        {
            (0..SPINS).for_each(|_| std::hint::spin_loop());
        }
    }

    /// The number that the next event will get.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq(self.queue.lock().next_seq)
    }

    /// Waits for items. Returns false when the queue is closed and empty.
    pub(super) fn wait(&self) -> bool {
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
        !queue.items.is_empty()
    }

    /// Takes all items. The caller holds the writer, so that they are written in their order.
    pub(super) fn take(&self, into: &mut Vec<Item>) {
        self.queue.lock().take(into);
    }

    /// As [`AppendQueue::take`], unless the writer's thread has to write them. Returns whether they were taken.
    pub(super) fn take_for_submitter(&self, submitted: Submitted, into: &mut Vec<Item>) -> bool {
        let mut queue = self.queue.lock();
        let is_taken = queue.may_be_written_here(submitted) && !queue.closed;
        if is_taken {
            queue.take(into);
        }
        is_taken
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
    pub async fn wait_until_written(&self, seq: Seq) -> Result<(), Error> {
        let mut journal_progress = self.journal_progress.subscribe();
        let reached =
            journal_progress.wait_for(|journal_progress| journal_progress.seq >= seq || journal_progress.ended).await;
        if reached.is_ok_and(|journal_progress| journal_progress.seq >= seq) { Ok(()) } else { Err(Error::Closed) }
    }

    /// Accepts no more items; what is queued is still written.
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
