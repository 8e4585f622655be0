//! Dead letters that are given to their plugins again.

use super::{Manager, queue::Job};
use switchbox_model::PluginName;
use switchbox_store as store;

/// Why the event of a dead letter is not given to its plugin again.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error("the dead letter does not exist")]
    NoSuchLetter,
    #[error("it is under way already")]
    UnderWay,
    #[error("plugin {0} is not running")]
    NotRunning(PluginName),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Manager {
    /// Gives the event of a dead letter to its plugin again, when its queue has room; the letter goes when the event is
    /// handled.
    pub async fn redrive(&self, id: u64) -> Result<(), RedriveError> {
        let store = &self.context.store;
        let letter = store.dead_letter(id).await?.ok_or(RedriveError::NoSuchLetter)?;
        let not_running = || RedriveError::NotRunning(letter.plugin.clone());
        let runner = self.routes.runner(&letter.plugin).ok_or_else(not_running)?;
        if !runner.backlog.has_room().await {
            return Err(not_running());
        }
        if !runner.claim_letter(id) {
            return Err(RedriveError::UnderWay);
        }
        // Somebody else's claim may have ended, and the letter gone, since it was read.
        let Some(letter) = store.dead_letter(id).await? else {
            runner.release_letter(id);
            return Err(RedriveError::NoSuchLetter);
        };
        let device = letter.event.device.and_then(|num| self.context.registry.get(num));
        let job = Job { event: letter.event, device, attempt: 1, dead_letter_id: Some(id) };
        if runner.backlog.redrive(job) { Ok(()) } else { Err(RedriveError::NotRunning(letter.plugin)) }
    }
}
