//! Redrives dead letters: gives their events to their plugins again.

use super::{Manager, queue::Job};
use switchbox_model::PluginName;
use switchbox_store as store;

/// Why a dead letter is not redriven.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error("the dead letter does not exist")]
    NotFound,
    #[error("it is being redriven already")]
    UnderWay,
    #[error("plugin {0} is not running")]
    NotRunning(PluginName),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Manager {
    /// Queues the event of a dead letter for its plugin, when the queue has room. The dead letter is deleted when the event is
    /// handled.
    pub async fn redrive(&self, id: u64) -> Result<(), RedriveError> {
        let store = &self.context.store;
        let dead_letter = store.dead_letter(id).await?.ok_or(RedriveError::NotFound)?;
        let not_running = || RedriveError::NotRunning(dead_letter.plugin.clone());
        let runner = self.routes.runner(&dead_letter.plugin).ok_or_else(not_running)?;
        if !runner.backlog.wait_for_room().await {
            return Err(not_running());
        }
        if !runner.claim_dead_letter(id) {
            return Err(RedriveError::UnderWay);
        }
        // Another call may have redriven and deleted it since it was read.
        let Some(dead_letter) = store.dead_letter(id).await? else {
            runner.release_dead_letter(id);
            return Err(RedriveError::NotFound);
        };
        let device = dead_letter.event.device.and_then(|num| self.context.registry.get(num));
        let job = Job { event: dead_letter.event, device, attempt: 1, dead_letter_id: Some(id) };
        if runner.backlog.redrive(job) { Ok(()) } else { Err(RedriveError::NotRunning(dead_letter.plugin)) }
    }
}
