//! Commands that a device fetches one at a time, if no connection of the device receives them. A fetched command is locked for a
//! minute. The device completes, rejects or abandons it by its lock token. Locks are in memory only: after a restart, a fetched
//! command can be fetched again.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{
    handle::{Handle, Inner},
    link::DownlinkKind,
};
use switchbox_core::{
    ingest::{self, EventsCommitted},
    registry::Device,
};
use switchbox_model::{CommandStatus, DeviceNum, Settlement};
use switchbox_store as store;
use switchbox_store::CommandDoc;
use switchbox_support::clock;

/// Commands that are read from the store at a time.
const PAGE: usize = 8;

/// A command that a device has fetched.
#[derive(Debug)]
pub struct Fetched {
    pub command: CommandDoc,
    /// The lock token, by which the device settles the command.
    pub token: String,
    /// How often it was abandoned before.
    pub delivery_count: u32,
}

/// How a device settles a command that it has fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchedOutcome {
    Completed,
    Rejected,
    /// The command can be fetched again. If it was abandoned too often, it counts as rejected.
    Abandoned,
}

/// Why a device cannot settle a command.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettleError {
    #[error(
        "the device has no command locked with this token: the lock has expired after 60 s, or the command has ended"
    )]
    NotLocked,
    #[error(transparent)]
    Journal(#[from] ingest::Error),
}

impl Inner {
    /// The device abandoned the command. Returns how often it has; `None` if that is too often, so that the command has to be rejected.
    pub(super) fn abandoned(&self, device: DeviceNum, num: u64) -> Option<u32> {
        let is_open = |device, num| self.queues.is_open(device, num);
        let times = self.command_locks.abandon(device, num, Instant::now(), &is_open);
        if times >= self.command_deliveries {
            self.command_locks.record_exceeded(device, num);
        }
        Some(times).filter(|times| *times < self.command_deliveries)
    }
}

impl Handle {
    /// Fetches the oldest command that waits for the device. Returns `None` if there is none, or if a connection of the device
    /// receives them.
    pub async fn fetch(&self, device: &Arc<Device>) -> Result<Option<Fetched>, store::Error> {
        let (inner, num) = (&self.inner, device.num);
        if inner.queues.len(num) == 0 || self.is_subscribed(num, DownlinkKind::Commands) {
            return Ok(None);
        }
        let mut after = inner.queues.first(num).saturating_sub(1);
        loop {
            let page = {
                let _permit = inner.readers.acquire().await.map_err(|_| store::Error::Closed)?;
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

    /// Locks the command, if it is open and neither expired nor locked.
    fn try_lock(&self, command: CommandDoc) -> Option<Fetched> {
        let (inner, device, num, now_ms) = (&self.inner, command.device, command.num, clock::now_ms());
        let is_open = |device, num| inner.queues.is_open(device, num);
        let is_ended =
            command.status_at_deadline.is_some() || command.expires_ms.is_none_or(|expires| expires <= now_ms);
        if is_ended || !is_open(device, num) {
            return None;
        }
        let (token, delivery_count) = inner.command_locks.lock(device, num, &command.id, Instant::now(), &is_open)?;
        inner.settle(vec![Settlement::CommandSent { device, num, time_ms: now_ms }]);
        Some(Fetched { command, token, delivery_count })
    }

    /// Whether the command was rejected because it was abandoned too often. This is known only for the newest such commands since
    /// the start.
    #[must_use]
    pub fn delivery_count_exceeded(&self, device: DeviceNum, num: u64) -> bool {
        self.inner.command_locks.is_exceeded(device, num)
    }

    /// Settles a fetched command, and waits until that is durable.
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
            FetchedOutcome::Abandoned if inner.abandoned(device.num, num).is_some() => return Ok(()),
            FetchedOutcome::Abandoned => CommandStatus::Rejected,
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
