//! The results of an execution's effects, as far as they are in the documents.

use super::{
    Error, Handle,
    chain::{ConfigStep, Gone, Step},
};
use crate::twin;
use switchbox_model::{Cause, DeviceNum, Effect, Handled, limits};
use switchbox_store::{CommandDoc, ConfigVersion};

impl Handle {
    /// The result of an effect.
    pub(super) async fn effect_step(&self, handled: &Handled, index: u32, effect: &Effect) -> Result<Step, Error> {
        Ok(match effect {
            Effect::Config { device, .. }
            | Effect::ConfigForced { device, .. }
            | Effect::PatchDesired { device, .. } => {
                let versions = self.store.configs(*device, limits::VERSIONS_KEPT).await?;
                config_step(versions, handled, (index, effect), *device)
            }
            Effect::Command { device, id, .. } => match self.command_of(*device, id).await? {
                Some(command) => Step::Command(Box::new(command)),
                None => Step::Gone(Gone::Command { device: *device, id: id.clone() }),
            },
            Effect::Kv(write) => Step::Kv(write.clone()),
            Effect::TimerSet(timer) => Step::TimerSet(timer.clone()),
            Effect::TimerCancel { name } => Step::TimerCancelled { name: name.clone() },
            Effect::Publish { topic, payload, .. } => {
                Step::Published { topic: topic.clone(), payload: payload.clone() }
            }
        })
    }

    pub(super) async fn command_of(&self, device: DeviceNum, id: &str) -> Result<Option<CommandDoc>, Error> {
        Ok(self.store.command(device, id.to_owned()).await?)
    }
}

/// The result of a config effect. `versions`: the kept versions of the device, newest first.
fn config_step(
    versions: Vec<ConfigVersion>,
    handled: &Handled,
    (index, effect): (u32, &Effect),
    device: DeviceNum,
) -> Step {
    let newest = versions.first().map_or(0, |newest| newest.version);
    // The index of the effect of this execution that made the version.
    let maker = |version: &ConfigVersion| match &version.cause {
        Cause::Plugin { seq, plugin, index, .. } => {
            (*seq == handled.seq && *plugin == handled.plugin).then_some(*index)
        }
        Cause::Api { .. } => None,
    };
    if let Some(version) = versions.iter().find(|version| maker(version) == Some(index)) {
        return Step::Config(Box::new(ConfigStep::new(version.clone(), newest)));
    }
    if versions.is_empty() && changes_nothing(b"", effect) {
        return Step::NothingToPatch { device };
    }
    // The config that was in force then. Versions of the same millisecond may have come before or after.
    let (same_time, earlier): (Vec<_>, Vec<_>) = versions
        .into_iter()
        .filter(|version| version.time_ms <= handled.time_ms && maker(version).is_none_or(|maker| maker < index))
        .partition(|version| version.time_ms == handled.time_ms);
    let mut in_force = same_time.into_iter().chain(earlier.into_iter().take(1));
    match in_force.find(|version| changes_nothing(&version.payload, effect)) {
        Some(version) => Step::Config(Box::new(ConfigStep { unchanged: true, ..ConfigStep::new(version, newest) })),
        None => Step::Gone(Gone::Config { device }),
    }
}

/// Whether the effect changes nothing in this config.
fn changes_nothing(config: &[u8], effect: &Effect) -> bool {
    match effect {
        Effect::Config { payload, .. } => payload == config,
        Effect::PatchDesired { patch, .. } => twin::patched(config, patch) == Ok(None),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
