//! Reads a connected device's command queue from the store, as fast as the device acknowledges. The task ends when the connection has all
//! commands, or as many as may be in flight; the next acknowledgement starts it again.

use std::{sync::Arc, time::Duration};

use super::{command_window::PageResult, handle::Inner, online_device::OnlineDevice};
use switchbox_model::CommandStatus;
use switchbox_store as store;
use switchbox_support::{clock, log_limit::SiteLimit, tasks};

/// Limits the log lines to ten a minute, with their count.
static NOT_READ: SiteLimit = SiteLimit::new(10);

/// Pause before the next try, when the connection had no room or the store could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Pause before the queue of a device that has just subscribed is read, so that its SUBACK and its config are sent first.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(2);

/// Starts to read the device's queue if commands wait in the store and no task reads it already.
pub(super) fn wake(inner: &Arc<Inner>, online_device: &Arc<OnlineDevice>) {
    wake_after(Duration::ZERO, inner, online_device);
}

/// As [`wake`], after a short pause, for a device that has just subscribed.
pub(super) fn wake_soon(inner: &Arc<Inner>, online_device: &Arc<OnlineDevice>) {
    wake_after(SUBSCRIBE_PAUSE, inner, online_device);
}

fn wake_after(pause: Duration, inner: &Arc<Inner>, online_device: &Arc<OnlineDevice>) {
    if online_device.commands.begin_reading() {
        let (inner, online_device, runtime) = (inner.clone(), online_device.clone(), inner.runtime.clone());
        let panics = inner.metrics.panics.clone();
        // After a panic the device gets its queue when it connects again.
        let reading = tasks::contained(panics, "command queue reader", async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            // A store that is closed means that the host is stopping.
            let _ = run(&inner, &online_device).await;
        });
        // Supervision: contained, see above.
        runtime.spawn(reading);
    }
}

/// Reads pages of the queue and hands them to the connection, until it has all commands or as many as may be in flight.
async fn run(inner: &Arc<Inner>, online_device: &Arc<OnlineDevice>) -> Result<(), store::Error> {
    let (window, device) = (&online_device.commands, online_device.device.num);
    while let Some((cursor, room)) = window.next_read() {
        // Commands before the oldest open one have ended, so they are skipped.
        let after = cursor.max(inner.queues.first(device).saturating_sub(1));
        // The page that is read next shows commands up to this one.
        let covered = inner.queues.last(device);
        let page = {
            let _permit = inner.readers.acquire().await.map_err(|_| store::Error::Closed)?;
            retry(|| inner.store.queued_commands(device, after, room)).await?
        };
        let last = page.last;
        let result = window.deliver_page(online_device.link.as_ref(), &inner.queues, clock::now_ms(), page);
        let blocked = result.blocked;
        end_unsent(inner, online_device, result);
        if blocked {
            if window.pause() {
                return Ok(());
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        } else if last && window.caught_up(&inner.queues, device, covered) {
            return Ok(());
        }
    }
    Ok(())
}

/// Ends the commands of the page that the connection did not take. The unconfirmed ones are sent when their end is durable.
fn end_unsent(inner: &Arc<Inner>, online_device: &Arc<OnlineDevice>, result: PageResult) {
    let expired = result.expired.into_iter().map(|command| (command.num, command.id.as_ref().into()));
    inner.end_commands(&online_device.device, CommandStatus::Expired, expired, None);
    result.unconfirmed.into_iter().for_each(|command| inner.send_unconfirmed(online_device, command));
    // The commands may have been sent before, and a delivery of QoS 0 cannot carry DUP, so they are not sent again.
    let possibly_sent = result.possibly_sent.into_iter().map(|command| (command.num, command.id.as_ref().into()));
    inner.end_commands(&online_device.device, CommandStatus::SentUnconfirmed, possibly_sent, None);
}

/// Repeats the read until it succeeds or the store is closed.
async fn retry<T, F: Future<Output = Result<T, store::Error>>>(read: impl Fn() -> F) -> Result<T, store::Error> {
    loop {
        match read().await {
            Err(store::Error::Closed) => return Err(store::Error::Closed),
            Err(error) => {
                if let Some(more) = NOT_READ.allow() {
                    tracing::error!(%error, "a device's queue cannot be read; trying again{more}");
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            result => return result,
        }
    }
}
