//! Checks the effects that an operator submits, and writes them to the journal like those of plugins.

use bytes::Bytes;

use super::queues::CommandQueues;
use crate::registry::{self, Device};
use switchbox_model::{
    Cause, Effect, Entry, RegistryChange,
    event::PropertyError,
    limits::{TooMuch, fields},
    twin_change::{DocumentChange, TwinChange},
};
use switchbox_store as store;
use switchbox_store::{ConfigReply, EntryRefusal, Reply};
use switchbox_support::clock;
use switchbox_telemetry::Tracer;

/// Why an operator's effect is not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("version {current} is in force, not version {expected}")]
    Conflict { expected: u64, current: u64 },
    #[error("the device was deleted")]
    DeviceGone,
    /// A merge patch that cannot be applied to what is in force.
    #[error("{0}")]
    Patch(String),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error(transparent)]
    Property(#[from] PropertyError),
    #[error("{limit} commands wait for the device already, which is the limit (devices.queued-commands)")]
    QueueFull { limit: usize },
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A config that an operator sets.
#[derive(Debug, Clone, Default)]
pub struct NewConfig {
    pub payload: Bytes,
    /// The version that has to be in force, if the caller requires one.
    pub expected: Option<u64>,
    /// Creates a new version even if the current one has the same bytes.
    pub force: bool,
}

/// Submits effects for operators. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    store: store::Handle,
    pub(super) queues: CommandQueues,
    traces: Tracer,
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle, queues: CommandQueues, traces: Tracer) -> Self {
        Self { store, queues, traces }
    }

    /// Called at each start: if the setting for the length of command queues has changed, writes it into the journal. A replay needs it, as
    /// it decides whether a command is refused.
    pub async fn limit_queues(&self, commands: usize) -> Result<(), store::Error> {
        if self.queues.max_open() != commands {
            let commands = u64::try_from(commands).unwrap_or(u64::MAX);
            self.store.call(Entry::QueueLimit { commands }).await?;
        }
        Ok(())
    }

    /// Creates a new config version for the device, unless the current one has the same bytes.
    pub async fn set_config(&self, device: &Device, config: NewConfig, cause: Cause) -> Result<ConfigReply, Error> {
        let NewConfig { payload, expected, force } = config;
        fields::CONFIG.check_len("a config", payload.len())?;
        let device = device.num;
        let effect = match force {
            false => Effect::Config { device, payload, expected },
            true => Effect::ConfigForced { device, payload, expected },
        };
        self.submit_config(effect, cause).await
    }

    /// Changes the config in force by a JSON merge patch (RFC 7396), which makes a new version unless it changes nothing. With `expected`, that
    /// version must be in force.
    pub async fn patch_desired(
        &self,
        device: &Device,
        patch: Bytes,
        expected: Option<u64>,
        cause: Cause,
    ) -> Result<ConfigReply, Error> {
        fields::CONFIG.check_len("a patch", patch.len())?;
        let effect = Effect::PatchDesired { device: device.num, patch, expected };
        self.submit_config(effect, cause).await
    }

    /// Changes the device's tags and its config in one entry. With `revision`, only if the device has that one.
    pub async fn change_twin(
        &self,
        registry: &registry::Handle,
        device: &Device,
        change: TwinChange,
        revision: Option<u64>,
    ) -> Result<(), registry::Error> {
        let bytes = |change: Option<&DocumentChange>| change.map_or(0, |change| change.bytes().len());
        fields::METADATA.check_len("tags", bytes(change.tags.as_ref().map(|tags| &tags.change)))?;
        fields::CONFIG.check_len("desired", bytes(change.desired.as_ref()))?;
        if let (Some(traces), Some(effect)) = (self.traces.on(), change.effect()) {
            traces.remember_operator_effects(change.time_ms, &[effect]);
        }
        let change = RegistryChange::TwinChanged(Box::new(change));
        registry.change(change, revision, &device.name.to_string()).await
    }

    async fn submit_config(&self, effect: Effect, cause: Cause) -> Result<ConfigReply, Error> {
        match self.submit(effect, cause).await? {
            Reply::Configs(replies) => replies.first().copied().ok_or(Error::DeviceGone),
            other => check_reply(other).and(Err(Error::DeviceGone)),
        }
    }

    pub(super) async fn submit(&self, effect: Effect, cause: Cause) -> Result<Reply, Error> {
        let (time_ms, effects) = (clock::now_ms(), vec![effect]);
        if let Some(traces) = self.traces.on() {
            traces.remember_operator_effects(time_ms, &effects);
        }
        let entry = Entry::Operator { time_ms, cause, effects };
        Ok(self.store.call(entry).await?)
    }
}

/// The error of an entry that was refused.
pub(super) fn check_reply(reply: Reply) -> Result<(), Error> {
    match reply {
        Reply::Done | Reply::Configs(_) | Reply::Pruned(_) => Ok(()),
        Reply::Refused(EntryRefusal::Conflict { expected, current, .. }) => Err(Error::Conflict { expected, current }),
        Reply::Refused(EntryRefusal::Patch(problem)) => Err(Error::Patch(problem)),
        Reply::Refused(_) => Err(Error::DeviceGone),
    }
}
