//! Ends commands: on their device's acknowledgement, at their deadline, or for an operator. Each end is claimed from the queue first, so
//! that a command ends once.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    command_window::outbound,
    handle::{Handle, Inner},
    online_device::OnlineDevice,
    traces,
};
use switchbox_core::{
    ingest::{self, EndedCommand, EventsCommitted},
    outbox::Undelivered,
    registry::{self, Device},
};
use switchbox_model::{CommandStatus, DeviceNum};
use switchbox_store as store;
use switchbox_store::CommandDoc;
use switchbox_support::{clock, metrics::Reason};

/// At most so many commands are ended by one record of the journal.
pub(super) const PAGE: usize = 256;

/// Why a command cannot be cancelled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CancelError {
    #[error("command {0} does not exist")]
    NoSuch(String),
    #[error("command {0} has ended already: {1}")]
    Ended(String, &'static str),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Journal(#[from] ingest::Error),
}

impl Inner {
    /// Ends those of the given commands that have not ended yet, and returns how many. `done` is called when that is durable; it is
    /// dropped if there were none.
    pub(super) fn end_commands(
        &self,
        device: &Arc<Device>,
        status: CommandStatus,
        commands: impl Iterator<Item = (u64, String)>,
        done: Option<EventsCommitted>,
    ) -> usize {
        let ended = self.claim(device, status, commands);
        let count = ended.len();
        if count > 0 {
            self.record_ends(device, status, &ended);
            self.ingest.submit_command_ends(device, ended, done);
        }
        count
    }

    /// Claims the ends of those of the given commands that have not ended yet.
    fn claim(
        &self,
        device: &Arc<Device>,
        status: CommandStatus,
        commands: impl Iterator<Item = (u64, String)>,
    ) -> Vec<EndedCommand> {
        let claimed = commands.filter(|(num, _)| self.queues.claim(device.num, *num));
        claimed.map(|(num, id)| EndedCommand { num, id, status }).collect()
    }

    /// Removes ended commands from the connection's window, counts them and ends their spans. The caller submits their ends to the journal next.
    fn record_ends(&self, device: &Arc<Device>, status: CommandStatus, ended: &[EndedCommand]) {
        if let Some(online_device) = self.online.read().get(&device.num) {
            online_device.commands.remove_ended(&ended.iter().map(|command| command.num).collect::<Vec<_>>());
        }
        traces::commands_ended(&self.metrics, &device.name, status, ended);
        let label = Reason { reason: status.as_str() };
        self.metrics.commands_ended.get_or_create(&label).inc_by(u64::try_from(ended.len()).unwrap_or(0));
    }

    /// Ends commands whose device was not connected when they were committed.
    pub(super) fn end_undelivered(&self, undelivered: Vec<Undelivered>) {
        let mut remaining = undelivered.into_iter().peekable();
        while let Some(Undelivered { device, num, id }) = remaining.next() {
            let status = CommandStatus::Expired;
            let mut ended = vec![EndedCommand { num, id, status }];
            while ended.len() < PAGE
                && let Some(next) = remaining.next_if(|next| next.device == device)
            {
                ended.push(EndedCommand { num: next.num, id: next.id, status });
            }
            if let Some(device) = self.registry.get(device) {
                self.record_ends(&device, status, &ended);
                self.ingest.submit_command_ends(&device, ended, None);
            }
        }
    }

    /// Sends a command at most once, to a device whose subscription has QoS 0: the command's end is journaled first, and the command is
    /// sent when that is durable.
    pub(super) fn send_unconfirmed(&self, online_device: &Arc<OnlineDevice>, command: CommandDoc) {
        let target = online_device.clone();
        let ended = (command.num, command.id.clone());
        let send: EventsCommitted = Box::new(move |result| {
            if result.is_ok() && !target.link.deliver(outbound(&command, false, clock::now_ms())) {
                tracing::debug!(device = %target.device.name, id = command.id, "the connection ended before a command was sent");
            }
        });
        self.end_commands(&online_device.device, CommandStatus::SentUnconfirmed, std::iter::once(ended), Some(send));
    }

    /// Ends the commands as purged and waits until that is durable. Returns how many had not ended yet.
    async fn purge_commands(&self, device: &Arc<Device>, commands: Vec<(u64, String)>) -> Result<usize, ingest::Error> {
        let (done, result) = oneshot::channel();
        let done: EventsCommitted = Box::new(move |result| {
            let _ = done.send(result);
        });
        let count = self.end_commands(device, CommandStatus::Purged, commands.into_iter(), Some(done));
        if count > 0 {
            result.await.map_err(|_| ingest::Error::Closed)??;
        }
        Ok(count)
    }
}

impl Handle {
    /// Cancels a command that has not ended yet. If it was sent already, it may have reached the device.
    pub async fn cancel(&self, device: &Arc<Device>, id: &str) -> Result<(), CancelError> {
        let store = &self.inner.store;
        let find = || async {
            let command = store.command(device.num, id.to_owned()).await?;
            command.ok_or_else(|| CancelError::NoSuch(id.to_owned()))
        };
        let command = find().await?;
        if self.inner.purge_commands(device, vec![(command.num, command.id)]).await? == 1 {
            return Ok(());
        }
        Err(CancelError::Ended(id.to_owned(), find().await?.status.as_str()))
    }

    /// Cancels all commands of the device that have not ended yet. Returns how many.
    pub async fn purge(&self, device: &Arc<Device>) -> Result<usize, CancelError> {
        let (mut after, mut count) = (0, 0);
        loop {
            let page = self.inner.store.open_commands(device.num, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = last.num;
            let commands = page.into_iter().map(|command| (command.num, command.id)).collect();
            count += self.inner.purge_commands(device, commands).await?;
        }
    }

    /// Deletes the device; with `revision`, only if it has that one. Its open commands end in the same entry.
    pub async fn delete(&self, device: &Arc<Device>, revision: Option<u64>) -> Result<(), registry::Error> {
        let Inner { registry, queues, ingest, .. } = self.inner.as_ref();
        if queues.len(device.num) > 0 {
            // Locked until the entry is applied: its events are offered to plugins before that, so it must not be refused then.
            let _changes_lock = registry.lock_changes().await;
            registry.check_delete(device, revision)?;
            let status = CommandStatus::Purged;
            let ended = self.inner.claim(device, status, self.all_open(device.num).await?.into_iter());
            if !ended.is_empty() {
                self.inner.record_ends(device, status, &ended);
                let reply = ingest.submit_device_deletion(device, ended, revision).await?;
                return registry.deletion_result(reply, device, revision);
            }
        }
        registry.delete(device, revision).await
    }

    /// The number and the id of each open command of the device.
    async fn all_open(&self, device: DeviceNum) -> Result<Vec<(u64, String)>, store::Error> {
        let mut open: Vec<(u64, String)> = Vec::new();
        loop {
            let after = open.last().map_or(0, |(num, _)| *num);
            let page = self.inner.store.open_commands(device, after, PAGE).await?;
            if page.is_empty() {
                return Ok(open);
            }
            open.extend(page.into_iter().map(|command| (command.num, command.id)));
        }
    }

    /// How many more commands may wait for the device.
    #[must_use]
    pub fn command_room(&self, device: DeviceNum) -> usize {
        self.inner.queues.room(device)
    }

    /// Commands of one device that have not ended.
    #[must_use]
    pub fn open_commands_of(&self, device: DeviceNum) -> usize {
        self.inner.queues.len(device)
    }

    /// Commands of all devices that have not ended.
    #[must_use]
    pub fn open_commands(&self) -> usize {
        self.inner.queues.total()
    }
}
