//! Checks a connection's authorisation again when the registry entry that it was granted from changes, also while the connection waits
//! for room in a queue.

use std::time::{Duration, Instant};

use crate::{
    connection::Connection,
    end::{ConnectionEnd, expires_at},
    mailbox::Close,
    presence::Presence,
};

/// How often a waiting connection checks whether its authorisation changed.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

impl Connection {
    /// Checks the authorisation again if that was requested.
    pub(crate) fn revalidate_if_requested(&mut self) -> Result<(), ConnectionEnd> {
        if self.presence.mailbox.take_revalidation() { self.revalidate() } else { Ok(()) }
    }

    /// Returns an error if the credentials that admitted the client have expired.
    pub(crate) fn check_end(&self, now: Instant) -> Result<(), ConnectionEnd> {
        if self.expires_at.is_some_and(|at| now >= at) { Err(ConnectionEnd::Closed(Close::Expired)) } else { Ok(()) }
    }

    /// Waits for the future, until the client's authorisation ends or the connection is asked to close.
    pub(crate) async fn or_revoked<T>(&self, future: impl Future<Output = T>) -> Result<T, ConnectionEnd> {
        let ended = async {
            loop {
                tokio::time::sleep(CHECK_INTERVAL).await;
                if let Err(end) = self.check_still_authorized().and_then(|()| self.check_end(Instant::now())) {
                    return end;
                }
            }
        };
        let output = tokio::select! {
            biased;
            output = future => Ok(output),
            close = self.presence.mailbox.asked_to_close() => Err(ConnectionEnd::Closed(close)),
            end = ended => return Err(end),
        };
        self.check_still_authorized()?;
        output
    }

    /// Checks the authorisation if it may have changed. The request stays set, so that the connection's loop does the full revalidation
    /// later.
    fn check_still_authorized(&self) -> Result<(), ConnectionEnd> {
        let Presence { shared, auth_context, mailbox, .. } = &self.presence;
        if !mailbox.needs_revalidation() {
            return Ok(());
        }
        let until =
            shared.host.auth.still_holds(auth_context).map_err(|why| ConnectionEnd::Closed(Close::Revoked(why)))?;
        let is_over = expires_at(until).is_some_and(|at| at <= Instant::now());
        if is_over { Err(ConnectionEnd::Closed(Close::Expired)) } else { Ok(()) }
    }
}

/// Splits a result into the value, if there is one, and whether the connection may continue.
pub(crate) fn split_end<T>(result: Result<T, ConnectionEnd>) -> (Option<T>, Result<(), ConnectionEnd>) {
    match result {
        Ok(value) => (Some(value), Ok(())),
        Err(end) => (None, Err(end)),
    }
}
