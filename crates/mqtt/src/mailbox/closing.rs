//! The request to close a connection. It stays until the next connection of the session begins.

use std::sync::atomic::Ordering;

use super::{Mailbox, state::Close};

impl Mailbox {
    /// Asks the connection to end. The first reason stays.
    pub(crate) fn close(&self, close: Close) {
        {
            let mut state = self.lock();
            state.closing.get_or_insert(close);
            // Changed under the lock, because the next connection of the session sets it.
            self.open_epoch.store(0, Ordering::Release);
        }
        self.close_requested.notify_one();
    }

    /// Waits until the connection is asked to end. The request stays for the next caller.
    pub(crate) async fn asked_to_close(&self) -> Close {
        loop {
            self.close_requested.notified().await;
            // A request for an earlier connection of the session has been cleared.
            if let Some(close) = self.lock().closing.clone() {
                self.close_requested.notify_one();
                return close;
            }
        }
    }

    /// Waits for the future, until the connection is asked to end.
    pub(crate) async fn unless_closing<T>(&self, future: impl Future<Output = T>) -> Result<T, Close> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            close = self.asked_to_close() => Err(close),
        }
    }
}
