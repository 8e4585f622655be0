//! The materialiser thread: folds changes of documents together and writes them to `state.db` in large transactions,
//! behind the path of the acknowledgement. A device that got five hundred configs meanwhile costs ten rows.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use hashbrown::{HashMap, HashSet};
use rusqlite::Connection;

use super::{
    Error,
    broker::BrokerFold,
    dead_letters::DeadLetterFold,
    docs::{ConfigVersion, Doc, KvDoc, OutgoingDoc, Seen, StateVersion},
    documents,
    retention::{self, Change},
};
use switchbox_log::Files;
use switchbox_model::{DeviceNum, PluginName, Seq, life::PluginChange, limits::VERSIONS_KEPT};

/// How long a change may wait for more.
const GATHER: Duration = Duration::from_millis(250);
/// How long the thread sleeps after it took changes: no caller waits for them, and waking it for each batch of the log costs the
/// writer more than the batch is worth here.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes that are written without waiting for more.
const GATHER_DOCS: usize = 20_000;

pub(super) enum Work {
    /// These came of the log up to and with this row.
    Docs { row: i64, docs: Vec<Doc> },
    /// Write this, then call back.
    Keep { change: Box<Change>, done: tokio::sync::oneshot::Sender<()> },
    /// Write what there is, then call back.
    Flush { done: tokio::sync::oneshot::Sender<()>, low_water: Option<Seq> },
}

/// Changes not written yet, folded.
#[derive(Default)]
pub(super) struct WriteBatch {
    pub(super) row: i64,
    pub(super) configs: HashMap<DeviceNum, VecDeque<Arc<ConfigVersion>>>,
    pub(super) config_acks: HashMap<(DeviceNum, u64), u64>,
    pub(super) states: HashMap<DeviceNum, VecDeque<StateVersion>>,
    pub(super) seen: HashMap<DeviceNum, Seen>,
    pub(super) kv: HashMap<(PluginName, String), KvDoc>,
    /// Messages that are gone again before they were written never are.
    pub(super) outgoing: VecDeque<Box<OutgoingDoc>>,
    pub(super) outgoing_gone: Vec<String>,
    /// Devices of which commands have ended.
    pub(super) settled: HashSet<DeviceNum>,
    pub(super) broker: BrokerFold,
    pub(super) dead_letters: DeadLetterFold,
    /// In the order in which they came.
    pub(super) others: Vec<Doc>,
    /// How many all of these are.
    pub(super) changes: usize,
}

impl WriteBatch {
    pub(super) fn add(&mut self, doc: Doc) {
        let more = match doc {
            Doc::Config(version) => keep_newest(self.configs.entry(version.device).or_default(), version),
            Doc::ConfigAcknowledged { device, version, time_ms } => self.acknowledge(device, version, time_ms),
            Doc::State(version) => keep_newest(self.states.entry(version.device).or_default(), version),
            Doc::Seen { num, seen } => self.see(num, seen),
            Doc::DeadLetterGone { id } => {
                let more = self.dead_letters.remove(id);
                // The letter was counted when it came.
                self.changes -= usize::from(!more);
                more
            }
            other => {
                self.add_other(other);
                true
            }
        };
        self.changes += usize::from(more);
    }

    fn add_other(&mut self, doc: Doc) {
        match doc {
            Doc::Kv(kv) => {
                self.kv.insert((kv.plugin.clone(), kv.key.clone()), kv);
            }
            Doc::DeviceGone { num } => {
                self.configs.remove(&num);
                self.states.remove(&num);
                self.seen.remove(&num);
                self.others.push(doc);
            }
            Doc::PluginLife { ref plugin, change: PluginChange::Deleted } => {
                self.kv.retain(|(of, _), _| of != plugin);
                self.others.push(doc);
            }
            Doc::Outgoing(message) => self.outgoing.push_back(message),
            Doc::OutgoingGone { id } => self.outgoing_gone(id),
            Doc::CommandSettled { device, .. } => {
                self.settled.insert(device);
                self.others.push(doc);
            }
            Doc::Broker(change) => self.broker.add(*change),
            Doc::DeadLetter(letter) => self.dead_letters.add(letter),
            other => self.others.push(other),
        }
    }

    /// Messages go about in the order in which they came, so the search is short.
    fn outgoing_gone(&mut self, id: String) {
        match self.outgoing.iter().position(|message| message.id == id) {
            Some(at) => drop(self.outgoing.remove(at)),
            None => self.outgoing_gone.push(id),
        }
    }

    /// True when it is the device's first.
    fn see(&mut self, device: DeviceNum, seen: Seen) -> bool {
        let before = self.seen.len();
        self.seen.entry(device).or_default().fold(seen);
        self.seen.len() > before
    }

    fn acknowledge(&mut self, device: DeviceNum, version: u64, time_ms: u64) -> bool {
        self.see(device, Seen { config_acknowledged_ms: Some(time_ms), ..Seen::default() });
        let waiting = self.configs.get_mut(&device);
        if let Some(newest) = waiting.as_ref().and_then(|versions| versions.back())
            && version + VERSIONS_KEPT as u64 <= newest.version
        {
            // It goes with this very transaction.
            return false;
        }
        match waiting.and_then(|versions| versions.iter_mut().find(|config| config.version == version)) {
            Some(config) => {
                Arc::make_mut(config).acknowledged_ms = Some(time_ms);
                false
            }
            None => self.config_acks.insert((device, version), time_ms).is_none(),
        }
    }
}

/// True when there is one more than before.
fn keep_newest<T>(versions: &mut VecDeque<T>, version: T) -> bool {
    let full = versions.len() >= VERSIONS_KEPT;
    if full {
        versions.pop_front();
    }
    versions.push_back(version);
    !full
}

pub(super) fn run(mut db: Connection, log: &Files, work: &Receiver<Work>, keep_bytes: u64, fatal: &dyn Fn(&Error)) {
    let mut batch = WriteBatch::default();
    let mut since: Option<Instant> = None;
    let mut pauses = false;
    loop {
        let mut flush = None;
        match next(work, since, std::mem::take(&mut pauses)) {
            Ok(Work::Docs { row, docs }) => {
                batch.row = row;
                docs.into_iter().for_each(|doc| batch.add(doc));
                since.get_or_insert_with(Instant::now);
                pauses = true;
            }
            Ok(Work::Keep { change, done }) => match retention::write(&mut db, &change, keep_bytes) {
                Ok(()) => drop(done.send(())),
                Err(error) => return fatal(&error),
            },
            Ok(Work::Flush { done, low_water }) => flush = Some((done, low_water)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                finish(&mut db, log, &batch, fatal);
                return;
            }
        }
        let due = since.is_some_and(|s| s.elapsed() >= GATHER) || batch.changes >= GATHER_DOCS;
        if due || flush.is_some() {
            let low_water = flush.as_ref().and_then(|(_, low_water)| *low_water);
            if let Err(error) = write(&mut db, log, &std::mem::take(&mut batch), low_water) {
                fatal(&error);
                return;
            }
            since = None;
            if let Some((done, _)) = flush {
                let _ = done.send(());
            }
        }
    }
}

/// Takes what there is; else waits, after [`PAUSE`] if `pauses`.
fn next(work: &Receiver<Work>, since: Option<Instant>, pauses: bool) -> Result<Work, RecvTimeoutError> {
    match work.try_recv() {
        Ok(work) => return Ok(work),
        Err(TryRecvError::Empty) if pauses => thread::sleep(PAUSE),
        Err(_) => {}
    }
    work.recv_timeout(since.map_or(Duration::from_secs(3600), |since| GATHER.saturating_sub(since.elapsed())))
}

/// The documents never know of a row that the log could still lose.
fn write(db: &mut Connection, log: &Files, batch: &WriteBatch, low_water: Option<Seq>) -> Result<(), Error> {
    log.sync(batch.row).map_err(|e| switchbox_log::Error::Write(e.to_string()))?;
    documents::write(db, batch, low_water)
}

fn finish(db: &mut Connection, log: &Files, batch: &WriteBatch, fatal: &dyn Fn(&Error)) {
    if let Err(error) = write(db, log, batch, None) {
        fatal(&error);
    }
    // SQLite does this by itself only when no reader is left.
    if let Err(error) = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%error, "state.db keeps its write-ahead log");
    }
}
