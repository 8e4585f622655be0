//! A client's bytes, whatever carries them: TCP, TLS, and MQTT over WebSocket on either. Reads and writes what can be
//! read and written at once, and waits for more only in [`Socket::ready`].

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, Interest, ReadBuf, Ready},
    net::TcpStream,
};

use super::web::{Closing, Web};
use switchbox_support::scheduling;
use switchbox_transport::tls;

/// What a connection is made of below MQTT and WebSocket.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(tls::Stream),
}

pub(super) enum Socket {
    Direct(Wire),
    Web(Box<Web>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp_mut(),
        }
    }

    /// Uses up budget of the task. `try_read` does too, and gives `WouldBlock` when there is none left although bytes are there:
    /// a loop of the two would never leave the thread to others, nor to its own deadline, if this came back at once.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        tokio::task::coop::consume_budget().await;
        match self {
            Self::Plain(tcp) => tcp.ready(interest).await,
            Self::Tls(tls) => tls.ready(interest).await,
        }
    }

    pub(super) fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => read_now(tcp, to),
            Self::Tls(tls) => tls.try_read(to),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => tls.is_flushed(),
        }
    }

    pub(super) fn try_flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.try_flush(),
        }
    }

    pub(super) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }

    /// Writes all of it, and waits until the system has it.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.ready(Interest::WRITABLE).await?),
                Err(error) => return Err(error),
            }
        }
        while !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
        }
        Ok(())
    }

    /// Says that nothing more comes, and waits until the client has closed too: closing at once, with bytes of the client unread,
    /// would throw the last words away.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.close();
        while !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
        }
        self.tcp_mut().shutdown().await?;
        let mut sink = [0; 512];
        loop {
            // A client that sends without end keeps the socket readable; the caller's deadline must be looked at all the same.
            tokio::task::coop::consume_budget().await;
            self.tcp().readable().await?;
            match self.tcp().try_read(&mut sink) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// As `TcpStream::try_read`, which tries again after a read that left room; `poll_read` knows that there is no more.
fn read_now(tcp: &mut TcpStream, to: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(to);
    // Waiting is done in `ready`.
    let mut nobody = Context::from_waker(Waker::noop());
    match Pin::new(tcp).poll_read(&mut nobody, &mut buffer) {
        Poll::Ready(read) => read.map(|()| buffer.filled().len()),
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Socket {
    fn wire(&self) -> &Wire {
        match self {
            Self::Direct(wire) => wire,
            Self::Web(web) => web.wire(),
        }
    }

    fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Direct(wire) => wire,
            Self::Web(web) => web.wire_mut(),
        }
    }

    /// Where the client is; none when it is gone already.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.wire().tcp().peer_addr().ok().map(|addr| addr.ip())
    }

    /// The certificate that the client showed, and those below its authority.
    pub(super) fn peer_certificates(&self) -> &[rustls::pki_types::CertificateDer<'static>] {
        match self.wire() {
            Wire::Plain(_) => &[],
            Wire::Tls(tls) => tls.peer_certificates(),
        }
    }

    /// The threads of the caller wait for it from here on.
    pub(super) fn move_here(&mut self) -> io::Result<()> {
        scheduling::move_stream_here(self.wire_mut().tcp_mut())
    }

    /// As `TcpStream::ready`.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Direct(wire) => wire.ready(interest).await,
            Self::Web(web) => web.ready(interest).await,
        }
    }

    /// 0 = the end.
    pub(super) fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Direct(wire) => wire.try_read(to),
            Self::Web(web) => web.try_read(to),
        }
    }

    /// Something has begun to come that cannot be read before its rest is there.
    pub(super) fn is_half_read(&self) -> bool {
        match self {
            Self::Direct(_) => false,
            Self::Web(web) => web.is_half_read(),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Direct(wire) => wire.try_write(bytes),
            Self::Web(web) => web.try_write(bytes),
        }
    }

    /// True: all that was taken is with the system.
    pub(super) fn try_flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Direct(wire) => wire.try_flush(),
            Self::Web(web) => web.try_flush(),
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Direct(wire) => wire.is_flushed(),
            Self::Web(web) => web.is_flushed(),
        }
    }

    /// Writes the last words, closes, and waits until the client has closed too. The caller limits the time.
    pub(super) async fn say_goodbye(&mut self, mut words: &[u8], closing: Closing<'_>) -> io::Result<()> {
        while !words.is_empty() {
            match self.try_write(words) {
                Ok(written) => words = words.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.ready(Interest::WRITABLE).await?),
                Err(error) => return Err(error),
            }
        }
        self.close(closing);
        self.linger().await
    }

    /// Waits until the client has closed too. The caller limits the time.
    pub(super) async fn linger(&mut self) -> io::Result<()> {
        while !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
        }
        self.wire_mut().finish().await
    }

    /// Closes without waiting, where the client may be gone.
    pub(super) fn close(&mut self, closing: Closing<'_>) {
        match self {
            Self::Direct(wire) => wire.close(),
            Self::Web(web) => web.close(closing),
        }
    }
}
