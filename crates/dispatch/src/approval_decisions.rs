//! An operator's decisions on effects that wait for approval.

use super::{
    approvals::{Approval, Decision},
    manager::Manager,
};
use switchbox_model::Entry;
use switchbox_store as store;

/// Why a decision is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    #[error("no effects wait for approval under {0}")]
    NotFound(String),
    #[error(
        "the host or the plugin is stopping; see `switchbox approvals list` and `switchbox dead-letters list` when it is back"
    )]
    Stopping,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Manager {
    /// Effects that wait for an operator's approval, oldest first.
    #[must_use]
    pub fn approvals(&self) -> Vec<Approval> {
        self.context.approvals.list()
    }

    /// Commits the effects that wait under this id. They are in the journal when it returns.
    pub async fn approve(&self, id: &str, caller: &str) -> Result<(), ApprovalError> {
        self.decide(id, Decision::Approved { caller: caller.to_owned() }).await
    }

    /// Drops the effects that wait under this id; their event becomes a dead letter. That is in the journal when it returns.
    pub async fn reject(&self, id: &str, caller: &str, reason: &str) -> Result<(), ApprovalError> {
        self.decide(id, Decision::Rejected { caller: caller.to_owned(), reason: reason.to_owned() }).await
    }

    async fn decide(&self, id: &str, decision: Decision) -> Result<(), ApprovalError> {
        let carried_out = self.context.approvals.decide(id, decision);
        let carried_out = carried_out.ok_or_else(|| ApprovalError::NotFound(id.chars().take(300).collect()))?;
        carried_out.await.map_err(|_| ApprovalError::Stopping)?;
        // When the barrier is on the disk, all entries that were submitted before it are as well.
        self.context.store.call(Entry::Barrier).await?;
        Ok(())
    }
}
