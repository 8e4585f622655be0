//! MQTT over WebSocket (MQTT 5, section 6): binary messages, cut and joined however the client likes, are one stream of bytes. The size of
//! packets is limited, but not that of messages and frames: no more than a packet is held in memory.

mod upgrade;

use std::io::{self, ErrorKind};

use bytes::{Buf as _, BytesMut};
use tokio::io::{Interest, Ready};

pub use self::upgrade::Origins;
use self::upgrade::UpgradeRefusal;
use super::wire::{CLOSE_TIMEOUT, Wire};
use switchbox_model::limits;
use switchbox_mqtt_codec::fault::{Fault, reason};
use switchbox_support::metrics::Metrics;
use switchbox_transport::websocket::frames::{self, Frames};
pub(super) use switchbox_transport::websocket::frames::{Failure, status};

/// Limit of reads without payload before other tasks run.
const EMPTY_READS: usize = 4;

/// Why the host closes a connection, for its close frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing<'a> {
    pub(super) status: u16,
    pub(super) text: &'a str,
}

/// The close frame for a fault that ended the connection.
pub(super) fn closing(fault: &Fault) -> Closing<'_> {
    let status = match fault.reason {
        reason::MALFORMED | reason::PROTOCOL => status::PROTOCOL,
        reason::TOO_LARGE => status::TOO_BIG,
        _ => status::POLICY,
    };
    Closing { status, text: &fault.text }
}

/// The reason why nothing more is read.
#[derive(Debug, Clone, Copy)]
enum ReadEnd {
    /// The client's close frame has come and was answered.
    Closed,
    Failed(Failure),
}

pub(super) struct WebSocket {
    wire: Wire,
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

/// The reason of a refused upgrade. The client has been sent it.
#[derive(Debug, thiserror::Error)]
#[error("the WebSocket upgrade was refused: {0}")]
struct UpgradeRefused(String);

impl WebSocket {
    /// Does the handshake. The caller limits its time.
    pub(super) async fn accept(mut wire: Wire, origins: Origins, metrics: &Metrics) -> io::Result<Self> {
        let mut head = BytesMut::new();
        match read_head(&mut wire, &mut head, origins).await? {
            Ok(answer) => {
                wire.write_all(&answer).await?;
                let frames = Frames::default();
                Ok(Self { wire, frames, early: head, out: BytesMut::new(), ping: None, read_end: None, closed: false })
            }
            Err(refusal) => {
                refusal.limit.into_iter().for_each(|limit| metrics.limit(limit));
                wire.write_all(&refusal.answer()).await?;
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, wire.finish()).await;
                Err(io::Error::new(ErrorKind::InvalidData, UpgradeRefused(refusal.text)))
            }
        }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Whether a frame or a message has begun whose rest has not come.
    pub(super) fn is_half_read(&self) -> bool {
        self.read_end.is_none() && self.frames.is_half_read()
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest.is_readable() && (self.read_end.is_some() || !self.early.is_empty()) {
            return Ok(Ready::READABLE);
        }
        self.wire.ready(interest).await
    }

    /// Reads the payload that has come, of whole and unfinished messages. An error that is a [`Failure`] is a fault of the client.
    pub(super) fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
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
            return self.wire.try_read(to);
        }
        let length = to.len().min(self.early.len());
        self.early.copy_to_slice(to.get_mut(..length).unwrap_or_default());
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
        Ok(length)
    }

    /// Takes bytes only when those that it took before are written.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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

    pub(super) fn try_flush(&mut self) -> io::Result<bool> {
        loop {
            while !self.out.is_empty() {
                match self.wire.try_write(&self.out) {
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
                _ => return self.wire.try_flush(),
            }
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() && self.ping.is_none() && self.wire.is_flushed()
    }

    fn put_close(&mut self, status: Option<u16>, text: &str) {
        if !std::mem::replace(&mut self.closed, true) {
            frames::put(frames::CLOSE, &frames::close(status, text), &mut self.out);
        }
    }

    /// Sends a close frame without waiting. If the client caused a failure, the frame has its status.
    pub(super) fn close(&mut self, closing: Closing<'_>) {
        let closing = match &self.read_end {
            Some(ReadEnd::Failed(failure)) => Closing { status: failure.status, text: failure.text },
            _ => closing,
        };
        self.put_close(Some(closing.status), closing.text);
        // Errors are ignored, as the connection ends anyway.
        let _ = self.try_flush();
        self.wire.close();
    }
}

/// Reads the upgrade request. Bytes after it stay in `head`.
async fn read_head(
    wire: &mut Wire,
    head: &mut BytesMut,
    origins: Origins,
) -> io::Result<Result<Vec<u8>, UpgradeRefusal>> {
    let mut piece = [0; 1024];
    loop {
        wire.ready(Interest::READABLE).await?;
        let new = match wire.try_read(&mut piece) {
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
