//! Effects that wait for an operator's approval. They are only in memory. Their event is unhandled in the journal until they are
//! committed or refused, so after a restart the plugin handles the event again, and its effects wait again. If the plugin is switched off, it
//! becomes a dead letter.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use switchbox_model::{PluginName, Seq, limits};

/// The description of waiting effects, for an operator.
#[derive(Debug, Clone)]
pub struct Approval {
    pub seq: Seq,
    pub plugin: PluginName,
    /// `sha256:…` of the component that asked for them.
    pub digest: String,
    /// The device that the event came from; empty if it came from none.
    pub device: String,
    /// Since when they wait, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The limit, and by how much the effects exceed it.
    pub why: String,
    /// How many devices and topics all effects reach.
    pub targets: usize,
    /// The first effects, in the format of docs/recordings.md.
    pub effects: Vec<switchbox_dry_run::effect::EffectLine>,
    /// How many effects there are.
    pub effect_count: usize,
}

impl Approval {
    /// The id of the execution, as users write it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.seq, self.plugin)
    }
}

/// An operator's decision.
pub(super) enum Decision {
    Approved { caller: String },
    Rejected { caller: String, reason: String },
}

/// An operator's decision, and the sender that reports its completion.
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) done: oneshot::Sender<()>,
}

struct PendingApproval {
    approval: Approval,
    decide: oneshot::Sender<Decided>,
}

/// The pending approvals of all plugins.
#[derive(Default)]
pub(super) struct Approvals(Mutex<BTreeMap<(Seq, PluginName), PendingApproval>>);

/// How long effects wait.
pub(super) const MAX_WAIT: Duration = limits::APPROVAL_TIME;

impl Approvals {
    pub(super) fn count(&self, plugin: &PluginName) -> usize {
        self.0.lock().keys().filter(|(_, of)| of == plugin).count()
    }

    pub(super) fn add(&self, approval: Approval) -> oneshot::Receiver<Decided> {
        let (decide, decided) = oneshot::channel();
        let key = (approval.seq, approval.plugin.clone());
        self.0.lock().insert(key, PendingApproval { approval, decide });
        decided
    }

    pub(super) fn remove(&self, seq: Seq, plugin: &PluginName) {
        self.0.lock().remove(&(seq, plugin.clone()));
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<Approval> {
        self.0.lock().values().map(|waiting| waiting.approval.clone()).collect()
    }

    /// Returns `None` if nothing waits under this id. The receiver completes when the decision has been carried out.
    pub(super) fn decide(&self, id: &str, decision: Decision) -> Option<oneshot::Receiver<()>> {
        let (seq, plugin) = id.split_once('.')?;
        let key = (Seq(seq.parse().ok()?), PluginName::new(plugin).ok()?);
        let waiting = self.0.lock().remove(&key)?;
        let (done, is_done) = oneshot::channel();
        waiting.decide.send(Decided { decision, done }).ok()?;
        Some(is_done)
    }
}
