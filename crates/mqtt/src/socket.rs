//! A client's connection: TCP, TLS, or MQTT over WebSocket on either. It reads and writes without waiting; only [`Socket::ready`] waits.

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
};

use tokio::io::{Interest, Ready};

use super::{
    web::{Closing, WebSocket},
    wire::Wire,
};
use switchbox_support::threads;

pub(super) enum Socket {
    Direct(Wire),
    WebSocket(Box<WebSocket>),
}

impl Socket {
    fn wire(&self) -> &Wire {
        match self {
            Self::Direct(wire) => wire,
            Self::WebSocket(web) => web.wire(),
        }
    }

    fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Direct(wire) => wire,
            Self::WebSocket(web) => web.wire_mut(),
        }
    }

    /// The client's address. Returns `None` if it has closed the connection already.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.wire().tcp().peer_addr().ok().map(|addr| addr.ip())
    }

    /// The client's certificate, and its intermediate certificates.
    pub(super) fn peer_certificates(&self) -> &[rustls::pki_types::CertificateDer<'static>] {
        match self.wire() {
            Wire::Plain(_) => &[],
            Wire::Tls(tls) => tls.peer_certificates(),
        }
    }

    /// Registers the socket with the caller's runtime.
    pub(super) fn move_here(&mut self) -> io::Result<()> {
        threads::move_stream_here(self.wire_mut().tcp_mut())
    }

    /// As `TcpStream::ready`.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Direct(wire) => wire.ready(interest).await,
            Self::WebSocket(web) => web.ready(interest).await,
        }
    }

    /// Returns 0 at the end of the stream.
    pub(super) fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Direct(wire) => wire.try_read(to),
            Self::WebSocket(web) => web.try_read(to),
        }
    }

    /// Whether the beginning of a TLS record or WebSocket frame has come that cannot be read before its rest.
    pub(super) fn is_half_read(&self) -> bool {
        match self {
            Self::Direct(_) => false,
            Self::WebSocket(web) => web.is_half_read(),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Direct(wire) => wire.try_write(bytes),
            Self::WebSocket(web) => web.try_write(bytes),
        }
    }

    /// Returns true when the system has all bytes that `try_write` took.
    pub(super) fn try_flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Direct(wire) => wire.try_flush(),
            Self::WebSocket(web) => web.try_flush(),
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Direct(wire) => wire.is_flushed(),
            Self::WebSocket(web) => web.is_flushed(),
        }
    }

    /// Writes `words`, closes, and waits until the client has closed too. The caller limits the time.
    pub(super) async fn send_and_close(&mut self, mut words: &[u8], closing: Closing<'_>) -> io::Result<()> {
        while !words.is_empty() {
            match self.try_write(words) {
                Ok(written) => words = words.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.ready(Interest::WRITABLE).await?),
                Err(error) => return Err(error),
            }
        }
        self.close(closing);
        self.wait_for_close().await
    }

    /// Waits until the client has closed too. The caller limits the time.
    pub(super) async fn wait_for_close(&mut self) -> io::Result<()> {
        while !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
        }
        self.wire_mut().finish().await
    }

    /// Closes without waiting for the client.
    pub(super) fn close(&mut self, closing: Closing<'_>) {
        match self {
            Self::Direct(wire) => wire.close(),
            Self::WebSocket(web) => web.close(closing),
        }
    }
}
