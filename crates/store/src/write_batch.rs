//! Changes of documents that are written together. They are folded: a device that got five hundred configs meanwhile costs ten rows.
//! Pure.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::{HashMap, HashSet};

use super::{
    broker::BrokerFold,
    dead_letters::DeadLetterFold,
    docs::{ConfigVersion, Doc, KvDoc, LastSeen, OutgoingDoc, StateVersion},
};
use switchbox_model::{DeviceNum, PluginName, lifecycle::PluginChange, limits::VERSIONS_KEPT};

/// Changes not written yet, folded.
#[derive(Default)]
pub(super) struct WriteBatch {
    /// The row of the journal up to which the changes go.
    pub(super) row: i64,
    pub(super) configs: HashMap<DeviceNum, VecDeque<Arc<ConfigVersion>>>,
    pub(super) config_acks: HashMap<(DeviceNum, u64), u64>,
    pub(super) states: HashMap<DeviceNum, VecDeque<StateVersion>>,
    pub(super) seen: HashMap<DeviceNum, LastSeen>,
    pub(super) kv: HashMap<(PluginName, String), KvDoc>,
    /// A message that is gone before it is written is never written.
    pub(super) outgoing: VecDeque<Box<OutgoingDoc>>,
    pub(super) outgoing_gone: Vec<String>,
    /// Devices of which commands have ended.
    pub(super) settled: HashSet<DeviceNum>,
    pub(super) broker: BrokerFold,
    /// For each `ClockSet` in `others`, the changes of the broker that came before it: it changes what they write.
    pub(super) before_clock_set: Vec<BrokerFold>,
    pub(super) dead_letters: DeadLetterFold,
    /// All other changes, in the order in which they came.
    pub(super) others: Vec<Doc>,
    /// How many changes all fields have together.
    pub(super) changes: usize,
}

impl WriteBatch {
    pub(super) fn add(&mut self, doc: Doc) {
        let is_additional = match doc {
            Doc::Config(version) => keep_newest(self.configs.entry(version.device).or_default(), version),
            Doc::ConfigAcknowledged { device, version, time_ms } => self.acknowledge(device, version, time_ms),
            Doc::State(version) => keep_newest(self.states.entry(version.device).or_default(), version),
            Doc::LastSeen { num, seen } => self.add_seen(num, seen),
            Doc::DeadLetterGone { id } => {
                let is_additional = self.dead_letters.remove(id);
                // The dead letter was counted when it was added.
                self.changes -= usize::from(!is_additional);
                is_additional
            }
            other => {
                self.add_other(other);
                true
            }
        };
        self.changes += usize::from(is_additional);
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
            Doc::PluginLifecycle { ref plugin, change: PluginChange::Deleted } => {
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
            Doc::ClockSet { .. } => {
                self.before_clock_set.push(std::mem::take(&mut self.broker));
                self.others.push(doc);
            }
            Doc::DeadLetter(dead_letter) => self.dead_letters.add(dead_letter),
            other => self.others.push(other),
        }
    }

    /// Messages are delivered roughly in the order in which they came, so the search is short.
    fn outgoing_gone(&mut self, id: String) {
        match self.outgoing.iter().position(|message| message.id == id) {
            Some(at) => drop(self.outgoing.remove(at)),
            None => self.outgoing_gone.push(id),
        }
    }

    /// Returns true if the batch had no `LastSeen` of the device yet.
    fn add_seen(&mut self, device: DeviceNum, seen: LastSeen) -> bool {
        let count_before = self.seen.len();
        self.seen.entry(device).or_default().fold(seen);
        self.seen.len() > count_before
    }

    /// Returns true if the acknowledgement is written separately from its version.
    fn acknowledge(&mut self, device: DeviceNum, version: u64, time_ms: u64) -> bool {
        self.add_seen(device, LastSeen { config_acknowledged_ms: Some(time_ms), ..LastSeen::default() });
        let waiting = self.configs.get_mut(&device);
        if let Some(newest) = waiting.as_ref().and_then(|versions| versions.back())
            && version + VERSIONS_KEPT as u64 <= newest.version
        {
            // The acknowledged version is too old: it is deleted in the same transaction.
            return false;
        }
        let found = waiting.and_then(|versions| {
            // Versions are usually consecutive, so the index follows from the first one. A search would read several of them, which are in the
            // caches of other processors.
            let ahead = version.checked_sub(versions.front()?.version).and_then(|ahead| usize::try_from(ahead).ok())?;
            let at = match versions.get(ahead) {
                Some(config) if config.version == version => ahead,
                _ => versions.binary_search_by_key(&version, |config| config.version).ok()?,
            };
            versions.get_mut(at)
        });
        match found {
            Some(config) => {
                Arc::make_mut(config).acknowledged_ms.get_or_insert(time_ms);
                false
            }
            None => {
                let count_before = self.config_acks.len();
                self.config_acks.entry((device, version)).or_insert(time_ms);
                self.config_acks.len() > count_before
            }
        }
    }
}

/// Adds a version, and removes the oldest if there are too many. Returns true if there is one more than before.
fn keep_newest<T>(versions: &mut VecDeque<T>, version: T) -> bool {
    let is_full = versions.len() >= VERSIONS_KEPT;
    if is_full {
        versions.pop_front();
    }
    versions.push_back(version);
    !is_full
}
