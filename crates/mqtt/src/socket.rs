//! A client's connection: TCP, TLS on it, or MQTT over WebSocket on either. It reads and writes without waiting; the functions that wait are
//! asynchronous.
//!
//! MQTT over WebSocket (MQTT 5, section 6): binary messages, cut and joined however the client likes, are one stream of bytes. The size of
//! packets is limited, but not that of messages and frames: no more than a packet is held in memory.

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, Interest, ReadBuf, Ready},
    net::TcpStream,
};

use super::web::{
    Closing, Failure, Origins,
    upgrade::{self, UpgradeRefusal},
};
use switchbox_model::limits;
use switchbox_support::{metrics::Metrics, threads};
use switchbox_transport::{
    tls,
    websocket::frames::{self, Frames},
};

/// How long writing the last packet to a client may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);
/// Limit of reads of a WebSocket without payload before other tasks run.
const EMPTY_READS: usize = 4;

pub(super) enum Socket {
    Plain(TcpStream),
    Tls(tls::Stream),
    Web(Box<WebSocket>),
}

pub(super) struct WebSocket {
    /// TCP or TLS, which has the frames.
    stream: Socket,
    frames: Frames,
    /// Bytes that came after the upgrade request before it was answered.
    early: BytesMut,
    /// Frames that are not written yet.
    out: BytesMut,
    /// The newest ping that was not answered yet.
    ping: Option<Vec<u8>>,
    read_end: Option<ReadEnd>,
    /// Whether the host's close frame was written or waits in `out`.
    closed: bool,
}

/// The reason why nothing more is read from a WebSocket.
#[derive(Debug, Clone, Copy)]
enum ReadEnd {
    /// The client's close frame has come and was answered.
    Closed,
    Failed(Failure),
}

/// The reason of a refused upgrade. The client has been sent it.
#[derive(Debug, thiserror::Error)]
#[error("the WebSocket upgrade was refused: {0}")]
struct UpgradeRefused(String);

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
            Self::Web(web) => web.stream.tcp(),
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp_mut(),
            Self::Web(web) => web.stream.tcp_mut(),
        }
    }

    /// The client's address. Returns `None` if it has closed the connection already.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.tcp().peer_addr().ok().map(|addr| addr.ip())
    }

    /// The host's name as the client called it (SNI). `None` without TLS, or if it called an address.
    pub(super) fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.server_name(),
            Self::Web(web) => web.stream.server_name(),
        }
    }

    /// The host's address at which the client has reached it.
    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        self.tcp().local_addr().ok().map(|address| address.ip().to_canonical())
    }

    /// The client's certificate, and its intermediate certificates.
    pub(super) fn peer_certificates(&self) -> &[rustls::pki_types::CertificateDer<'static>] {
        match self {
            Self::Plain(_) => &[],
            Self::Tls(tls) => tls.peer_certificates(),
            Self::Web(web) => web.stream.peer_certificates(),
        }
    }

    /// Registers the socket with the caller's runtime.
    pub(super) fn move_here(&mut self) -> io::Result<()> {
        threads::move_stream_here(self.tcp_mut())
    }

    /// Does the WebSocket handshake on TCP or TLS. The caller limits its time.
    pub(super) async fn upgrade(mut self, origins: Origins, metrics: &Metrics) -> io::Result<Self> {
        let mut head = BytesMut::new();
        match read_head(&mut self, &mut head, origins).await? {
            Ok(answer) => {
                self.write_all(&answer).await?;
                self.flush().await?;
                Ok(Self::Web(Box::new(WebSocket {
                    stream: self,
                    frames: Frames::default(),
                    early: head,
                    out: BytesMut::new(),
                    ping: None,
                    read_end: None,
                    closed: false,
                })))
            }
            Err(refusal) => {
                refusal.limit.into_iter().for_each(|limit| metrics.limit(limit));
                self.write_all(&refusal.answer()).await?;
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.wait_for_close()).await;
                Err(io::Error::new(ErrorKind::InvalidData, UpgradeRefused(refusal.text)))
            }
        }
    }

    /// As `TcpStream::ready`. Uses up budget of the task: `try_read` uses it up too, and returns `WouldBlock` when there is none left although
    /// bytes are available. If `ready` did not, a loop of the two would never yield to other tasks or to its own deadline.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        tokio::task::coop::consume_budget().await;
        if interest.is_readable() && self.is_read_ahead() {
            return Ok(Ready::READABLE);
        }
        self.tcp().ready(interest).await
    }

    /// Whether `try_read` returns something that the system does not have any more.
    fn is_read_ahead(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.is_read_ahead(),
            Self::Web(web) => web.read_end.is_some() || !web.early.is_empty() || web.stream.is_read_ahead(),
        }
    }

    /// Returns 0 at the end of the stream.
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
            Self::Web(web) => web.try_read(to),
        }
    }

    /// Whether the beginning of a WebSocket frame or message has come whose rest has not.
    pub(super) fn is_half_read(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) => false,
            Self::Web(web) => web.read_end.is_none() && web.frames.is_half_read(),
        }
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
            Self::Web(web) => web.try_write(bytes),
        }
    }

    /// Returns true when the system has all bytes that `try_write` took.
    pub(super) fn try_flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.try_flush(),
            Self::Web(web) => web.try_flush(),
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(tls) => tls.is_flushed(),
            Self::Web(web) => web.out.is_empty() && web.ping.is_none() && web.stream.is_flushed(),
        }
    }

    /// Gives all bytes to `try_write`.
    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.ready(Interest::WRITABLE).await?),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the system has all bytes.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
        }
        Ok(())
    }

    /// Writes `words`, closes, and waits until the client has closed too. The caller limits the time.
    pub(super) async fn send_and_close(&mut self, words: &[u8], closing: Closing<'_>) -> io::Result<()> {
        self.write_all(words).await?;
        self.close(closing);
        self.wait_for_close().await
    }

    /// Closes without waiting for the client.
    pub(super) fn close(&mut self, closing: Closing<'_>) {
        if let Self::Web(web) = self {
            web.close(closing);
        }
        self.close_tls();
    }

    fn close_tls(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(tls) => tls.close(),
            Self::Web(web) => web.stream.close_tls(),
        }
    }

    /// Shuts the sending side down, and waits until the client has closed too. Closing at once with bytes of the client unread would reset
    /// the connection, and the client would lose what was written last. The caller limits the time.
    pub(super) async fn wait_for_close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.close_tls();
        self.flush().await?;
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

impl WebSocket {
    /// Reads the payload that has come, of whole and unfinished messages. An error that is a [`Failure`] is a fault of the client.
    fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        for _ in 0..EMPTY_READS {
            match self.read_end {
                Some(ReadEnd::Closed) => return Ok(0),
                Some(ReadEnd::Failed(failure)) => return Err(io::Error::new(ErrorKind::InvalidData, failure)),
                None => {}
            }
            let length = self.read_frames(to)?;
            if length == 0 {
                return Ok(0);
            }
            let taken = self.frames.take(to.get_mut(..length).unwrap_or_default());
            self.ping = taken.ping.or(self.ping.take());
            match taken.end {
                Some(Ok(status)) => {
                    self.put_close(status, "");
                    self.read_end = Some(ReadEnd::Closed);
                }
                Some(Err(failure)) => self.read_end = Some(ReadEnd::Failed(failure)),
                None => {}
            }
            self.try_flush()?;
            if taken.payload > 0 {
                return Ok(taken.payload);
            }
        }
        // The socket still counts as readable, so reading continues after other tasks have run.
        Err(ErrorKind::WouldBlock.into())
    }

    fn read_frames(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.early.is_empty() {
            return self.stream.try_read(to);
        }
        let length = to.len().min(self.early.len());
        self.early.copy_to_slice(to.get_mut(..length).unwrap_or_default());
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
        Ok(length)
    }

    /// Takes bytes only when those that it took before are written.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !self.try_flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        frames::put(frames::BINARY, bytes, &mut self.out);
        self.try_flush()?;
        Ok(bytes.len())
    }

    fn try_flush(&mut self) -> io::Result<bool> {
        loop {
            while !self.out.is_empty() {
                match self.stream.try_write(&self.out) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => self.out.advance(written),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            // An idle connection holds no buffer.
            self.out = BytesMut::new();
            match self.ping.take() {
                Some(ping) if !self.closed => frames::put(frames::PONG, &ping, &mut self.out),
                _ => return self.stream.try_flush(),
            }
        }
    }

    fn put_close(&mut self, status: Option<u16>, text: &str) {
        if !std::mem::replace(&mut self.closed, true) {
            frames::put(frames::CLOSE, &frames::close(status, text), &mut self.out);
        }
    }

    /// Sends a close frame without waiting. If the client caused a failure, the frame has its status.
    fn close(&mut self, closing: Closing<'_>) {
        let closing = match &self.read_end {
            Some(ReadEnd::Failed(failure)) => Closing { status: failure.status, text: failure.text },
            _ => closing,
        };
        self.put_close(Some(closing.status), closing.text);
        // Errors are ignored, as the connection ends anyway.
        let _ = self.try_flush();
    }
}

/// Reads the upgrade request. Bytes after it stay in `head`.
async fn read_head(
    stream: &mut Socket,
    head: &mut BytesMut,
    origins: Origins,
) -> io::Result<Result<Vec<u8>, UpgradeRefusal>> {
    let mut piece = [0; 1024];
    loop {
        stream.ready(Interest::READABLE).await?;
        let new = match stream.try_read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => piece.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        // The request is parsed only at its first bytes, to refuse other protocols at once, and at ends of lines: a request that comes byte
        // by byte is not parsed again for each byte.
        let worth_reading = head.is_empty() || new.contains(&b'\n');
        head.extend_from_slice(new);
        if worth_reading {
            match upgrade::read(head, origins) {
                Ok(Some(upgrade)) => {
                    head.advance(upgrade.length);
                    return Ok(Ok(upgrade.answer));
                }
                Ok(None) => {}
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        if head.len() > limits::UPGRADE_BYTES {
            return Ok(Err(upgrade::too_large()));
        }
    }
}
