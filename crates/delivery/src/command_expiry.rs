//! Ends commands that are due by the wall clock: those past their deadline, also while the host was down, and those that found no room or
//! no device when they were committed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{commands::PAGE, handle::Handle, queue_reader};
use switchbox_model::{CommandStatus, limits};
use switchbox_store as store;
use switchbox_store::DueCommand;
use switchbox_support::{clock, log_limit::SiteLimit};

/// Limit the log lines of one kind to ten a minute, with their count.
static NOT_READ: SiteLimit = SiteLimit::new(10);
static REJECTED: SiteLimit = SiteLimit::new(10);

/// The wall clock is read at least this often, because it may jump.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Handle {
    /// Called at the start, before any device is admitted: ends the commands that expired while the host was down.
    pub async fn expire_overdue(&self) -> Result<(), store::Error> {
        self.end_due_commands(true).await
    }

    /// Ends each command when it is due, until `shutdown`.
    pub async fn run_command_expiry(&self, shutdown: CancellationToken) {
        let mut due = self.inner.queues.due();
        loop {
            let wait = Duration::from_millis(due.borrow_and_update().saturating_sub(clock::now_ms()));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait.min(CHECK_INTERVAL)) => {}
                _ = due.changed() => continue,
            }
            if wait > CHECK_INTERVAL {
                continue;
            }
            match self.end_due_commands(false).await {
                Ok(()) => {}
                Err(store::Error::Closed) => return,
                Err(error) => {
                    if let Some(more) = NOT_READ.allow() {
                        tracing::error!(%error, "commands that are due cannot be read; trying again{more}");
                    }
                    self.inner.queues.record_due(clock::now_ms() + 1_000);
                }
            }
        }
    }

    /// Called when the wall clock went back, and open commands have got new deadlines.
    pub fn clock_set(&self) {
        self.inner.queues.record_due(clock::now_ms());
    }

    /// Ends all commands that are due. `after_start`: also those that end with a connection, which the stopped host had.
    async fn end_due_commands(&self, after_start: bool) -> Result<(), store::Error> {
        loop {
            // Cleared first, so that a deadline that is set from here on is recorded again.
            self.inner.queues.clear_due();
            self.inner.end_undelivered(self.inner.queues.take_undelivered());
            let (page, next) = self.inner.store.due_commands(clock::now_ms(), after_start, PAGE).await?;
            let (due_count, ended_count) = (page.len(), self.end_due(page));
            if due_count > 0 && ended_count > 0 {
                continue;
            }
            if let Some(next) = next {
                // Commands that another task is ending just now are still in the store.
                let retry_ms = if due_count > 0 { clock::now_ms() + 100 } else { 0 };
                self.inner.queues.record_due(next.max(retry_ms));
            }
            return Ok(());
        }
    }

    /// Ends the commands. Returns how many of them had not ended yet.
    fn end_due(&self, page: Vec<DueCommand>) -> usize {
        let mut count = 0;
        let mut remaining = page.into_iter().peekable();
        while let Some(first) = remaining.next() {
            let ends_alike = |other: &DueCommand| {
                other.device == first.device && other.status_at_deadline == first.status_at_deadline
            };
            let mut commands = vec![(first.num, first.id.clone())];
            while let Some(command) = remaining.next_if(ends_alike) {
                commands.push((command.num, command.id));
            }
            let Some(device) = self.inner.registry.get(first.device) else { continue };
            let status = first.status_at_deadline.unwrap_or(CommandStatus::Expired);
            if status == CommandStatus::Rejected {
                self.inner.metrics.limit(limits::names::QUEUED_COMMANDS);
                if let Some(more) = REJECTED.allow() {
                    tracing::warn!(device = %device.name, limit = "queued_commands", "a command is rejected: too many wait{more}");
                }
            }
            count += self.inner.end_commands(&device, status, commands.into_iter(), None);
            if let Some(online_device) = self.online_device(device.num) {
                queue_reader::wake(&self.inner, &online_device);
            }
        }
        count
    }
}
