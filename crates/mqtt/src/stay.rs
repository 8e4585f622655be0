//! Whether a client may stay: looked at when what it was let in by changes, also where its connection waits for something.

use std::time::{Duration, Instant};

use super::{
    connection::Connection,
    end::{End, Presence},
    handshake::runs_out,
    hub::Hub,
    mailbox::Close,
};

/// How soon a connection that waits finds out that something changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl<H: Hub> Connection<H> {
    /// Looks again where somebody asked for it.
    pub(super) fn recheck_if_asked(&mut self) -> Result<(), End> {
        if self.presence.mailbox.take_recheck() { self.recheck() } else { Ok(()) }
    }

    /// Whether what the client was let in by has run out.
    pub(super) fn check_end(&self, now: Instant) -> Result<(), End> {
        if self.runs_out.is_some_and(|at| now >= at) { Err(End::Closed(Close::RanOut)) } else { Ok(()) }
    }

    /// Waits for this as long as the client may stay and nobody asks for the end of its connection.
    pub(super) async fn while_it_stays<T>(&self, wanted: impl Future<Output = T>) -> Result<T, End> {
        let over = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Err(end) = self.may_stay().and_then(|()| self.check_end(Instant::now())) {
                    return end;
                }
            }
        };
        tokio::select! {
            biased;
            got = self.presence.mailbox.unless_closing(wanted) => {
                self.may_stay()?;
                got.map_err(End::Closed)
            }
            end = over => Err(end),
        }
    }

    /// As far as something changed. What else depends on it comes when the connection goes on.
    fn may_stay(&self) -> Result<(), End> {
        let Presence { shared, standing, mailbox, .. } = &self.presence;
        if !mailbox.is_to_recheck() {
            return Ok(());
        }
        let until = shared.hub.still_holds(standing).map_err(|why| End::Closed(Close::Revoked(why)))?;
        let is_over = runs_out(until).is_some_and(|at| at <= Instant::now());
        if is_over { Err(End::Closed(Close::RanOut)) } else { Ok(()) }
    }
}

/// What was waited for, if it came, and whether the client stays.
pub(super) fn apart<T>(waited: Result<T, End>) -> (Option<T>, Result<(), End>) {
    match waited {
        Ok(got) => (Some(got), Ok(())),
        Err(end) => (None, Err(end)),
    }
}
