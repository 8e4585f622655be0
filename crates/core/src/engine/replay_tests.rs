//! A replay gives the same documents, whatever is in the journal, and whatever state its documents were in. The live store writes
//! documents in batches of its own timing, and its devices are connected or not; a replay does neither.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hashbrown::HashSet;
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tempfile::TempDir;

use super::Engine;
use crate::{
    outbox::{CommandQueues, EffectSink},
    registry::{self, Device},
};
use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, Entry, EventData, Message, Outcome, PluginName, QoS, RegistryChange, RegistryName,
    Seq, Settlement,
    broker::{BrokerChange, MessageNum, SessionKey, SessionNum, StoredSubscription, SubscriptionKind},
    lifecycle::{Identity, PluginChange},
    patch::NewDevice,
    registry::{DeviceSpec, GatewayAuth},
};
use switchbox_store::{CommandDoc, ConfigVersion, OnCommit, Opened, Options, backup, open, testing::documents};
use switchbox_support::metrics::Metrics;

mod enrollments;
mod entries;
mod twins;

/// Devices that take each second command.
#[derive(Default)]
struct Connected(AtomicBool);

/// No device is connected.
struct Away;

impl EffectSink for Connected {
    fn config(&self, _: &Arc<Device>, _: &Arc<ConfigVersion>) {}

    fn wake(&self) {}

    fn command(&self, _: &Arc<Device>, _: &CommandDoc) -> bool {
        self.0.fetch_not(Ordering::Relaxed)
    }

    fn publish(&self, _: String, _: Message) {}
}

impl EffectSink for Away {
    fn config(&self, _: &Arc<Device>, _: &Arc<ConfigVersion>) {}

    fn wake(&self) {}

    fn command(&self, _: &Arc<Device>, _: &CommandDoc) -> bool {
        false
    }

    fn publish(&self, _: String, _: Message) {}
}

/// The engine over what the store has.
fn engine(opened: &mut Opened, sink: Arc<dyn EffectSink>) -> Engine {
    let registry = registry::Handle::load(opened.handle(), &opened.loaded);
    let commands = std::mem::take(&mut opened.loaded.commands);
    let queues = CommandQueues::new(commands, opened.loaded.queue_limit);
    Engine::new(registry, queues, sink, &opened.loaded, Metrics::default())
}

/// Entries of a data folder in `tests/formats`.
const STORED_ENTRIES: usize = 400;

/// What is written, and whether documents are written after it.
#[derive(Debug, Clone)]
struct Run {
    entries: Vec<(Entry, bool)>,
    /// The documents as they are after this entry are those that the second replay begins with.
    old: usize,
}

/// Writes all of it and stops as a host does. The documents of before the end are in `old`.
fn live(run: &Run, data: &Path, old: &Path) {
    let mut opened = open(Options::new(data)).unwrap();
    let (store, engine) = (opened.handle(), engine(&mut opened, Arc::new(Connected::default())));
    let service = opened.start(engine, |error| panic!("{error}")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (number, (entry, flush)) in run.entries.iter().enumerate() {
        let (first, _) = store.append(None, entry.clone(), number % 8 == 0, None, OnCommit::Nothing).unwrap();
        store.wake(first, 0);
        if *flush || number == run.old {
            runtime.block_on(store.flush(None)).unwrap();
        }
        if number == run.old {
            backup(data, None, old).unwrap();
        }
    }
    service.stop();
}

/// The documents after the journal of `data` was replayed onto those of `from`, or onto none.
fn replayed(data: &Path, from: Option<&Path>) -> BTreeMap<String, Vec<String>> {
    let folder = folder();
    let to = folder.path();
    fs::create_dir(to.join("log")).unwrap();
    for file in fs::read_dir(data.join("log")).unwrap().map(|file| file.unwrap().path()) {
        fs::copy(&file, to.join("log").join(file.file_name().unwrap())).unwrap();
    }
    if let Some(from) = from {
        fs::copy(from.join("state.db"), to.join("state.db")).unwrap();
    }
    let mut opened = open(Options::new(to)).unwrap();
    let mut engine = engine(&mut opened, Arc::new(Away));
    opened.replay(&mut engine).unwrap();
    drop((engine, opened));
    documents(to).unwrap()
}

/// Makes of any entries such as the host writes: what is given once is given once, and what refers to something refers to what
/// came before.
#[derive(Default)]
struct AsTheHost {
    last_number: u64,
    last_device: u64,
    state_versions: HashMap<Option<DeviceNum>, u64>,
    /// Keys of effects so far.
    effects: Vec<String>,
    sessions: HashSet<SessionNum>,
    messages: HashSet<MessageNum>,
}

impl AsTheHost {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn writes(&mut self, mut entry: Entry) -> Entry {
        for event in entry.events_mut() {
            if let EventData::State { version, .. } = &mut event.data {
                let last = self.state_versions.entry(event.device).or_default();
                *last += 1;
                *version = *last;
            }
        }
        match &mut entry {
            Entry::Handled(run) => {
                for event in &mut run.events {
                    event.seq = Seq(self.next_number());
                    let Outcome::Done { effects } = &event.outcome else { continue };
                    let keys = (0..effects.len()).map(|index| format!("{}.{}.{index}", event.seq, run.plugin));
                    self.effects.extend(keys);
                }
            }
            Entry::Registry { change: RegistryChange::DeviceCreated(new), .. } => {
                self.last_device += 1;
                new.num = DeviceNum(self.last_device);
            }
            Entry::Settled(settlements) => settlements.iter_mut().for_each(|settlement| self.settles(settlement)),
            Entry::Broker(changes) => changes.iter_mut().for_each(|change| self.changes(change)),
            _ => {}
        }
        entry
    }

    /// The generator gives a number in the place of an effect's key: which of those so far.
    fn settles(&self, settlement: &mut Settlement) {
        if let Settlement::Published { id } = settlement {
            let which: usize = id.parse().unwrap();
            *id = self.effects.get(which % self.effects.len().max(1)).cloned().unwrap_or_default();
        }
    }

    fn changes(&mut self, change: &mut BrokerChange) {
        match change {
            BrokerChange::SessionOpened { session, expiry_secs, .. } if self.sessions.contains(session) => {
                *change = BrokerChange::Resumed { session: *session, expiry_secs: *expiry_secs };
            }
            BrokerChange::SessionOpened { session, .. } => drop(self.sessions.insert(*session)),
            BrokerChange::Ended { session } => drop(self.sessions.remove(session)),
            BrokerChange::Published { num, to, .. } => {
                // Publishers that race come in another order than their numbers.
                *num = MessageNum(self.next_number() ^ 1);
                self.messages.insert(*num);
                let mut seen = HashSet::new();
                to.retain(|to| self.sessions.contains(&to.session) && seen.insert(to.session));
            }
            BrokerChange::MessagesFinished { nums, .. } => nums.retain(|num| self.messages.contains(num)),
            BrokerChange::PubRecReceived { session, num } if !self.messages.contains(num) => {
                *change = BrokerChange::MessagesFinished { session: *session, nums: Vec::new() };
            }
            _ => {}
        }
    }
}

fn entries(count: Range<usize>) -> impl Strategy<Value = Vec<(Entry, bool)>> {
    vec((entries::any(), prop::bool::weighted(0.1)), count).prop_map(|entries| {
        let mut host = AsTheHost::default();
        let (name, spec) = (RegistryName::default_registry(), Box::default());
        let first = RegistryChange::RegistryCreated { name, spec, time_ms: 0 };
        let first = [Entry::QueueLimit { commands: 3 }, Entry::Registry { change: first, revision: None }];
        let first = first.into_iter().map(|entry| (entry, false));
        first.chain(entries).map(|(entry, flush)| (host.writes(entry), flush)).collect()
    })
}

fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn runs() -> impl Strategy<Value = Run> {
    (entries(1..120), 0..120_usize).prop_map(|(entries, old)| Run { old: old % entries.len(), entries })
}

proptest! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_replay_gives_the_documents_that_there_were(run in runs()) {
        let folder = folder();
        let (data, old) = (folder.path().join("data"), folder.path().join("old"));
        live(&run, &data, &old);
        let written = documents(&data).unwrap();
        for (table, rows) in replayed(&data, None) {
            prop_assert_eq!(&rows, &written[&table], "{}, from nothing", table);
        }
        for (table, rows) in replayed(&data, Some(&old)) {
            prop_assert_eq!(&rows, &written[&table], "{}, from older documents", table);
        }
    }
}

/// Enough entries that there is a document of each kind.
fn one_of_each(data: &Path, old: &Path) {
    let entries = entries(STORED_ENTRIES..STORED_ENTRIES + 1).new_tree(&mut TestRunner::deterministic()).unwrap();
    let entries = entries.current().into_iter().chain(binding().map(|entry| (entry, false))).collect();
    live(&Run { entries, old: STORED_ENTRIES / 2 }, data, old);
}

/// A gateway and its device, a plugin, and a session with a subscription: of what comes and goes, little is there in the end.
fn binding() -> [Entry; 5] {
    let change = |change| Entry::Registry { change, revision: None };
    let device = |num, id, gateway| {
        let name = DeviceName { registry: RegistryName::default_registry(), id: DeviceId::new(id).unwrap() };
        let spec = DeviceSpec { gateway, ..DeviceSpec::default() };
        let new = NewDevice { num: DeviceNum(num), name, spec, endpoint: None, config: None, time_ms: 2_000 };
        change(RegistryChange::DeviceCreated(Box::new(new)))
    };
    let (gateway, bound, session) = (1_001, 1_002, SessionNum(1_001));
    let on = PluginChange::On { from: Seq(1), identity: Identity { kind: "last".into(), digest: "sha256:0".into() } };
    let subscription = StoredSubscription {
        kind: SubscriptionKind::Topic,
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        id: None,
    };
    [
        device(gateway, "hub", Some(GatewayAuth::AssociationOnly)),
        device(bound, "bulb", None),
        change(RegistryChange::Bound { gateway: DeviceNum(gateway), device: DeviceNum(bound) }),
        Entry::Plugin { plugin: PluginName::new("last").unwrap(), change: Box::new(on) },
        Entry::Broker(vec![
            BrokerChange::SessionOpened { session, key: SessionKey::Client("last".into()), expiry_secs: 60 },
            BrokerChange::Subscribed { session, filter: "t".into(), subscription },
        ]),
    ]
}

/// Else the test above could hold by refusing everything.
#[test]
fn the_entries_of_this_test_make_documents_of_all_kinds() {
    let folder = folder();
    let (data, old) = (folder.path().join("data"), folder.path().join("old"));
    one_of_each(&data, &old);
    let empty: Vec<_> = documents(&data).unwrap().into_iter().filter(|(_, rows)| rows.is_empty()).collect();
    assert!(empty.is_empty(), "{empty:?}");
}

/// All documents, line by line.
fn text(documents: BTreeMap<String, Vec<String>>) -> String {
    documents
        .into_iter()
        .flat_map(|(table, rows)| rows.into_iter().map(move |row| format!("{table}: {row}\n")))
        .collect()
}

/// Makes the data folder of this version: the whole journal, documents of half of it, and what they are after all of it.
fn store_version(at: &Path) {
    let folder = folder();
    let [data, old, whole] = ["data", "old", "whole"].map(|name| folder.path().join(name));
    one_of_each(&data, &old);
    backup(&data, None, &whole).unwrap();
    fs::create_dir_all(at.join("log")).unwrap();
    fs::copy(old.join("state.db"), at.join("state.db")).unwrap();
    for file in fs::read_dir(whole.join("log")).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), at.join("log").join(file.file_name())).unwrap();
    }
    fs::write(at.join("documents.txt"), text(documents(&data).unwrap())).unwrap();
}

#[test]
fn the_data_folders_of_all_versions_are_read() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats");
    let this_version = formats.join("1");
    if std::env::var_os("UPDATE_FORMATS").is_some() && !this_version.exists() {
        store_version(&this_version);
    }
    for version in fs::read_dir(formats).unwrap().map(|version| version.unwrap().path()) {
        let expected = fs::read_to_string(version.join("documents.txt")).unwrap();
        for from in [None, Some(&*version)] {
            let read = text(replayed(&version, from));
            let other: Vec<_> =
                read.lines().zip(expected.lines()).filter(|(read, expected)| read != expected).collect();
            assert!(read == expected, "{}, from {from:?}: {other:#?}", version.display());
        }
    }
    assert!(this_version.exists());
}
