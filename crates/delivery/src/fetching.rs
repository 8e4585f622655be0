//! Commands that a device fetches one at a time, where no connection of it takes them. Each is the device's for a minute, under a token
//! by which it says what became of it. All of this is in memory: after a restart a command that was fetched can be fetched again.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{handle::Handle, link::DownlinkKind};
use switchbox_core::{
    ingest::{self, EventsCommitted},
    registry::Device,
};
use switchbox_model::{CommandStatus, DeviceNum, Settlement};
use switchbox_store as store;
use switchbox_store::CommandDoc;
use switchbox_support::clock;

/// Commands that are read from the store together.
const PAGE: usize = 8;

/// A command that a device has fetched.
#[derive(Debug)]
pub struct Fetched {
    pub command: CommandDoc,
    /// By which the device says what became of it.
    pub token: String,
    /// How often it was given back before.
    pub delivery_count: u32,
}

/// What became of a command that was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchedOutcome {
    Completed,
    Rejected,
    /// It is to be fetched again. Too often, and it counts as refused.
    Abandoned,
}

/// Why a device cannot say what became of a command.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettleError {
    #[error("the device holds no command under this lock token: its minute is over, or the command has ended")]
    NotLocked,
    #[error(transparent)]
    Journal(#[from] ingest::Error),
}

impl Handle {
    /// The oldest command that waits for the device. `None`: there is none, or a connection of the device takes them.
    pub async fn fetch(&self, device: &Arc<Device>) -> Result<Option<Fetched>, store::Error> {
        let (inner, num) = (&self.inner, device.num);
        if inner.queues.len(num) == 0 || self.is_subscribed(num, DownlinkKind::Commands) {
            return Ok(None);
        }
        // The queue is read from the documents, which are made behind the journal.
        inner.store.flush(None).await?;
        let mut after = inner.queues.first(num).saturating_sub(1);
        loop {
            let page = {
                let _turn = inner.readers.acquire().await.map_err(|_| store::Error::Closed)?;
                inner.store.queued_commands(num, after, PAGE).await?
            };
            for command in page.commands {
                after = command.num;
                if let Some(fetched) = self.try_lock(command) {
                    return Ok(Some(fetched));
                }
            }
            if page.last {
                return Ok(None);
            }
        }
    }

    fn try_lock(&self, command: CommandDoc) -> Option<Fetched> {
        let (inner, device, num, now_ms) = (&self.inner, command.device, command.num, clock::now_ms());
        let is_open = |device, num| inner.queues.is_open(device, num);
        let is_over =
            command.status_at_deadline.is_some() || command.expires_ms.is_none_or(|expires| expires <= now_ms);
        if is_over || !is_open(device, num) {
            return None;
        }
        let (token, delivery_count) = inner.command_locks.lock(device, num, &command.id, Instant::now(), &is_open)?;
        inner.settle(vec![Settlement::CommandSent { device, num, time_ms: now_ms }]);
        Some(Fetched { command, token, delivery_count })
    }

    /// The command was rejected because its device gave it back too often; known of the newest such commands since the start.
    #[must_use]
    pub fn delivery_count_exceeded(&self, device: DeviceNum, num: u64) -> bool {
        self.inner.command_locks.is_exceeded(device, num)
    }

    /// Says what became of a command that was fetched, and waits until that is durable.
    pub async fn settle_fetched(
        &self,
        device: &Arc<Device>,
        token: &str,
        outcome: FetchedOutcome,
    ) -> Result<(), SettleError> {
        let inner = &self.inner;
        let (num, id) = inner.command_locks.release(device.num, token, Instant::now()).ok_or(SettleError::NotLocked)?;
        let status = match outcome {
            FetchedOutcome::Completed => CommandStatus::Acknowledged,
            FetchedOutcome::Rejected => CommandStatus::Rejected,
            FetchedOutcome::Abandoned if inner.command_locks.abandon(device.num, num) < inner.command_deliveries => {
                return Ok(());
            }
            FetchedOutcome::Abandoned => {
                inner.command_locks.record_exceeded(device.num, num);
                CommandStatus::Rejected
            }
        };
        let (committed, is_committed) = oneshot::channel();
        let done: EventsCommitted = Box::new(move |result| {
            let _ = committed.send(result);
        });
        if inner.end_commands(device, status, std::iter::once((num, id)), Some(done)) == 0 {
            return Err(SettleError::NotLocked);
        }
        Ok(is_committed.await.map_err(|_| ingest::Error::Closed)??)
    }
}
