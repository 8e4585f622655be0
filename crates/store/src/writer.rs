//! The writer thread: takes the entries that are queued, appends them to the journal as one record (a row) with one fdatasync at most,
//! applies them, says how far the journal has got, and runs what follows each entry (`OnCommit`). Entries that were queued meanwhile are the next batch.

use std::{
    iter::Peekable,
    sync::{Arc, mpsc::SyncSender},
    thread::Thread,
    time::{Duration, Instant},
    vec,
};

use super::{
    Error, Machine,
    append_queue::{AppendQueue, Item},
    commit::{OnCommit, QueuePosition},
    docs::Doc,
    materialise::MaterialiserRequest,
    permits::QueuePermit,
};
use switchbox_journal::{Journal, JournalPosition, record};
use switchbox_model::{Entry, Seq};
use switchbox_support::histogram::Histogram;

/// The longest that a commit waits for the plugins that are handling its events.
const GATHER_MAX: Duration = Duration::from_millis(1);
/// Entries that are written together whatever the disk is like.
const ENTRIES_MIN: usize = 256;
/// Entries of a commit whose callbacks run together. In a larger commit they run after each group of this many.
const CALLBACKS_TOGETHER: usize = 128;
/// A batch of more entries is worth a commit of its own.
const GATHER_ENTRIES: usize = 8;

pub(super) struct Writer<M> {
    pub(super) journal: Journal,
    pub(super) end: JournalPosition,
    pub(super) append_queue: Arc<AppendQueue>,
    /// Of the last entry that was taken from the queue.
    pub(super) position: QueuePosition,
    pub(super) machine: M,
    pub(super) materialiser: SyncSender<MaterialiserRequest>,
    pub(super) materialiser_thread: Thread,
    /// How long a durable commit takes, lately.
    pub(super) commit_time: Duration,
    /// The least that a durable commit takes, lately: the disk's share.
    pub(super) disk_time: Duration,
    /// How long each durable commit takes.
    pub(super) commit_histogram: Histogram,
    /// How many documents the last commit made: room for as many is made at once.
    pub(super) docs_before: usize,
    pub(super) failed: Option<Error>,
    pub(super) fatal: Box<dyn Fn(&Error) + Send>,
}

struct QueuedEntry {
    entry: Entry,
    on_commit: OnCommit,
    #[allow(dead_code, reason = "held until the entry is in the journal")]
    permit: Option<QueuePermit>,
}

/// What is written together.
#[derive(Default)]
struct CommitBatch {
    entries: Vec<QueuedEntry>,
    control_items: Vec<Item>,
    /// The commit waits for the disk.
    durable: bool,
}

impl CommitBatch {
    /// Returns how many of the items are of plugins that have handled an event.
    fn add(&mut self, items: impl Iterator<Item = Item>) -> usize {
        let mut handled = 0;
        for item in items {
            match item {
                Item::Entry { first, entry, sync, on_commit, permit } => {
                    self.durable |= sync;
                    let first =
                        first.map(|first| QueuedEntry { entry: *first, on_commit: OnCommit::Nothing, permit: None });
                    self.entries.extend(first);
                    handled += handled_events(&entry);
                    self.entries.push(QueuedEntry { entry, on_commit, permit });
                }
                item => self.control_items.push(item),
            }
        }
        handled
    }
}

/// Events that a plugin has handled.
fn handled_events(entry: &Entry) -> usize {
    match entry {
        Entry::Handled(run) => run.events.len(),
        Entry::Events { .. }
        | Entry::HeldBack(_)
        | Entry::Called(_)
        | Entry::Settled(_)
        | Entry::CommandsSettled { .. }
        | Entry::Registry { .. }
        | Entry::DeviceDeleted { .. }
        | Entry::Operator { .. }
        | Entry::Plugin { .. }
        | Entry::PluginStarts { .. }
        | Entry::DeadLettersDropped { .. }
        | Entry::Broker(_)
        | Entry::QueueLimit { .. }
        | Entry::Barrier
        | Entry::ClockSet { .. } => 0,
    }
}

/// What writing and applying it takes, in entries that do one thing.
fn weight(item: &Item) -> usize {
    match item {
        Item::Entry { entry, .. } => handled_events(entry).max(1),
        _ => 1,
    }
}

impl<M: Machine> Writer<M> {
    pub(super) fn run(mut self) {
        let mut items = Vec::new();
        let mut record = Vec::new();
        while self.append_queue.take(&mut items) {
            let mut waiting = std::mem::take(&mut items).into_iter().peekable();
            while waiting.peek().is_some() {
                self.batch(&mut waiting, &mut record);
            }
        }
        self.append_queue.record_ended();
    }

    /// As many entries as take a few times as long to write and apply as one sync of the disk: fewer would waste the disk, more
    /// would make every caller wait for one long batch.
    fn most_entries(&self) -> usize {
        usize::try_from(self.disk_time.as_micros() * 3).unwrap_or(usize::MAX).max(ENTRIES_MIN)
    }

    fn batch(&mut self, waiting: &mut Peekable<vec::IntoIter<Item>>, record: &mut Vec<u8>) {
        let mut capacity = self.most_entries();
        let mut batch =
            CommitBatch { entries: Vec::with_capacity(waiting.len().min(capacity)), ..CommitBatch::default() };
        let fitting = std::iter::from_fn(|| {
            let item = if capacity > 0 { waiting.next() } else { None };
            capacity = capacity.saturating_sub(item.as_ref().map_or(0, weight));
            item
        });
        self.append_queue.expected_arrived(batch.add(fitting));
        // Not if entries are waiting that did not fit: the journal has the order in which entries were queued.
        if batch.durable && batch.entries.len() <= GATHER_ENTRIES && waiting.peek().is_none() {
            // What a plugin does in a fraction of the time that the disk takes need not wait for a commit of its own.
            let until = Instant::now() + (self.commit_time / 2).min(GATHER_MAX);
            let mut more = Vec::new();
            // A single entry means little load, so that the processors are idle.
            while self.append_queue.take_expected(until, batch.entries.len() == 1, &mut more) {
                self.append_queue.expected_arrived(batch.add(more.drain(..)));
            }
        }
        let CommitBatch { entries, control_items, durable } = batch;
        if !entries.is_empty() {
            let committed = match &self.failed {
                // What comes after a failure may rest on what was lost.
                Some(error) => Err(error.clone()),
                None => self.commit(&entries, durable, record),
            };
            match committed {
                Ok(()) => self.apply(entries),
                Err(error) => self.fail(entries, error),
            }
        }
        for item in control_items {
            self.control(item);
        }
    }

    fn commit(&mut self, entries: &[QueuedEntry], durable: bool, record: &mut Vec<u8>) -> Result<(), Error> {
        record::begin(record);
        let mut last_seq = self.end.last_seq;
        for pending in entries {
            record::encode(&pending.entry, record)?;
            last_seq = record::last_seq(&pending.entry).unwrap_or(last_seq);
        }
        let begun = Instant::now();
        self.end = self.journal.append(record, last_seq, durable)?;
        if durable {
            let took = begun.elapsed();
            self.commit_histogram.record(took);
            self.commit_time = (self.commit_time * 7 + took) / 8;
            self.disk_time = (self.disk_time + self.disk_time / 64).min(took);
        }
        self.append_queue.record_written(last_seq);
        if record.capacity() > 4 * 1024 * 1024 {
            *record = Vec::new();
        }
        Ok(())
    }

    /// Callbacks run after a group of entries is applied: a connection that is woken then finds its acknowledgement and what
    /// the commit has for it, and writes them together.
    fn apply(&mut self, entries: Vec<QueuedEntry>) {
        let (mut docs, mut replies) = (Vec::with_capacity(self.docs_before), Vec::with_capacity(entries.len()));
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            for QueuedEntry { entry, on_commit, .. } in entries.by_ref().take(CALLBACKS_TOGETHER) {
                let reply = self.machine.apply(entry, &mut docs);
                self.position.0 += 1;
                if !matches!(on_commit, OnCommit::Nothing) {
                    replies.push((on_commit, reply));
                }
            }
            self.append_queue.progress.record_committed(self.position);
            for (on_commit, reply) in replies.drain(..) {
                on_commit.run(Ok(reply));
            }
            self.machine.committed();
        }
        self.docs_before = docs.len();
        self.materialise(docs);
    }

    fn materialise(&self, docs: Vec<Doc>) {
        // The materialiser ends after this thread does.
        let _ = self.materialiser.send(MaterialiserRequest::Docs { row: self.end.row, docs });
    }

    /// Each callback gets the error, and each task that is woken finds it. What plugins have in memory may be ahead of the journal now, so the host stops.
    fn fail(&mut self, entries: Vec<QueuedEntry>, error: Error) {
        tracing::error!(%error, entries = entries.len(), "the journal cannot be written; stopping");
        self.append_queue.progress.record_failed(&error);
        for pending in entries {
            pending.on_commit.run(Err(error.clone()));
        }
        self.append_queue.close();
        self.append_queue.record_ended();
        (self.fatal)(&error);
        self.failed = Some(error);
    }

    fn control(&mut self, item: Item) {
        match item {
            Item::Trim { row, reuse } => {
                if let Err(error) = self.journal.trim(row, reuse) {
                    tracing::warn!(%error, "old files of the journal cannot be removed");
                }
            }
            // What was submitted before it is lost, so nothing may show it or say that it is settled: each waiter gets the error that
            // the store is closed, and the low water stays where the journal still has everything.
            Item::Flush { .. } | Item::Read(_) if self.failed.is_some() => {}
            Item::Read(read) => {
                let _ = self.materialiser.send(MaterialiserRequest::Read(read));
                // Its caller waits, so the thread does not sleep for its whole pause.
                self.materialiser_thread.unpark();
            }
            Item::Flush { done, low_water } => {
                let low_water = low_water.map(|Seq(seq)| Seq(seq.min(self.end.last_seq.0 + 1)));
                let _ = self.materialiser.send(MaterialiserRequest::Flush { done, low_water });
            }
            Item::Keep { change, done } => {
                let _ = self.materialiser.send(MaterialiserRequest::Keep { change, done });
            }
            Item::Entry { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
