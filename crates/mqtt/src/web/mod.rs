//! MQTT over WebSocket (MQTT 5, section 6): binary messages, cut and joined however the client likes, are one stream of bytes. What is
//! bounded is the packet, never the message or the frame: no more of either is held than a packet.

mod frames;
mod upgrade;

use std::io::{self, ErrorKind};

use bytes::{Buf as _, BytesMut};
use tokio::io::{Interest, Ready};

pub(super) use self::frames::{Failure, status};
pub use self::upgrade::Origins;
use self::{frames::Frames, upgrade::UpgradeRefusal};
use super::wire::{CLOSE_TIMEOUT, Wire};
use switchbox_model::limits;
use switchbox_mqtt_codec::fault::{Fault, reason};
use switchbox_support::metrics::Metrics;

/// Reads that bring no payload, before others get their turn.
const EMPTY_READS: usize = 4;

/// Why the host closes a connection, for its close frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing<'a> {
    pub(super) status: u16,
    pub(super) text: &'a str,
}

/// How WebSocket says that a fault ended the connection.
pub(super) fn closing(fault: &Fault) -> Closing<'_> {
    let status = match fault.reason {
        reason::MALFORMED | reason::PROTOCOL => status::PROTOCOL,
        reason::TOO_LARGE => status::TOO_BIG,
        _ => status::POLICY,
    };
    Closing { status, text: &fault.text }
}

/// Why nothing more is read.
#[derive(Debug, Clone, Copy)]
enum ReadEnd {
    /// The client's close frame came, and was answered.
    Closed,
    Failed(Failure),
}

pub(super) struct WebSocket {
    wire: Wire,
    frames: Frames,
    /// What came behind the upgrade request before it was answered.
    early: BytesMut,
    /// Frames that wait for the wire.
    out: BytesMut,
    /// The newest ping that was not answered yet.
    ping: Option<Vec<u8>>,
    read_end: Option<ReadEnd>,
    /// The host's close frame was written, or waits in `out`.
    closed: bool,
}

/// The upgrade was refused, and the client was told why.
#[derive(Debug, thiserror::Error)]
#[error("the WebSocket upgrade was refused: {0}")]
struct UpgradeRefused(String);

impl WebSocket {
    /// Does the handshake; the caller limits its time.
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

    /// A frame or a message has begun to come, and its rest has not.
    pub(super) fn is_half_read(&self) -> bool {
        self.read_end.is_none() && self.frames.is_half_read()
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest.is_readable() && (self.read_end.is_some() || !self.early.is_empty()) {
            return Ok(Ready::READABLE);
        }
        self.wire.ready(interest).await
    }

    /// Gives what there is of messages, however much of them is still to come. An error that is a [`Failure`] is the client's.
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
        // The socket still counts as readable, so this goes on after the others.
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

    /// Takes no more bytes while some that it took wait for the wire.
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
            // While nothing happens, nothing is held.
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

    /// Sends a close frame without waiting: with the failure of the client, where there was one.
    pub(super) fn close(&mut self, closing: Closing<'_>) {
        let closing = match &self.read_end {
            Some(ReadEnd::Failed(failure)) => Closing { status: failure.status, text: failure.text },
            _ => closing,
        };
        self.put_close(Some(closing.status), closing.text);
        // Whatever goes wrong here, the connection is over.
        let _ = self.try_flush();
        self.wire.close();
    }
}

/// Reads the request, and nothing of what comes behind it is lost: that stays in `head`.
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
        // What is no request shows at once, and a request ends with a line: a header that comes byte by byte is not read anew
        // for each of them.
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
