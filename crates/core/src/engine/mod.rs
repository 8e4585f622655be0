//! What an entry of the log means: the one place where entries become devices, documents and deliveries. Runs on the
//! writer's thread after the commit, and at start for what the documents miss; deterministic, so both give the same.

mod letters;

use std::sync::Arc;

use bytes::Bytes;

use letters::Letters;

use crate::{
    outbox::{self, CommandQueues, Origin, Sink},
    registry::{self, Device},
    timers,
};
use switchbox_model::{
    Cause, DeadLetter, Effect, Entry, Event, EventData, Handled, HandledRun, Outcome, PluginName, RegistryChange,
    Settlement, life::PluginChange, limits, patch::FirstConfig,
};
use switchbox_store::{Doc, Loaded, Machine, PluginDoc, Reply, Seen, StateVersion, TimerDoc};
use switchbox_support::metrics::Metrics;

/// The state machine behind the log.
pub struct Engine {
    registry: registry::Handle,
    queues: CommandQueues,
    sink: Arc<dyn Sink>,
    letters: Letters,
    timers: timers::Table,
    metrics: Metrics,
}

impl Engine {
    #[must_use]
    pub fn new(
        registry: registry::Handle,
        queues: CommandQueues,
        sink: Arc<dyn Sink>,
        loaded: &Loaded,
        metrics: Metrics,
    ) -> Self {
        let letters = Letters::new(loaded.last_dead_letter, &loaded.dead_letters);
        let timers = timers::Table::load(&loaded.timers);
        Self { registry, queues, sink, letters, timers, metrics }
    }

    fn events(&mut self, events: Vec<Event>, docs: &mut Vec<Doc>) {
        let mut seen = Seen::default();
        let mut device: Option<Arc<Device>> = None;
        for event in events {
            if device.as_ref().map(|device| device.num) != event.device {
                device = event.device.and_then(|num| self.registry.get(num));
            }
            let Some(device) = &device else {
                docs.extend(self.fired(&event));
                continue;
            };
            match event.data {
                EventData::Telemetry { .. } => seen.event_ms = Some(event.time_ms),
                EventData::State { version, payload } => {
                    // The payload may share its memory with others that were read with it; this one stays.
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
        if let Some(device) = device.filter(|_| seen != Seen::default()) {
            device.set_seen(seen);
            docs.push(Doc::Seen { num: device.num, seen });
        }
    }

    /// What a timer's event makes of the timer.
    fn fired(&mut self, event: &Event) -> Option<Doc> {
        let EventData::Timer { plugin, name, due_ms, .. } = &event.data else { return None };
        self.timers.fired(&PluginName::new(plugin).ok()?, name, *due_ms, event.time_ms)
    }

    fn handled(&mut self, handled: Handled, docs: &mut Vec<Doc>) -> Reply {
        let Handled { plugin, digest, seq, attempt, time_ms, logs, outcome, .. } = handled;
        match outcome {
            Outcome::Done { effects } if effects.is_empty() => Reply::Done,
            Outcome::Done { effects } => {
                let cause =
                    |index| Cause::Plugin { seq, plugin: plugin.clone(), digest: digest.clone(), attempt, index };
                let origin = Origin { time_ms, cause: &cause };
                let before = docs.len();
                let reply = outbox::apply(&self.registry, &self.queues, self.sink.as_ref(), &origin, effects, docs);
                self.timers.note(docs.iter().skip(before));
                reply
            }
            Outcome::Dead { error, event } => {
                let (id, oldest) = self.letters.add(&plugin);
                if let Some(id) = oldest {
                    self.metrics.limit(limits::names::DEAD_LETTERS);
                    docs.push(Doc::DeadLetterGone { id });
                }
                let letter = DeadLetter { id, plugin, digest, attempt, time_ms, error, logs, event: *event };
                docs.push(Doc::DeadLetter(Box::new(letter)));
                Reply::Done
            }
        }
    }

    fn handled_run(&self, run: HandledRun, docs: &mut Vec<Doc>) {
        let HandledRun { plugin, digest, time_ms, events } = run;
        for event in events.into_iter().filter(|event| !event.effects.is_empty()) {
            let (seq, attempt) = (event.seq, HandledRun::ATTEMPT);
            let cause = |index| Cause::Plugin { seq, plugin: plugin.clone(), digest: digest.clone(), attempt, index };
            let origin = Origin { time_ms, cause: &cause };
            outbox::apply_plain(&self.registry, &self.queues, self.sink.as_ref(), &origin, event.effects, docs);
        }
    }

    fn settled(&self, settlements: Vec<Settlement>, docs: &mut Vec<Doc>) {
        // Mostly all are of one device.
        let mut acknowledged: Option<Arc<Device>> = None;
        for settlement in settlements {
            match settlement {
                Settlement::ConfigAcknowledged { device, version, time_ms } => {
                    if acknowledged.as_ref().is_none_or(|found| found.num != device) {
                        acknowledged = self.registry.get(device);
                    }
                    if let Some(found) = &acknowledged {
                        found.acknowledge_config(version, time_ms);
                        docs.push(Doc::ConfigAcknowledged { device, version, time_ms });
                    }
                }
                // Of an older log: what is open after it expires when the host has started.
                Settlement::Command { .. } => {}
                Settlement::CommandSent { device, num, time_ms } => {
                    docs.push(Doc::CommandSent { device, num, time_ms });
                }
                Settlement::LastSeen { device, heartbeat_ms, config_sent_ms } => {
                    let seen = Seen { heartbeat_ms, config_sent_ms, ..Seen::default() };
                    if let Some(found) = self.registry.get(device) {
                        found.set_seen(seen);
                        docs.push(Doc::Seen { num: device, seen });
                    }
                }
                Settlement::Failed { device, error } => {
                    if let Some(found) = self.registry.get(device) {
                        found.set_error(error.clone());
                        docs.push(Doc::DeviceError { device, error });
                    }
                }
                Settlement::Published { id } => docs.push(Doc::OutgoingGone { id }),
                Settlement::GatewayAccessed { device, access } => {
                    if let Some(found) = self.registry.get(device) {
                        found.set_gateway_access(access.clone());
                        docs.push(Doc::GatewayAccessed { device, access });
                    }
                }
                Settlement::CommandsInDoubt { device, upto } => docs.push(Doc::CommandsInDoubt { device, upto }),
            }
        }
    }

    fn commands_settled(&self, nums: Vec<u64>, events: Vec<Event>, docs: &mut Vec<Doc>) {
        for (num, event) in nums.into_iter().zip(events) {
            let (Some(device), EventData::CommandSettled { status, .. }) = (event.device, event.data) else { continue };
            if self.queues.close(device, num) {
                docs.push(Doc::CommandSettled { device, num, status, time_ms: event.time_ms });
            }
        }
    }

    fn plugin(&mut self, plugin: PluginName, mut change: PluginChange, docs: &mut Vec<Doc>) {
        if let PluginChange::Off { due_again, .. } = &mut change {
            docs.extend(self.timers.off(&plugin, std::mem::take(due_again)));
        }
        let life = Doc::PluginLife { plugin, change };
        self.timers.note(std::iter::once(&life));
        docs.push(life);
    }

    /// An operator's change of the registry, with the first config of a device that it makes.
    fn registry(&self, mut change: RegistryChange, revision: Option<u64>, docs: &mut Vec<Doc>) -> Reply {
        let (mut deleted, mut created) = (None, None);
        match &mut change {
            RegistryChange::DeviceDeleted { num } => deleted = Some(*num),
            RegistryChange::DeviceCreatedAs(new) => {
                created = new.config.take().map(|config| (new.num, new.time_ms, config));
            }
            // A device that ever had a command is not one that was never used.
            RegistryChange::DevicesPruned { nums } => nums.retain(|num| self.queues.last(*num) == 0),
            _ => {}
        }
        let reply = self.registry.apply(change, revision, docs);
        if matches!(reply, Reply::Refused(_)) {
            return reply;
        }
        if let Some(num) = deleted {
            self.queues.forget(num);
        }
        if let Some((device, time_ms, FirstConfig { payload, cause })) = created {
            let origin = Origin { time_ms, cause: &|_| cause.clone() };
            let effects = vec![Effect::Config { device, payload, expected: None }];
            outbox::apply_plain(&self.registry, &self.queues, self.sink.as_ref(), &origin, effects, docs);
        }
        reply
    }
}

impl Machine for Engine {
    fn apply(&mut self, entry: Entry, docs: &mut Vec<Doc>) -> Reply {
        match entry {
            Entry::Events(events) | Entry::EventsBy { events, .. } => self.events(events, docs),
            Entry::Handled(handled) => return self.handled(handled, docs),
            Entry::HandledRun(run) => self.handled_run(run, docs),
            Entry::Settled(settlements) => self.settled(settlements, docs),
            Entry::Registry(change) => return self.registry(change, None, docs),
            Entry::RegistryIf { revision, change } => return self.registry(change, Some(revision), docs),
            Entry::Operator { time_ms, cause, effects } => {
                let origin = Origin { time_ms, cause: &|_| cause.clone() };
                return outbox::apply(&self.registry, &self.queues, self.sink.as_ref(), &origin, effects, docs);
            }
            Entry::PluginAdded { plugin, from } => docs.push(Doc::Plugin(PluginDoc { plugin, from })),
            Entry::PluginStarts { plugin, version, time_ms } => {
                let doc = Doc::Timer(Box::new(TimerDoc { plugin, timer: timers::start(version, time_ms), by: None }));
                self.timers.note(std::iter::once(&doc));
                docs.push(doc);
            }
            Entry::PluginRemoved { plugin } => {
                let gone = Doc::PluginGone { plugin };
                self.timers.note(std::iter::once(&gone));
                docs.push(gone);
            }
            Entry::Plugin { plugin, change } => self.plugin(plugin, *change, docs),
            Entry::ClockSet { time_ms } => {
                docs.extend(self.timers.realign(time_ms));
                docs.push(Doc::ClockSet { time_ms });
            }
            Entry::DeadLettersDropped { ids } => {
                self.letters.drop(&ids);
                docs.extend(ids.into_iter().map(|id| Doc::DeadLetterGone { id }));
            }
            Entry::Called(calls) => {
                // Those of plugins stand with their executions.
                let of_operators = calls.into_iter().filter(|call| matches!(call.cause, Cause::Api { .. }));
                docs.extend(of_operators.map(|call| Doc::Call(Box::new(call))));
            }
            Entry::Broker(changes) => docs.extend(changes.into_iter().map(|change| Doc::Broker(Box::new(change)))),
            Entry::Barrier | Entry::HeldBack(_) => {}
            Entry::CommandsSettled { nums, events } => self.commands_settled(nums, events, docs),
        }
        Reply::Done
    }

    fn committed(&mut self) {
        self.sink.wake();
    }
}
