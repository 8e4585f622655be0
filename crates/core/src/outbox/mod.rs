//! Applies committed effects to the documents of devices. Operators submit effects through [`Handle`]. Deliveries are handed to an
//! [`EffectSink`]; nothing is sent here.

mod commands;
mod operator;
mod queues;
mod sink;

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    registry::{self, Device},
    twin::{self, Desired},
};
use switchbox_model::{Cause, Effect, Message, QoS};
use switchbox_store::{ConfigReply, ConfigVersion, Doc, EntryRefusal, KvDoc, OutgoingDoc, TimerDoc};

pub use commands::NewCommand;
pub use operator::{Error, Handle, NewConfig};
pub use queues::{CommandQueues, Undelivered};
pub use sink::EffectSink;

/// The cause and the time of the effects of one entry.
pub(crate) struct Origin<'a> {
    pub(crate) time_ms: u64,
    /// The cause of the effect at this index.
    pub(crate) cause: &'a dyn Fn(u32) -> Cause,
}

/// What effects change: devices and command queues. Deliveries go to the sink.
pub(crate) struct Outbox {
    pub(crate) registry: registry::Handle,
    pub(crate) queues: CommandQueues,
    pub(crate) sink: Arc<dyn EffectSink>,
}

impl Outbox {
    /// Why effects would be refused now.
    pub(crate) fn refusal(&self, effects: &[Effect]) -> Option<EntryRefusal> {
        check(&self.registry, effects).err()
    }

    /// Applies effects that are in the journal: all of them, or none when one is refused. `replies` gets what the config effects did, in
    /// their order.
    pub(crate) fn apply(
        &self,
        origin: &Origin<'_>,
        effects: Vec<Effect>,
        mut replies: Option<&mut Vec<ConfigReply>>,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        let mut perform = |index, effect, target| {
            let reply = self.perform(origin, (index, effect, target), docs);
            if let Some(replies) = &mut replies {
                replies.extend(reply);
            }
        };
        if effects.iter().any(is_checked) {
            let targets = check(&self.registry, &effects)?;
            for ((index, effect), target) in (0..).zip(effects).zip(targets) {
                perform(index, effect, target);
            }
        } else {
            for (index, effect) in (0..).zip(effects) {
                let device = effect.device().and_then(|num| self.registry.get(num));
                perform(index, effect, device.map_or(Target::Nothing, Target::Device));
            }
        }
        Ok(())
    }

    /// Applies an effect that was checked. Returns the result for a config.
    fn perform(
        &self,
        origin: &Origin<'_>,
        (index, effect, target): (u32, Effect, Target),
        docs: &mut Vec<Doc>,
    ) -> Option<ConfigReply> {
        let cause = || (origin.cause)(index);
        match (effect, target) {
            (Effect::Config { payload, .. }, Target::Device(device)) => {
                let (version, unchanged) = device.compare_config(&payload);
                if unchanged {
                    return Some(ConfigReply { version, unchanged });
                }
                return Some(self.set_config(&device, (version + 1, payload), origin.time_ms, cause(), docs));
            }
            (Effect::ConfigForced { payload, .. }, Target::Device(device))
            | (Effect::PatchDesired { .. }, Target::Patched(device, Some(payload))) => {
                let version = device.config_version() + 1;
                return Some(self.set_config(&device, (version, payload), origin.time_ms, cause(), docs));
            }
            (Effect::PatchDesired { .. }, Target::Patched(device, None)) => {
                return Some(ConfigReply { version: device.config_version(), unchanged: true });
            }
            (Effect::Command { id, subfolder, payload, properties, ttl_ms, .. }, Target::Device(device)) => {
                let time_ms = origin.time_ms;
                let command =
                    commands::Committed { id, subfolder, payload, properties, ttl_ms, time_ms, cause: cause() };
                commands::apply(&self.queues, self.sink.as_ref(), &device, command, docs);
            }
            (Effect::Kv(write), _) => {
                if let Cause::Plugin { plugin, .. } = cause() {
                    docs.push(Doc::Kv(KvDoc { plugin, key: write.key, value: write.value, revision: write.revision }));
                }
            }
            (Effect::TimerSet(timer), _) => {
                if let Cause::Plugin { plugin, .. } = cause() {
                    let by = cause().effect_key();
                    docs.push(Doc::Timer(Box::new(TimerDoc { plugin, timer: *timer, by })));
                }
            }
            (Effect::TimerCancel { name }, _) => {
                if let Cause::Plugin { plugin, .. } = cause() {
                    docs.push(Doc::TimerGone { plugin, name });
                }
            }
            (Effect::Publish { topic, payload, qos, retain }, _) => {
                let id = cause().effect_key().map(|key| key.to_string()).unwrap_or_default();
                self.publish(OutgoingDoc { id, topic, payload, qos, retain }, docs);
            }
            // The device is gone.
            (
                Effect::Config { .. }
                | Effect::ConfigForced { .. }
                | Effect::Command { .. }
                | Effect::PatchDesired { .. },
                _,
            ) => {}
        }
        None
    }

    /// Hands a message to the sink. A QoS 0 message may be lost, so it gets no document.
    fn publish(&self, outgoing: OutgoingDoc, docs: &mut Vec<Doc>) {
        let message = Message {
            qos: outgoing.qos,
            retain: outgoing.retain,
            ..Message::new(&outgoing.topic, outgoing.payload.clone())
        };
        self.sink.publish(outgoing.id.clone(), message);
        if outgoing.qos != QoS::AtMostOnce {
            docs.push(Doc::Outgoing(Box::new(outgoing)));
        }
    }

    /// Makes a new version of the config.
    fn set_config(
        &self,
        device: &Arc<Device>,
        (version, payload): (u64, Bytes),
        time_ms: u64,
        cause: Cause,
        docs: &mut Vec<Doc>,
    ) -> ConfigReply {
        let config = ConfigVersion { device: device.num, version, time_ms, payload, cause, acknowledged_ms: None };
        let shared = Arc::new(config);
        device.set_config(shared.clone());
        self.sink.config(device, &shared);
        docs.push(Doc::Config(shared));
        ConfigReply { version, unchanged: false }
    }
}

/// Whether the result of the effect depends on the current version. Such effects are checked before any effect of the entry is applied.
fn is_checked(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::PatchDesired { .. }
            | Effect::Config { expected: Some(_), .. }
            | Effect::ConfigForced { expected: Some(_), .. }
    )
}

/// The target of an effect.
enum Target {
    /// The effect has no device, or a device that was deleted meanwhile: then the effect counts as if it came before the deletion.
    Nothing,
    Device(Arc<Device>),
    /// The device, and its config after the patch. `None` when the patch changes nothing.
    Patched(Arc<Device>, Option<Bytes>),
}

/// Looks up the device of each effect, checks expected versions and computes the patches; each effect sees the earlier ones of the entry.
fn check(registry: &registry::Handle, effects: &[Effect]) -> Result<Vec<Target>, EntryRefusal> {
    let mut targets: Vec<Target> = Vec::with_capacity(effects.len());
    for effect in effects {
        let (num, expected) = match effect {
            Effect::Config { device, expected, .. }
            | Effect::ConfigForced { device, expected, .. }
            | Effect::PatchDesired { device, expected, .. } => (*device, *expected),
            Effect::Command { device, .. } => (*device, None),
            Effect::Kv(_) | Effect::Publish { .. } | Effect::TimerSet(_) | Effect::TimerCancel { .. } => {
                targets.push(Target::Nothing);
                continue;
            }
        };
        let Some(device) = registry.get(num) else {
            targets.push(Target::Nothing);
            continue;
        };
        if let Some(expected) = expected {
            let current = in_force(&device, effects, &targets).version;
            if current != expected {
                return Err(EntryRefusal::Conflict { device: num, expected, current });
            }
        }
        targets.push(match effect {
            Effect::PatchDesired { patch, .. } => {
                let desired = in_force(&device, effects, &targets).document;
                let patched =
                    twin::patched(&desired, patch).map_err(|problem| EntryRefusal::Patch(problem.to_string()))?;
                Target::Patched(device, patched)
            }
            _ => Target::Device(device),
        });
    }
    Ok(targets)
}

/// The config that is in force after the earlier effects of the entry, which have `earlier_targets`.
fn in_force(device: &Device, effects: &[Effect], earlier_targets: &[Target]) -> Desired {
    let mut desired = device
        .config()
        .map_or_else(Desired::default, |config| Desired { version: config.version, document: config.payload.clone() });
    for (effect, target) in
        effects.iter().zip(earlier_targets).filter(|(effect, _)| effect.device() == Some(device.num))
    {
        match (effect, target) {
            (Effect::Config { payload, .. }, _) => desired.set(payload),
            (Effect::ConfigForced { payload, .. }, _) | (_, Target::Patched(_, Some(payload))) => {
                desired.replace(payload.clone());
            }
            _ => {}
        }
    }
    desired
}
