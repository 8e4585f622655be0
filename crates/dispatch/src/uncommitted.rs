//! An event that a guest has handled and that is not in the journal yet, and its size in the journal's queue.

use std::sync::Arc;

use super::{queue::Job, version::Version};
use switchbox_dry_run::{effect::OutcomeLine, recorder::RecordedCalls};
use switchbox_model::{Effect, Handled, Outcome};
use switchbox_plugin_runtime::KvChange;

/// Bytes that an entry without effects takes up in the journal's queue, roughly.
pub(super) const ENTRY_BYTES: usize = 128;

/// An event that a guest has handled, not yet committed.
pub(super) struct Uncommitted {
    pub(super) version: Arc<Version>,
    pub(super) job: Job,
    /// How the guest ended the event, for a shadow.
    pub(super) outcome: OutcomeLine,
    pub(super) handled: Handled,
    /// The writes of the plugin's state.
    pub(super) kv: Vec<KvChange>,
    /// The host calls of the execution, if they are recorded.
    pub(super) recorded_calls: Option<RecordedCalls>,
    /// The limit that holds its effects back; empty if none does.
    pub(super) hold_reason: String,
}

impl Uncommitted {
    pub(super) fn effects(&self) -> &[Effect] {
        match &self.handled.outcome {
            Outcome::Done { effects } => effects,
            Outcome::Dead { .. } => &[],
        }
    }

    /// The size in memory, in bytes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let kv = |change: &KvChange| change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len);
        self.job.event.data.payload().len()
            + outcome_weight(&self.handled.outcome)
            + self.kv.iter().map(kv).sum::<usize>()
    }
}

/// Bytes that the outcome takes up in the journal's queue, roughly.
pub(super) fn outcome_weight(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done { effects } => weight(effects),
        Outcome::Dead { .. } => ENTRY_BYTES,
    }
}

/// Bytes that the effects take up in the journal's queue, roughly.
pub(super) fn weight(effects: &[Effect]) -> usize {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Publish { topic, payload, .. } => ENTRY_BYTES + topic.len() + payload.len(),
            Effect::TimerSet(timer) => ENTRY_BYTES + timer.name.len() + timer.payload.len(),
            Effect::TimerCancel { name } => ENTRY_BYTES + name.len(),
            Effect::Config { payload, .. }
            | Effect::ConfigForced { payload, .. }
            | Effect::PatchDesired { patch: payload, .. } => ENTRY_BYTES + payload.len(),
            Effect::Command { .. } => ENTRY_BYTES + effect.payload_bytes(),
            Effect::Kv(write) => ENTRY_BYTES + write.key.len() + write.value.as_ref().map_or(0, bytes::Bytes::len),
        })
        .sum()
}
