//! Applies journal entries: the only place where entries become devices, documents and deliveries. It runs on the thread that has the writer
//! after the commit, and at the start for the entries that the documents miss. Both give the same documents, because the result
//! depends on the entries alone and not on clocks, settings or connections (`replay_tests.rs`).

mod dead_letters;

use std::sync::Arc;

use bytes::Bytes;

use dead_letters::DeadLetterIds;

use crate::{
    outbox::{CommandQueues, EffectSink, Origin, Outbox},
    registry::{self, Device},
    timers,
};
use switchbox_model::{
    Cause, DeadLetter, DeviceNum, Effect, Entry, Event, EventData, HandledInRun, HandledRun, KvWrite, Outcome,
    PluginName, RegistryChange, Settlement, lifecycle::PluginChange, limits, patch::FirstConfig,
    twin_change::TwinChange,
};
use switchbox_store::{Doc, EntryRefusal, KvDoc, LastSeen, Loaded, Machine, Reply, StateVersion, TimerDoc};
use switchbox_support::metrics::Metrics;

/// The state machine behind the journal.
pub struct Engine {
    outbox: Outbox,
    dead_letters: DeadLetterIds,
    timers: timers::Table,
    metrics: Metrics,
}

impl Engine {
    #[must_use]
    pub fn new(
        registry: registry::Handle,
        queues: CommandQueues,
        sink: Arc<dyn EffectSink>,
        loaded: &Loaded,
        metrics: Metrics,
    ) -> Self {
        let dead_letters = DeadLetterIds::new(loaded.last_dead_letter, &loaded.dead_letters);
        let timers = timers::Table::load(&loaded.timers);
        let outbox = Outbox { registry, queues, sink };
        Self { outbox, dead_letters, timers, metrics }
    }

    /// Sets the newest states and the times of a device, and applies firings of timers.
    fn apply_events(&mut self, events: Vec<Event>, docs: &mut Vec<Doc>) {
        let mut seen = LastSeen::default();
        let mut device: Option<Arc<Device>> = None;
        for event in events {
            if device.as_ref().map(|device| device.num) != event.device {
                device = event.device.and_then(|num| self.outbox.registry.get(num));
            }
            let Some(device) = &device else {
                docs.extend(self.apply_firing(&event));
                continue;
            };
            match event.data {
                EventData::Telemetry { .. } => seen.event_ms = Some(event.time_ms),
                EventData::State { version, payload } => {
                    // Copied, because the payload shares its memory with everything that was read from the socket at once, and the state is kept.
                    let payload = Bytes::copy_from_slice(&payload);
                    let version = StateVersion { device: device.num, version, time_ms: event.time_ms, payload };
                    device.set_state(Arc::new(version.clone()));
                    docs.push(Doc::State(version));
                }
                EventData::Connected => seen.connected = Some(true),
                EventData::Disconnected { .. } => seen.connected = Some(false),
                _ => {}
            }
        }
        // The events of an entry are all of one device.
        if let Some(device) = device.filter(|_| seen != LastSeen::default()) {
            device.set_seen(seen);
            docs.push(Doc::LastSeen { num: device.num, seen });
        }
    }

    /// Applies the event of a timer to the timer. Returns the change of its document.
    fn apply_firing(&mut self, event: &Event) -> Option<Doc> {
        let EventData::Timer { plugin, name, due_ms, .. } = &event.data else { return None };
        self.timers.apply_firing(&PluginName::new(plugin).ok()?, name, *due_ms, event.time_ms)
    }

    /// Applies the outcomes of executions. The reply is that of the last event: effects that can be refused are alone in their entry.
    fn apply_handled(&mut self, run: HandledRun, docs: &mut Vec<Doc>) -> Reply {
        let traces = self.metrics.traces.on();
        let spans = traces.map(|traces| traces.handled(&run));
        let HandledRun { plugin, digest, time_ms, events } = run;
        let mut reply = Reply::Done;
        for HandledInRun { seq, attempt, logs, outcome, .. } in events {
            reply = Reply::Done;
            match outcome {
                Outcome::Done { effects } if effects.is_empty() => {}
                Outcome::Done { effects } => {
                    let cause =
                        |index| Cause::Plugin { seq, plugin: plugin.clone(), digest: digest.clone(), attempt, index };
                    let origin = Origin { time_ms, cause: &cause };
                    let docs_before = docs.len();
                    if let Err(refused) = self.outbox.apply(&origin, effects, None, docs) {
                        reply = Reply::Refused(refused);
                    }
                    self.timers.apply_docs(docs.iter().skip(docs_before));
                }
                Outcome::Dead { error, event } => {
                    let (id, oldest) = self.dead_letters.add(&plugin);
                    if let Some(id) = oldest {
                        self.metrics.limit(limits::names::DEAD_LETTERS);
                        docs.push(Doc::DeadLetterGone { id });
                    }
                    let (plugin, digest, event) = (plugin.clone(), digest.clone(), *event);
                    let dead_letter = DeadLetter { id, plugin, digest, attempt, time_ms, error, logs, event };
                    docs.push(Doc::DeadLetter(Box::new(dead_letter)));
                }
            }
        }
        if let (Some(traces), Some(spans), false) = (traces, spans, matches!(reply, Reply::Refused(_))) {
            traces.committed(spans);
        }
        reply
    }

    fn apply_operator_effects(&self, time_ms: u64, cause: &Cause, effects: Vec<Effect>, docs: &mut Vec<Doc>) -> Reply {
        let origin = Origin { time_ms, cause: &|_| cause.clone() };
        let traces = self.metrics.traces.on();
        let spans = traces.map(|traces| traces.operator(time_ms, &effects));
        let device = effects.first().and_then(Effect::device);
        let mut replies = Vec::new();
        if let Err(refused) = self.outbox.apply(&origin, effects, Some(&mut replies), docs) {
            return Reply::Refused(refused);
        }
        if let (Some(traces), Some(spans)) = (traces, spans) {
            let name = || Some(self.outbox.registry.get(device?)?.name.clone());
            let config = || Some(format!("{}/configVersions/{}", name()?, replies.first()?.version));
            traces.committed(spans.explained(config));
        }
        if replies.is_empty() { Reply::Done } else { Reply::Configs(replies) }
    }

    /// Applies the outcomes of deliveries and other reports about devices.
    fn apply_settlements(&self, settlements: Vec<Settlement>, docs: &mut Vec<Doc>) {
        // Usually all settlements are of one device.
        let mut acknowledged: Option<Arc<Device>> = None;
        for settlement in settlements {
            match settlement {
                Settlement::ConfigAcknowledged { device, version, time_ms } => {
                    if acknowledged.as_ref().is_none_or(|found| found.num != device) {
                        acknowledged = self.outbox.registry.get(device);
                    }
                    if let Some(found) = &acknowledged
                        && found.acknowledge_config(version, time_ms)
                    {
                        docs.push(Doc::ConfigAcknowledged { device, version, time_ms });
                    }
                }
                Settlement::CommandSent { device, num, time_ms } => {
                    docs.push(Doc::CommandSent { device, num, time_ms });
                }
                Settlement::LastSeen { device, heartbeat_ms, config_sent_ms } => {
                    let seen = LastSeen { heartbeat_ms, config_sent_ms, ..LastSeen::default() };
                    if let Some(found) = self.outbox.registry.get(device) {
                        found.set_seen(seen);
                        docs.push(Doc::LastSeen { num: device, seen });
                    }
                }
                Settlement::Failed { device, error } => {
                    if let Some(found) = self.outbox.registry.get(device) {
                        found.set_error(error.clone());
                        docs.push(Doc::DeviceError { device, error });
                    }
                }
                Settlement::Published { id } => docs.push(Doc::OutgoingGone { id }),
                Settlement::GatewayAccessed { device, access } => {
                    if let Some(found) = self.outbox.registry.get(device) {
                        found.set_gateway_access(access.clone());
                        docs.push(Doc::GatewayAccessed { device, access });
                    }
                }
                Settlement::CommandsInDoubt { device, upto } => docs.push(Doc::CommandsInDoubt { device, upto }),
            }
        }
    }

    /// Closes the commands that have ended, each with the event that says so.
    fn apply_command_ends(&self, nums: Vec<u64>, events: Vec<Event>, docs: &mut Vec<Doc>) {
        for (num, event) in nums.into_iter().zip(events) {
            let (Some(device), EventData::CommandSettled { status, .. }) = (event.device, event.data) else { continue };
            if self.outbox.queues.close(device, num) {
                docs.push(Doc::CommandSettled { device, num, status, time_ms: event.time_ms });
            }
        }
    }

    fn apply_plugin_change(&mut self, plugin: PluginName, mut change: PluginChange, docs: &mut Vec<Doc>) {
        if let PluginChange::Off { due_again, .. } = &mut change {
            docs.extend(self.timers.switch_off(&plugin, std::mem::take(due_again)));
        }
        if let PluginChange::Migrated(migration) = &mut change {
            let writes = std::mem::take(&mut migration.writes).into_iter();
            docs.extend(writes.map(|KvWrite { key, value, revision }| {
                Doc::Kv(KvDoc { plugin: plugin.clone(), key, value, revision })
            }));
        }
        let lifecycle = Doc::PluginLifecycle { plugin, change };
        self.timers.apply_docs(std::iter::once(&lifecycle));
        docs.push(lifecycle);
    }

    /// Changes the tags and the config of a device. Both are checked before either is changed.
    fn apply_twin_change(&self, change: Box<TwinChange>, revision: Option<u64>, docs: &mut Vec<Doc>) -> Reply {
        let effects: Vec<_> = change.effect().into_iter().collect();
        if let Some(refused) = self.outbox.refusal(&effects) {
            return Reply::Refused(refused);
        }
        let (time_ms, cause) = (change.time_ms, change.cause.clone());
        match self.outbox.registry.apply(RegistryChange::TwinChanged(change), revision, docs) {
            Reply::Done => self.apply_operator_effects(time_ms, &cause, effects, docs),
            refused => refused,
        }
    }

    /// Applies an operator's change of the registry, with the first config of a device that it creates.
    fn apply_registry_change(&self, mut change: RegistryChange, revision: Option<u64>, docs: &mut Vec<Doc>) -> Reply {
        let mut created = None;
        match &mut change {
            RegistryChange::DeviceCreated(new) => {
                created = new.config.take().map(|config| (new.num, new.time_ms, config));
            }
            // A device that ever had a command was used.
            RegistryChange::DevicesPruned { nums } => nums.retain(|num| self.outbox.queues.last(*num) == 0),
            _ => {}
        }
        let reply = self.outbox.registry.apply(change, revision, docs);
        if matches!(reply, Reply::Refused(_)) {
            return reply;
        }
        if let Some((device, time_ms, FirstConfig { payload, cause })) = created {
            let origin = Origin { time_ms, cause: &|_| cause.clone() };
            let effects = vec![Effect::Config { device, payload, expected: None }];
            // Without an expected version nothing is refused.
            let _: Result<(), EntryRefusal> = self.outbox.apply(&origin, effects, None, docs);
        }
        reply
    }

    /// Deletes a device with its command queue.
    fn apply_deletion(&self, num: DeviceNum, revision: Option<u64>, docs: &mut Vec<Doc>) -> Reply {
        let reply = self.outbox.registry.apply_deletion(num, revision, docs);
        if reply == Reply::Done {
            self.outbox.queues.forget(num);
        }
        reply
    }
}

impl Machine for Engine {
    fn apply(&mut self, entry: Entry, docs: &mut Vec<Doc>) -> Reply {
        match entry {
            Entry::Events { events, .. } => self.apply_events(events, docs),
            Entry::Handled(run) => return self.apply_handled(run, docs),
            Entry::Settled(settlements) => self.apply_settlements(settlements, docs),
            Entry::Registry { change: RegistryChange::TwinChanged(change), revision } => {
                return self.apply_twin_change(change, revision, docs);
            }
            Entry::Registry { change, revision } => return self.apply_registry_change(change, revision, docs),
            Entry::DeviceDeleted { num, revision, nums, events } => {
                self.apply_command_ends(nums, events, docs);
                return self.apply_deletion(num, revision, docs);
            }
            Entry::Operator { time_ms, cause, effects } => {
                return self.apply_operator_effects(time_ms, &cause, effects, docs);
            }
            Entry::PluginStarts { plugin, version, time_ms } => {
                let doc = Doc::Timer(Box::new(TimerDoc { plugin, timer: timers::start(version, time_ms), by: None }));
                self.timers.apply_docs(std::iter::once(&doc));
                docs.push(doc);
            }
            Entry::Plugin { plugin, change } => self.apply_plugin_change(plugin, *change, docs),
            Entry::ClockSet { time_ms } => {
                docs.extend(self.timers.realign(time_ms));
                docs.push(Doc::ClockSet { time_ms });
            }
            Entry::QueueLimit { commands } => {
                self.outbox.queues.set_max_open(commands);
                docs.push(Doc::QueueLimit { commands });
            }
            Entry::DeadLettersDropped { ids } => {
                self.dead_letters.remove(&ids);
                docs.extend(ids.into_iter().map(|id| Doc::DeadLetterGone { id }));
            }
            Entry::Called(calls) => {
                // Calls of plugins are explained from the journal, with their executions.
                let of_operators = calls.into_iter().filter(|call| matches!(call.cause, Cause::Api { .. }));
                docs.extend(of_operators.map(|call| Doc::Call(Box::new(call))));
            }
            Entry::Broker(changes) => docs.extend(changes.into_iter().map(|change| Doc::Broker(Box::new(change)))),
            Entry::Barrier | Entry::HeldBack(_) => {}
            Entry::CommandsSettled { nums, events } => self.apply_command_ends(nums, events, docs),
        }
        Reply::Done
    }

    fn committed(&mut self) {
        self.outbox.sink.wake();
    }
}

#[cfg(test)]
mod replay_tests;
