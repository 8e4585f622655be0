//! The end of a connection: what was accepted is acknowledged, DISCONNECT says why, and what the host ended is logged and counted. Bounded
//! in time.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::Interest;

use crate::{
    connection::Connection, end::ConnectionEnd, mailbox::Close, socket::Socket, web::Closing, wire::CLOSE_TIMEOUT,
};

/// How long what was accepted may take to be durable and acknowledged.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
/// The same where the client's new connection waits for this one to end.
const TAKEOVER_ACK_TIMEOUT: Duration = Duration::from_millis(250);

impl Connection {
    /// Sends the last acknowledgements and DISCONNECT, then closes.
    pub(crate) async fn finish(mut self: Box<Self>, end: ConnectionEnd) {
        let taken_over = matches!(end, ConnectionEnd::Closed(Close::TakenOver));
        let end = if taken_over { self.taken_over().await } else { end };
        // What was written to the socket counts as sent: the client may have it.
        self.record_sent();
        self.record_end(&end);
        let ack_timeout = if taken_over { TAKEOVER_ACK_TIMEOUT } else { ACK_TIMEOUT };
        // Where a later packet ended the connection, the client would else send again what is in the journal.
        let _ = tokio::time::timeout(ack_timeout, self.acknowledge_accepted()).await;
        let bytes = self.final_bytes(&end);
        let closing = end.closing();
        match bytes {
            Some(bytes) if !taken_over => send_and_close(&mut self.stream, &bytes, closing).await,
            bytes => {
                if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                    let _ = self.stream.try_write(&bytes);
                }
                self.stream.close(closing);
            }
        }
        let lost = matches!(end, ConnectionEnd::Lost(_));
        let Self { mut presence, mut stream, .. } = *self;
        presence.end = Some(end);
        // The device is disconnected now, and its next connection waits no longer.
        drop(presence);
        if matches!(stream, Socket::WebSocket(_)) && !lost {
            // Closing the socket before the client's close frame comes would throw away the host's.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, stream.wait_for_close()).await;
        }
    }

    /// What is still to be written, and DISCONNECT where the client can read one. None: the client closed first.
    fn final_bytes(&mut self, end: &ConnectionEnd) -> Option<BytesMut> {
        let reason = end.reason()?;
        let mut bytes = std::mem::take(&mut self.unsent);
        self.peer.disconnect(reason, end.text(), &mut bytes);
        Some(bytes)
    }

    /// Counts and logs what the host ended; a client that comes back and does the same again is logged once a minute.
    fn record_end(&self, end: &ConnectionEnd) {
        let (shared, client) = (&self.presence.shared, &self.presence.mailbox.name);
        let Some(label) = end.label() else {
            return tracing::debug!(%client, "connection ended: {}", end.text());
        };
        shared.metrics.close(label);
        if matches!(end, ConnectionEnd::Fault(_)) {
            shared.metrics.refuse("packet");
        }
        if matches!(end, ConnectionEnd::Closed(Close::Shutdown)) {
            return tracing::debug!(%client, "connection closed: {}", end.text());
        }
        let Some(more) = shared.client_lines.allow((client.clone(), label), Instant::now()) else { return };
        match end {
            ConnectionEnd::Fault(fault) => {
                tracing::warn!(%client, reason = fault.reason, "connection closed: {}{more}", fault.text);
            }
            ConnectionEnd::Late { limit, text } => tracing::warn!(%client, %limit, "connection closed: {text}{more}"),
            end => tracing::info!(%client, "connection closed: {}{more}", end.text()),
        }
    }

    /// Writes the acknowledgements of all that was accepted, as soon as it is durable.
    async fn acknowledge_accepted(&mut self) -> Result<(), ConnectionEnd> {
        self.is_ending = true;
        loop {
            self.presence.mailbox.work.clear();
            self.write()?;
            if !self.unsent.is_empty() || !self.stream.is_flushed() {
                self.stream.ready(Interest::WRITABLE).await?;
                continue;
            }
            if self.presence.mailbox.lock().session.acks_waiting() == 0 {
                return Ok(());
            }
            self.presence.mailbox.work.notified().await;
        }
    }
}

/// Writes these bytes and waits a moment for the client to close.
pub(crate) async fn send_and_close(socket: &mut Socket, bytes: &[u8], closing: Closing<'_>) {
    // Whatever goes wrong here, the connection is over.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(socket.send_and_close(bytes, closing))).await;
}
