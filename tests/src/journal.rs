//! The contents of a data folder's journal, sorted for assertions.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use switchbox_model::{DeviceNum, Effect, Entry, Event, EventData, Outcome, RegistryChange, Seq};
use switchbox_store as store;
use switchbox_store::{JournalPage, Loaded, Options};

use crate::HostFolder;

/// The end of an event for one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    pub seq: Seq,
    pub plugin: String,
    pub digest: String,
    pub attempt: u32,
    pub outcome: Outcome,
}

/// A journal at one moment.
#[derive(Debug, Default)]
pub struct Journal {
    /// In the order of the journal.
    pub events: Vec<Event>,
    /// In the order of the journal.
    pub executions: Vec<Execution>,
    devices: HashMap<String, DeviceNum>,
}

impl Journal {
    /// Reads the whole journal of a running host.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be read.
    pub async fn read(store: &store::Handle) -> Self {
        let mut journal = Self::default();
        let mut from = 0;
        loop {
            let JournalPage { rows, next } =
                store.journal_page(from, 8 << 20).await.expect("the journal cannot be read");
            if rows.is_empty() {
                return journal;
            }
            from = next;
            rows.into_iter().flat_map(|row| row.entries).for_each(|entry| journal.add(entry));
        }
    }

    /// Reads the data folder of a stopped host: its journal, and its documents.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be read, or a host is running.
    #[must_use]
    pub fn open(host_folder: &HostFolder) -> (Self, Loaded) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("no runtime");
        let opened = store::open(Options::new(host_folder.data())).expect("the data folder cannot be opened");
        let journal = runtime.block_on(Self::read(&opened.handle()));
        (journal, opened.loaded)
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Handled(run) => self.executions.extend(run.each().map(|done| Execution {
                seq: done.seq,
                plugin: done.plugin.to_string(),
                digest: done.digest.to_string(),
                attempt: done.attempt,
                outcome: done.outcome,
            })),
            Entry::Registry { change: RegistryChange::DeviceCreated(new), .. } => {
                self.devices.insert(new.name.id.to_string(), new.num);
            }
            entry => self.events.extend(entry.into_events()),
        }
    }

    /// The number of the device in the default registry.
    ///
    /// # Panics
    ///
    /// Panics if it is unknown.
    #[must_use]
    pub fn device(&self, id: &str) -> DeviceNum {
        *self.devices.get(id).unwrap_or_else(|| panic!("there is no device {id}"))
    }

    /// Telemetry in the order of the journal, with its payload.
    pub fn telemetry(&self) -> impl Iterator<Item = (&Event, &Bytes)> {
        self.events.iter().filter_map(|event| match &event.data {
            EventData::Telemetry { payload, .. } => Some((event, payload)),
            _ => None,
        })
    }

    /// The executions of a plugin, by event. More than one for an event is a fault of the host.
    #[must_use]
    pub fn executions_of(&self, plugin: &str) -> BTreeMap<Seq, Vec<&Execution>> {
        let mut found: BTreeMap<Seq, Vec<&Execution>> = BTreeMap::new();
        for execution in self.executions.iter().filter(|execution| execution.plugin == plugin) {
            found.entry(execution.seq).or_default().push(execution);
        }
        found
    }

    /// The configs that plugins gave the device, in the order of the journal: version 1, version 2, and so on.
    #[must_use]
    pub fn configs(&self, device: &str) -> Vec<(Seq, Bytes)> {
        let device = self.device(device);
        let of = |execution: &Execution| {
            let (seq, effects) = (execution.seq, execution.effects().to_vec());
            effects.into_iter().filter_map(move |effect| match effect {
                Effect::Config { device: to, payload, .. } if to == device => Some((seq, payload)),
                _ => None,
            })
        };
        self.executions.iter().flat_map(of).collect()
    }
}

impl Execution {
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        match &self.outcome {
            Outcome::Done { effects } => effects,
            Outcome::Dead { .. } => &[],
        }
    }
}
