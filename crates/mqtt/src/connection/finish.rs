//! Finishes a connection: acknowledges what was accepted, sends DISCONNECT with the reason, and logs and counts connections that the host
//! ended. Bounded in time.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::Interest;

use crate::{
    connection::Connection,
    end::ConnectionEnd,
    mailbox::Close,
    socket::{CLOSE_TIMEOUT, Socket},
    web::Closing,
};

/// How long accepted packets may take to become durable and be acknowledged.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
/// As [`ACK_TIMEOUT`], when the client's new connection waits for this one to end.
const TAKEOVER_ACK_TIMEOUT: Duration = Duration::from_millis(250);
/// How often a connection that is taken over is read at most.
const LAST_READS: usize = 4;

impl Connection {
    /// Sends the last acknowledgements and DISCONNECT, then closes.
    pub(crate) async fn finish(mut self: Box<Self>, end: ConnectionEnd) {
        let is_taken_over = matches!(end, ConnectionEnd::Closed(Close::TakenOver));
        let end = if is_taken_over { self.process_arrived().await } else { end };
        // What was written to the socket counts as sent, because the client may have got it.
        self.record_sent();
        self.record_end(&end);
        let ack_timeout = if is_taken_over { TAKEOVER_ACK_TIMEOUT } else { ACK_TIMEOUT };
        // Without these acknowledgements the client would send packets again that are in the journal.
        let _ = tokio::time::timeout(ack_timeout, self.acknowledge_accepted()).await;
        let bytes = self.final_bytes(&end);
        let closing = end.closing();
        match bytes {
            Some(bytes) if !is_taken_over => send_and_close(&mut self.stream, &bytes, closing).await,
            bytes => {
                if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                    let _ = self.stream.try_write(&bytes);
                }
                self.stream.close(closing);
            }
        }
        let is_lost = matches!(end, ConnectionEnd::Lost(_));
        let Self { mut presence, mut stream, .. } = *self;
        presence.end = Some(end);
        // Dropping the presence disconnects the device and permits its next connection.
        drop(presence);
        if matches!(stream, Socket::Web(_)) && !is_lost {
            // Closing the socket before the client's close frame arrives could discard the host's close frame.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, stream.wait_for_close()).await;
        }
    }

    /// Processes the packets that the client sent before it connected again, above all a DISCONNECT, which cancels its will. The new
    /// connection waits meanwhile, so only packets that have arrived are read. Returns how the connection ends.
    async fn process_arrived(&mut self) -> ConnectionEnd {
        for _ in 0..LAST_READS {
            match self.read() {
                Ok(packets) if !packets.is_empty() => match self.process(packets).await {
                    Ok(()) => {}
                    Err(end @ ConnectionEnd::Disconnected { .. }) => return end,
                    Err(_) => break,
                },
                _ => break,
            }
        }
        ConnectionEnd::Closed(Close::TakenOver)
    }

    /// The unsent bytes, and DISCONNECT if the protocol version has one. `None` if the client closed first.
    fn final_bytes(&mut self, end: &ConnectionEnd) -> Option<BytesMut> {
        let reason = end.reason()?;
        let mut bytes = std::mem::take(&mut self.unsent);
        self.peer.disconnect(reason, end.text(), &mut bytes);
        Some(bytes)
    }

    /// Counts and logs a connection that the host ended, at most one line a minute for each client and reason.
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

    /// Sends the acknowledgements of all accepted packets, as soon as they are durable.
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
            self.presence.mailbox.work.notify.notified().await;
        }
    }
}

/// Writes these bytes and waits a short time for the client to close.
pub(crate) async fn send_and_close(socket: &mut Socket, bytes: &[u8], closing: Closing<'_>) {
    // An error is ignored, because the connection ends anyway.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(socket.send_and_close(bytes, closing))).await;
}
