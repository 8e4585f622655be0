//! What a connection is made of below MQTT and WebSocket: TCP, or TLS on it. Waits only in [`Wire::ready`], and where all of something
//! is to be written.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, Interest, ReadBuf, Ready},
    net::TcpStream,
};

use switchbox_transport::tls;

/// How long the last words to a client may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// What a connection is made of below MQTT and WebSocket.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(tls::Stream),
}

impl Wire {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    pub(super) fn tcp_mut(&mut self) -> &mut TcpStream {
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
