//! The writer: takes the entries that are queued, appends them to the journal as one record (a row) with one fdatasync at most,
//! applies them, says how far the journal has got, and runs what follows each entry (`OnCommit`). Entries that were queued meanwhile are the next batch.
//!
//! It has a thread of its own. A thread that submits a few entries which do not wait for the disk takes the writer if it is idle: all
//! that it then does is a copy into the page cache and the change of what is in memory. On an idle host a caller that waits for its entry takes the
//! writer, too, and waits for the disk itself.

use std::{
    iter::Peekable,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Weak,
        mpsc::{SyncSender, TrySendError},
    },
    thread::Thread,
    time::{Duration, Instant},
    vec,
};

use parking_lot::Mutex;

use super::{
    Error, Machine,
    append_queue::{AppendQueue, IdleWriter, Item, QueuedEntry, Submitted},
    commit::{OnCommit, QueuePosition},
    docs::Doc,
    materialise::MaterialiserRequest,
};
use switchbox_journal::{Journal, JournalPosition, record};
use switchbox_model::{Entry, Seq};
use switchbox_support::{histogram::Histogram, threads};

/// The longest that a commit waits for the plugins that are handling its events.
const GATHER_MAX: Duration = Duration::from_millis(1);
/// Entries that are written together whatever the disk is like.
const ENTRIES_MIN: usize = 256;
/// Entries of a commit whose callbacks run together. In a larger commit they run after each group of this many.
const CALLBACKS_TOGETHER: usize = 128;
/// A batch of more entries is worth a commit of its own.
const GATHER_ENTRIES: usize = 8;
/// Bytes that the journal's file has room for when a submitter writes: another file is begun by the writer's thread, as that waits for
/// the disk.
const ROOM_HERE: u64 = 64 * 1024;

/// A submitter waits for the disk itself only while a durable commit takes no longer than this, lately: the tasks of its thread wait meanwhile.
const WAIT_HERE: Duration = Duration::from_micros(500);

pub(super) struct Writer<M> {
    pub(super) journal: Journal,
    /// The end of the journal.
    pub(super) end: JournalPosition,
    pub(super) append_queue: Arc<AppendQueue>,
    /// The position of the last entry that was applied.
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
    /// How many changes of documents the last commit made: memory for as many is allocated at once.
    pub(super) last_doc_count: usize,
    /// Changes of documents for which the queue of the materialiser had no room.
    pub(super) unsent: Option<MaterialiserRequest>,
    /// The last record; its memory is used for the next.
    pub(super) record: Vec<u8>,
    /// Why the journal cannot be written any more.
    pub(super) failed: Option<Error>,
    pub(super) fatal: Box<dyn Fn(&Error) + Send>,
}

/// Items that are written together.
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
                Item::Entry(queued) => {
                    self.durable |= queued.sync;
                    handled += handled_events(&queued.entry);
                    self.entries.push(queued);
                }
                item => self.control_items.push(item),
            }
        }
        handled
    }
}

/// How many events the entry records as handled by a plugin.
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

/// What writing and applying the item costs, as a number of entries that do one thing.
fn weight(item: &Item) -> usize {
    match item {
        Item::Entry(queued) => handled_events(&queued.entry).max(1),
        _ => 1,
    }
}

impl<M: Machine> Writer<M> {
    /// The writer's thread.
    pub(super) fn run(writer: &Mutex<Self>, append_queue: &AppendQueue) {
        let mut items = Vec::new();
        while append_queue.wait() {
            let mut writer = writer.lock();
            append_queue.take(&mut items);
            let mut waiting = std::mem::take(&mut items).into_iter().peekable();
            writer.send_unsent();
            while waiting.peek().is_some() {
                writer.batch(&mut waiting, true);
                writer.send_unsent();
            }
        }
        writer.lock().send_unsent();
        append_queue.record_ended();
    }

    /// Writes the few items that are queued, on the thread that queued the last of them.
    fn write_here(&mut self, submitted: Submitted) -> bool {
        let is_slow = submitted == Submitted::Awaited && self.commit_time > WAIT_HERE;
        if is_slow || self.failed.is_some() || self.unsent.is_some() || !self.journal.has_room(ROOM_HERE) {
            return false;
        }
        let mut items = Vec::new();
        self.append_queue.take_for_submitter(submitted, &mut items) && {
            self.batch(&mut items.into_iter().peekable(), false);
            true
        }
    }

    /// How many entries are written together: as many as take a few times as long to write and apply as one sync of the disk. Fewer would waste
    /// the disk, more would make every caller wait for one long batch.
    fn max_entries(&self) -> usize {
        usize::try_from(self.disk_time.as_micros() * 3).unwrap_or(usize::MAX).max(ENTRIES_MIN)
    }

    /// Writes and applies the next items of `waiting`, as many as are written together. `gathers`: may wait for what plugins make of their events.
    fn batch(&mut self, waiting: &mut Peekable<vec::IntoIter<Item>>, gathers: bool) {
        let mut capacity = self.max_entries();
        let mut batch =
            CommitBatch { entries: Vec::with_capacity(waiting.len().min(capacity)), ..CommitBatch::default() };
        let fitting = std::iter::from_fn(|| {
            let item = if capacity > 0 { waiting.next() } else { None };
            capacity = capacity.saturating_sub(item.as_ref().map_or(0, weight));
            item
        });
        self.append_queue.expected_arrived(batch.add(fitting));
        // Not if entries are waiting that did not fit: the journal has the order in which entries were queued.
        if gathers && batch.durable && batch.entries.len() <= GATHER_ENTRIES && waiting.peek().is_none() {
            // What a plugin does in a fraction of the time that the disk takes need not wait for a commit of its own.
            let until = Instant::now() + (self.commit_time / 2).min(GATHER_MAX);
            let mut late_items = Vec::new();
            // A single entry means little load, so that the processors are idle.
            while self.append_queue.take_expected(until, batch.entries.len() == 1, &mut late_items) {
                self.append_queue.expected_arrived(batch.add(late_items.drain(..)));
            }
        }
        let CommitBatch { entries, control_items, durable } = batch;
        if !entries.is_empty() {
            let committed = match &self.failed {
                // Entries after a failure may depend on entries that were lost.
                Some(error) => Err(error.clone()),
                None => self.commit(&entries, durable),
            };
            match committed {
                Ok(()) => self.apply(entries),
                Err(error) => self.fail(entries, error),
            }
        }
        if !control_items.is_empty() {
            self.send_unsent();
        }
        for item in control_items {
            self.control(item);
        }
    }

    /// Appends the entries to the journal as one record.
    fn commit(&mut self, entries: &[QueuedEntry], durable: bool) -> Result<(), Error> {
        let record = &mut self.record;
        record::begin(record);
        let mut last_seq = self.end.last_seq;
        for QueuedEntry { first, entry, .. } in entries {
            for entry in first.as_deref().into_iter().chain([entry]) {
                record::encode(entry, record)?;
                last_seq = record::last_seq(entry).unwrap_or(last_seq);
            }
        }
        let begun = Instant::now();
        self.end = self.journal.append(record, last_seq, durable)?;
        if durable {
            let elapsed = begun.elapsed();
            self.commit_histogram.record_traced(elapsed, None);
            self.commit_time = (self.commit_time * 7 + elapsed) / 8;
            self.disk_time = (self.disk_time + self.disk_time / 64).min(elapsed);
        }
        self.append_queue.record_written(last_seq);
        if record.capacity() > 4 * 1024 * 1024 {
            *record = Vec::new();
        }
        Ok(())
    }

    /// Applies the entries, and runs what follows each. Callbacks run after a group of entries is applied: a connection that is woken then finds
    /// its acknowledgement and what the commit has for it, and writes them together.
    fn apply(&mut self, entries: Vec<QueuedEntry>) {
        let (mut docs, mut replies) = (Vec::with_capacity(self.last_doc_count), Vec::with_capacity(entries.len()));
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            for QueuedEntry { first, entry, on_commit, .. } in entries.by_ref().take(CALLBACKS_TOGETHER) {
                if let Some(first) = first {
                    self.machine.apply(*first, &mut docs);
                    self.position.0 += 1;
                }
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
        self.last_doc_count = docs.len();
        self.materialise(docs);
    }

    /// Sends the changes to the materialiser, or keeps them in `unsent`. The materialiser ends after the writer's thread does.
    fn materialise(&mut self, docs: Vec<Doc>) {
        let request = MaterialiserRequest::Docs { row: self.end.row, docs };
        if let Err(TrySendError::Full(request)) = self.materialiser.try_send(request) {
            self.unsent = Some(request);
        }
    }

    /// Sends the materialiser what it had no room for, and waits until it has.
    fn send_unsent(&mut self) {
        if let Some(request) = self.unsent.take() {
            let _ = self.materialiser.send(request);
        }
    }

    /// Ends the writer: each callback gets the error, and each task that is woken finds it. What plugins have in memory may be ahead of the
    /// journal now, so the host stops.
    fn fail(&mut self, entries: Vec<QueuedEntry>, error: Error) {
        tracing::error!(%error, entries = entries.len(), "the journal cannot be written; stopping");
        self.append_queue.progress.record_failed(&error);
        for queued in entries {
            queued.on_commit.run(Err(error.clone()));
        }
        self.append_queue.close();
        self.append_queue.record_ended();
        (self.fatal)(&error);
        self.failed = Some(error);
    }

    /// Does what an item asks for that is not an entry.
    fn control(&mut self, item: Item) {
        match item {
            Item::Trim { row, reuse } => {
                if let Err(error) = self.journal.trim(row, reuse) {
                    tracing::warn!(%error, "old files of the journal cannot be removed");
                }
            }
            // Entries that were submitted before it are lost, so nothing may show them or say that they are settled: each waiter gets the error
            // that the store is closed, and the low water stays where the journal still has everything.
            Item::Flush { .. } | Item::Read(_) if self.failed.is_some() => {}
            Item::Read(read) => {
                let _ = self.materialiser.send(MaterialiserRequest::Read(read));
                // The caller of the item waits, so the thread does not sleep for its whole pause.
                self.materialiser_thread.unpark();
            }
            Item::Flush { done, low_water } => {
                let low_water = low_water.map(|Seq(seq)| Seq(seq.min(self.end.last_seq.0 + 1)));
                let _ = self.materialiser.send(MaterialiserRequest::Flush { done, low_water });
            }
            Item::Keep { change, done } => {
                let _ = self.materialiser.send(MaterialiserRequest::Keep { change, done });
            }
            Item::Entry(_) => {}
        }
    }
}

impl<M: Machine> IdleWriter for Weak<Mutex<Writer<M>>> {
    fn write_here(&self, submitted: Submitted) -> bool {
        let Some(writer) = self.upgrade() else { return false };
        let Some(mut writer) = writer.try_lock() else { return false };
        let write = || threads::as_journal_writer(|| writer.write_here(submitted));
        let written = std::panic::catch_unwind(AssertUnwindSafe(write));
        written.unwrap_or_else(|_| {
            let panicked = Error::Panicked { thread: "journal-writer" };
            writer.append_queue.close();
            writer.append_queue.record_ended();
            (writer.fatal)(&panicked);
            writer.failed = Some(panicked);
            false
        })
    }
}

#[cfg(test)]
mod tests;
