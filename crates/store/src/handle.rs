//! The interface to the store for the rest of the host: queueing entries, waiting for them, and reading.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    Error, JournalPage, JournalRow, Reply,
    append_queue::{AppendQueue, Item, QueuedEntry},
    command_docs::{CommandDoc, CommandFilter, CommandPage, DueCommand},
    commands,
    commit::OnCommit,
    docs::{ConfigVersion, StateVersion},
    documents,
    kept::KeptRecord,
    lock::Lock,
    permits::QueueShare,
    queries::{self, DocumentRead},
    reader::Reader,
    retention::Retention,
    space::Space,
};
use switchbox_model::{CallRecord, DeadLetter, DeviceNum, Entry, Seq};

/// The store, for the rest of the host: queues entries, waits for them, and reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) append_queue: Arc<AppendQueue>,
    pub(super) reader: Arc<Reader>,
    /// What was found for earlier trims.
    pub(super) retention_state: Arc<Mutex<Retention>>,
    /// Held by the service alone: a handle that outlives it keeps no other host out.
    pub(super) lock: Weak<Lock>,
    pub(super) space: Arc<Space>,
    /// Bytes of the journal that are kept for history.
    pub(super) keep_bytes: u64,
}

impl Deref for Handle {
    type Target = AppendQueue;

    fn deref(&self) -> &AppendQueue {
        &self.append_queue
    }
}

impl Handle {
    /// Writes one entry and waits until it is durable and applied.
    pub async fn call(&self, entry: Entry) -> Result<Reply, Error> {
        let permit = self.permits.reserve(1024, QueueShare::Whole).await?;
        let (done, reply) = tokio::sync::oneshot::channel();
        let on_commit = OnCommit::Call(Box::new(move |result| {
            let _ = done.send(result);
        }));
        self.append_queue.submit_awaited(entry, on_commit, permit);
        reply.await.map_err(|_| Error::Closed)?
    }

    /// Waits until the documents that show all that was submitted before are on the disk. With `low_water`, also stores that all events
    /// before it are handled. A read needs no flush.
    pub async fn flush(&self, low_water: Option<Seq>) -> Result<(), Error> {
        let (done, flushed) = tokio::sync::oneshot::channel();
        // The entry makes sure that what came before is durable, not only written.
        let on_commit = OnCommit::Nothing;
        let barrier = QueuedEntry { first: None, entry: Entry::Barrier, sync: true, on_commit, permit: None };
        let items = low_water.is_some().then_some(Item::Entry(barrier));
        self.append_queue.push(items.into_iter().chain([Item::Flush { done, low_water }]));
        flushed.await.map_err(|_| Error::Closed)
    }

    /// Trims the journal: drops rows that are before `low_water`, are in the documents, and exceed the bytes to keep.
    pub async fn trim(&self, low_water: Seq) -> Result<(), Error> {
        let (space, keep_bytes) = (self.space.clone(), self.keep_bytes);
        let trimmable = move |reader: &Reader| {
            let keep = space.retention_bytes(keep_bytes, reader.journal_bytes_from(0));
            Ok(reader.trimmable(low_water, keep, reader.applied()?))
        };
        let row = self.read(trimmable).await?;
        let Some(row) = row else { return Ok(()) };
        let retention_state = self.retention_state.clone();
        let change = self.read(move |reader| retention_state.lock().change_before_trim(reader, row, low_water)).await?;
        // Records that outlive the files are written before the files are deleted.
        let (done, kept) = tokio::sync::oneshot::channel();
        self.append_queue.push([Item::Keep { change: Box::new(change), done }]);
        kept.await.map_err(|_| Error::Closed)?;
        self.append_queue.push([Item::Trim { row, reuse: !self.space.is_low() }]);
        Ok(())
    }

    /// Bytes that are free where the data folder is; `None` if the system does not say.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.space.free().ok()
    }

    /// Checks that the data folder is still in its place, and how much room is left. On an error the host has to stop.
    pub async fn check_space(&self) -> Result<(), Error> {
        let (lock, space) = (self.lock.clone(), self.space.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let lock = lock.upgrade().ok_or(Error::Closed)?;
            lock.check().map_err(|error| Error::Gone(error.to_string()))?;
            if let Err(error) = space.check() {
                tracing::debug!(%error, "the free disk space is unknown");
            }
            Ok(())
        });
        checked.await.map_err(|_| Error::Closed)?
    }

    /// Runs a blocking read on another thread.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = self.reader.clone();
        tokio::task::spawn_blocking(move || read(&reader)).await.map_err(|_| Error::Closed)?
    }

    /// Reads the documents with all that was submitted before, which need not be committed. For a bounded number of rows, because the thread
    /// that writes documents does it.
    async fn read_latest<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, found) = tokio::sync::oneshot::channel();
        let read: DocumentRead = Box::new(move |db| {
            // If the channel is closed, the caller waits no more.
            if !done.is_closed() {
                let _ = done.send(read(db));
            }
        });
        self.append_queue.push([Item::Read(read)]);
        found.await.map_err(|_| Error::Closed)?
    }

    /// Rows of the journal from `from` on, about `bytes` of them. The page is empty if there are none yet.
    pub async fn journal_page(&self, from: i64, bytes: usize) -> Result<JournalPage, Error> {
        self.read(move |reader| reader.journal_page(from, bytes)).await
    }

    /// At most `rows` rows of the journal before `before`, newest first.
    pub async fn journal_back(&self, before: i64, rows: usize) -> Result<Vec<JournalRow>, Error> {
        self.read(move |reader| reader.journal_back(before, rows)).await
    }

    /// The kept records of an event, which outlive the journal.
    pub async fn kept(&self, seq: Seq) -> Result<Vec<KeptRecord>, Error> {
        self.read_latest(move |db| queries::kept(db, seq)).await
    }

    /// Kept records, which outlive the journal, each with its number, newest first, before the number.
    pub async fn kept_before(&self, num: i64, limit: usize) -> Result<Vec<(i64, KeptRecord)>, Error> {
        self.read(move |reader| reader.kept_before(num, limit)).await
    }

    /// The last row of the journal, and the last event in it or before it.
    #[must_use]
    pub fn journal_end(&self) -> (i64, Seq) {
        self.reader.journal_end()
    }

    /// Bytes of the journal from this row on, or a little more. Reads nothing.
    #[must_use]
    pub fn journal_bytes_from(&self, row: i64) -> u64 {
        self.reader.journal_bytes_from(row)
    }

    /// The row that contains the event, or the first one after it.
    pub async fn row_of(&self, seq: Seq) -> Result<Option<i64>, Error> {
        self.read(move |reader| reader.row_of(seq)).await
    }

    /// The versions of a device's config, newest first.
    pub async fn configs(&self, device: DeviceNum, limit: usize) -> Result<Vec<ConfigVersion>, Error> {
        self.read_latest(move |db| queries::configs(db, device, limit)).await
    }

    /// The versions of a device's state, newest first.
    pub async fn states(&self, device: DeviceNum, limit: usize) -> Result<Vec<StateVersion>, Error> {
        self.read_latest(move |db| queries::states(db, device, limit)).await
    }

    /// The configs and the states of a device at one moment, each newest first.
    pub async fn configs_and_states(
        &self,
        device: DeviceNum,
        limit: usize,
    ) -> Result<(Vec<ConfigVersion>, Vec<StateVersion>), Error> {
        self.read_latest(move |db| Ok((queries::configs(db, device, limit)?, queries::states(db, device, limit)?)))
            .await
    }

    /// Commands of a device, newest first.
    pub async fn commands(&self, device: DeviceNum, filter: CommandFilter) -> Result<Vec<CommandDoc>, Error> {
        self.read_latest(move |db| commands::list(db, device, &filter)).await
    }

    /// A command of the device, by its id.
    pub async fn command(&self, device: DeviceNum, id: String) -> Result<Option<CommandDoc>, Error> {
        self.read_latest(move |db| commands::find(db, Some(device), &id)).await
    }

    /// A part of the device's queue after the number `after`.
    pub async fn queued_commands(&self, device: DeviceNum, after: u64, limit: usize) -> Result<CommandPage, Error> {
        self.read_latest(move |db| commands::queued(db, device, after, limit)).await
    }

    /// Open commands of the device after the number `after`, in order.
    pub async fn open_commands(&self, device: DeviceNum, after: u64, limit: usize) -> Result<Vec<DueCommand>, Error> {
        self.read_latest(move |db| commands::open(db, device, after, limit)).await
    }

    /// Open commands whose deadline has passed, and the next deadline. `with_orphaned`: also those that end with their connection, of which there
    /// is none after a start.
    pub async fn due_commands(
        &self,
        now_ms: u64,
        with_orphaned: bool,
        limit: usize,
    ) -> Result<(Vec<DueCommand>, Option<u64>), Error> {
        self.read_latest(move |db| Ok((commands::due(db, now_ms, with_orphaned, limit)?, commands::next_due(db)?)))
            .await
    }

    /// A command of any device, by its id.
    pub async fn command_by_id(&self, id: String) -> Result<Option<CommandDoc>, Error> {
        self.read_latest(move |db| commands::find(db, None, &id)).await
    }

    /// A method call of an operator.
    pub async fn call_record(&self, id: String) -> Result<Option<CallRecord>, Error> {
        self.read_latest(move |db| queries::call(db, &id)).await
    }

    /// Dead letters in the order of their ids, those behind the id `after`.
    pub async fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.read_latest(move |db| queries::dead_letters(db, after, limit)).await
    }

    /// The id of the newest dead letter that there ever was; 0 if there was none.
    pub async fn last_dead_letter(&self) -> Result<u64, Error> {
        self.read_latest(documents::last_dead_letter).await
    }

    /// Returns `None` if there is no dead letter of that id.
    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, Error> {
        self.read_latest(move |db| queries::dead_letter(db, id)).await
    }
}
