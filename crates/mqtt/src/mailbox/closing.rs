//! The request that a connection ends. It stays until the next connection of the session begins.

use std::sync::atomic::Ordering;

use super::Mailbox;

/// Why somebody wants a connection closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Close {
    TakenOver,
    Shutdown,
    /// With the reason, for the log and the client.
    Administrative(String),
    /// The token, key or certificate that the client was let in by.
    Expired,
    /// The client may not stay, with the reason.
    Revoked(String),
}

impl Mailbox {
    /// Asks the connection to end; the first reason counts.
    pub(crate) fn close(&self, close: Close) {
        {
            let mut state = self.lock();
            state.closing.get_or_insert(close);
            // Under the lock, as the next connection of the session sets it.
            self.open_epoch.store(0, Ordering::Release);
        }
        self.closing.notify_one();
    }

    /// Waits until the connection is asked to end. The request stays, for the next caller.
    pub(crate) async fn asked_to_close(&self) -> Close {
        loop {
            self.closing.notified().await;
            // One that was meant for an earlier connection of the session is gone.
            if let Some(close) = self.lock().closing.clone() {
                self.closing.notify_one();
                return close;
            }
        }
    }

    /// Waits for this as long as the connection is not asked to end.
    pub(crate) async fn unless_closing<T>(&self, wanted: impl Future<Output = T>) -> Result<T, Close> {
        tokio::select! {
            biased;
            got = wanted => Ok(got),
            close = self.asked_to_close() => Err(close),
        }
    }
}
