//! What a connection is made of below MQTT and WebSocket: TCP, or TLS on it. It waits only in [`Wire::ready`], [`Wire::write_all`] and
//! [`Wire::finish`].

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

/// How long writing the last packet to a client may take.
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

    /// Waits until the socket is ready, and uses up budget of the task. `try_read` uses it up too, and returns `WouldBlock` when there is
    /// none left although bytes are available. If `ready` did not, a loop of the two would never yield to other tasks or to its own deadline.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        tokio::task::coop::consume_budget().await;
        match self {
            Self::Plain(tcp) => tcp.ready(interest).await,
            Self::Tls(tls) => tls.ready(interest).await,
        }
    }

    pub(super) fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => {
                // Does what `TcpStream::try_read` does with one system call less: `poll_read` does not try again after a read that left
                // room. `ready` does the waiting.
                let (mut buffer, mut noop) = (ReadBuf::new(to), Context::from_waker(Waker::noop()));
                match Pin::new(tcp).poll_read(&mut noop, &mut buffer) {
                    Poll::Ready(read) => read.map(|()| buffer.filled().len()),
                    Poll::Pending => Err(ErrorKind::WouldBlock.into()),
                }
            }
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

    /// Shuts the sending side down, and waits until the client has closed too. Closing at once with bytes of the client unread would reset
    /// the connection, and the client would lose what was written last.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.close();
        while !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
        }
        self.tcp_mut().shutdown().await?;
        let mut sink = [0; 512];
        loop {
            // A client that never stops sending keeps the socket readable, and the caller's deadline must still be polled.
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
