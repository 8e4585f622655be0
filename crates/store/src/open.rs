//! Opens the store, replays the journal entries that the documents miss, and starts its threads.

use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use super::{
    Error, JournalPage, Machine, Options,
    append_queue::AppendQueue,
    backup,
    commit::QueuePosition,
    decide::{Decided, decide},
    docs::Doc,
    documents,
    handle::Handle,
    loaded::Loaded,
    loading,
    lock::Lock,
    materialise, private, quarantine,
    reader::Reader,
    schema,
    service::{Service, spawn},
    space::Space,
    write_batch::WriteBatch,
    writer::Writer,
};
use switchbox_journal::Journal;
use switchbox_support::threads;

/// Batches that may wait for the materialiser; when it falls behind, the writer waits.
const BATCHES: usize = 4_096;
/// Bytes of the journal that are replayed at once.
const REPLAY_BYTES: usize = 8 * 1024 * 1024;

/// A store that was opened but does not write yet.
pub struct Opened {
    options: Options,
    journal: Journal,
    state: rusqlite::Connection,
    reader: Arc<Reader>,
    append_queue: Arc<AppendQueue>,
    lock: Arc<Lock>,
    space: Arc<Space>,
    /// The row up to which the documents have got.
    applied: i64,
    /// What the host keeps in memory.
    pub loaded: Loaded,
}

/// Opens or makes the store in the folder.
pub fn open(options: Options) -> Result<Opened, Error> {
    let folder = &options.folder;
    let problem =
        |e: &dyn std::fmt::Display| Error::Open { path: folder.display().to_string(), problem: e.to_string() };
    private::make_folder(folder).map_err(|e| problem(&e))?;
    if private::is_readable_by_others(folder).map_err(|e| problem(&e))? {
        let data = folder.display();
        tracing::warn!(%data, "other users of this machine can read the data folder; `chmod 700` prevents this");
    }
    let mut lock = Lock::take(folder)?;
    backup::refuse_partial(folder)?;
    let Decided { inspection, applied, loaded } = decide(folder)?;
    // Nothing was changed so far.
    let space = Arc::new(Space::new(folder, options.reserve_bytes, options.warn_free_bytes));
    space.release_reserve().map_err(|e| problem(&e))?;
    lock.make_file()?;
    if let Some(torn) = &inspection.torn {
        let aside = quarantine::keep_torn(folder, torn).map_err(|e| problem(&e))?;
        tracing::warn!(
            file = %torn.path.display(), offset = torn.offset, bytes = torn.bytes, records = torn.records, aside = %aside.display(),
            "the last write of the journal was incomplete and never acknowledged; it is cut off, and its bytes are kept in `damaged`"
        );
    }
    let journal = Journal::resume(inspection)?;
    let state = schema::open_writer(folder)?;
    let end = journal.files().end();
    let reader = Arc::new(Reader::open(folder, journal.files().clone())?);
    let append_queue = Arc::new(AppendQueue::new(options.queue_bytes, end.last_seq.0 + 1));
    Ok(Opened { options, journal, state, reader, append_queue, lock: Arc::new(lock), space, applied, loaded })
}

impl Opened {
    /// A handle to the store. Entries that are submitted before [`Opened::start`] wait until then.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            append_queue: self.append_queue.clone(),
            reader: self.reader.clone(),
            retention_state: Arc::default(),
            lock: Arc::downgrade(&self.lock),
            space: self.space.clone(),
            keep_bytes: self.options.keep_bytes,
        }
    }

    /// Starts both threads. `fatal` is called when the disk can no longer be written.
    pub fn start<M: Machine>(
        self,
        machine: M,
        fatal: impl Fn(&Error) + Send + Sync + Clone + 'static,
    ) -> Result<Service, Error> {
        let (to_materialiser, work) = mpsc::sync_channel(BATCHES);
        let (state, journal) = (self.state, self.journal.files().clone());
        let (materialiser_fatal, keep) = (fatal.clone(), self.options.keep_executions_bytes);
        let materialiser = spawn("materialiser", self.append_queue.clone(), fatal.clone(), move || {
            threads::yield_between_pieces();
            materialise::run(state, &journal, &work, keep, &materialiser_fatal);
        })?;
        let writer = Writer {
            end: self.journal.files().end(),
            journal: self.journal,
            append_queue: self.append_queue.clone(),
            position: QueuePosition::default(),
            machine,
            materialiser: to_materialiser,
            materialiser_thread: materialiser.thread().clone(),
            commit_time: std::time::Duration::from_micros(100),
            disk_time: std::time::Duration::from_millis(5),
            commit_histogram: self.options.commit_time.clone(),
            last_doc_count: 0,
            unsent: None,
            record: Vec::new(),
            failed: None,
            fatal: Box::new(fatal.clone()),
        };
        let (writer, append_queue) = (Arc::new(Mutex::new(writer)), self.append_queue.clone());
        // A handle outlives the writer, whose journal is closed with the service.
        let _ = self.append_queue.idle_writer.set(Box::new(Arc::downgrade(&writer)));
        let run = move || threads::as_journal_writer(|| Writer::run(&writer, &append_queue));
        let writer = spawn("journal-writer", self.append_queue.clone(), fatal, run)?;
        Ok(Service { append_queue: self.append_queue, threads: vec![writer, materialiser], lock: self.lock })
    }

    /// Applies the rows of the journal that the documents do not contain, and writes the documents. `loaded` is up to date afterwards.
    pub fn replay(&mut self, machine: &mut impl Machine) -> Result<(), Error> {
        let applied = self.applied;
        let mut from = applied + 1;
        loop {
            let JournalPage { rows, next } = self.reader.journal_page(from, REPLAY_BYTES)?;
            if rows.is_empty() {
                break;
            }
            let mut batch = WriteBatch { row: next - 1, ..WriteBatch::default() };
            for entry in rows.into_iter().flat_map(|row| row.entries) {
                let mut docs: Vec<Doc> = Vec::new();
                machine.apply(entry, &mut docs);
                docs.into_iter().for_each(|doc| batch.add(doc));
            }
            documents::commit(&self.state, &batch)?;
            from = next;
        }
        if from > applied + 1 {
            self.loaded = loading::load(&self.state)?;
        }
        Ok(())
    }
}
