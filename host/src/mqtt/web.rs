//! MQTT over WebSocket (MQTT 5, section 6): binary messages, cut wherever the client likes, are one stream of bytes.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::IpAddr,
};

use bytes::{Buf, Bytes};
use tokio::io::{Interest, Ready};
use tungstenite::{
    Error, HandshakeError, Message, WebSocket,
    handshake::server::{ErrorResponse, Request, Response, ServerHandshake},
    http::{HeaderValue, StatusCode, header},
    protocol::WebSocketConfig,
};

use super::socket::Wire;
use crate::model::limits;

/// The one subprotocol there is.
const PROTOCOL: &str = "mqtt";
/// Messages that are read before other clients get their turn, however small they are.
const MESSAGES: usize = 4_096;

/// The wire, as the library reads and writes it.
struct Tapped {
    wire: Wire,
    /// Bytes came since the last whole message.
    came: bool,
}

impl Read for Tapped {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.wire.try_read(to)?;
        self.came |= length > 0;
        Ok(length)
    }
}

impl Write for Tapped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.wire.try_flush()? { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}

pub(super) struct Web {
    socket: WebSocket<Tapped>,
    /// Of a message that did not fit where it was read to.
    rest: Bytes,
    /// The library may have read more than it gave.
    more: bool,
    /// Bytes wait for the wire.
    unsent: bool,
}

fn config(bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(bytes)).max_frame_size(Some(bytes)).read_buffer_size(4 * 1024)
}

/// Which web pages may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    /// Every client must prove who it is: any page.
    Any,
    /// Doors are open: only pages of this machine, lest any page that somebody here visits act as a device.
    Loopback,
}

impl Web {
    /// Does the handshake; the caller limits its time.
    pub(super) async fn accept(wire: Wire, origins: Origins) -> io::Result<Self> {
        #[allow(clippy::result_large_err, reason = "the library's type, once a connection")]
        let check = move |request: &Request, response: Response| answer(request, response, origins);
        let wire = Tapped { wire, came: false };
        let mut handshake = ServerHandshake::start(wire, check, Some(config(limits::CONNECT_PACKET_BYTES)));
        loop {
            match handshake.handshake() {
                Ok(socket) => return Ok(Self { socket, rest: Bytes::new(), more: true, unsent: false }),
                Err(HandshakeError::Failure(error)) => return Err(broken(error)),
                Err(HandshakeError::Interrupted(mid)) => {
                    mid.get_ref().get_ref().wire.ready(Interest::READABLE).await?;
                    handshake = mid;
                }
            }
        }
    }

    pub(super) fn admitted(&mut self) {
        self.socket.set_config(|config| {
            config.max_message_size = Some(limits::PACKET_BYTES);
            config.max_frame_size = Some(limits::PACKET_BYTES);
        });
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.socket.get_ref().wire
    }

    pub(super) fn wire_mut(&mut self) -> &mut Wire {
        &mut self.socket.get_mut().wire
    }

    /// A message has begun to come, and its rest has not.
    pub(super) fn is_half_read(&self) -> bool {
        self.socket.get_ref().came
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest.is_readable() && (self.more || !self.rest.is_empty()) {
            return Ok(Ready::READABLE);
        }
        self.wire().ready(interest).await
    }

    /// Fills the place with as many messages as there are.
    pub(super) fn try_read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        for _ in 0..MESSAGES {
            let room = to.get_mut(filled..).unwrap_or_default();
            if room.is_empty() {
                return Ok(filled);
            }
            if !self.rest.is_empty() {
                let length = room.len().min(self.rest.len());
                self.rest.copy_to_slice(room.get_mut(..length).unwrap_or_default());
                filled += length;
                continue;
            }
            let read = self.socket.read();
            self.socket.get_mut().came &= read.is_err();
            match read {
                Ok(Message::Binary(bytes)) => self.rest = bytes,
                Ok(Message::Text(_)) => return Err(io::Error::new(ErrorKind::InvalidData, "a WebSocket text message")),
                Ok(Message::Close(_)) => return Ok(filled),
                // Pings are answered by the library.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.more = false;
                    return if filled > 0 { Ok(filled) } else { Err(error) };
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(filled),
                Err(error) if filled == 0 => return Err(broken(error)),
                // What came before counts; the next read says it again.
                Err(_) => return Ok(filled),
            }
            self.more = true;
        }
        if filled > 0 { Ok(filled) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    /// Takes no more bytes while some that it took wait for the wire.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.try_flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.socket.write(Message::Binary(Bytes::copy_from_slice(bytes))) {
            Ok(()) => {}
            // It has the message all the same.
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
        self.unsent = true;
        self.try_flush()?;
        Ok(bytes.len())
    }

    pub(super) fn try_flush(&mut self) -> io::Result<bool> {
        if !self.unsent {
            return Ok(true);
        }
        match self.socket.flush() {
            Ok(()) => self.unsent = false,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
        Ok(!self.unsent)
    }

    pub(super) fn is_flushed(&self) -> bool {
        !self.unsent
    }

    pub(super) fn close(&mut self) {
        // Whatever goes wrong here, the connection is over.
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
        self.unsent = false;
    }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(ErrorKind::InvalidData, error.to_string()),
    }
}

#[allow(clippy::result_large_err, reason = "the library's own shape")]
fn answer(request: &Request, mut response: Response, origins: Origins) -> Result<Response, ErrorResponse> {
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let protocols = text(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    if !protocols.split(',').any(|protocol| protocol.trim() == PROTOCOL) {
        return Err(refusal(StatusCode::BAD_REQUEST, "the WebSocket subprotocol must be mqtt"));
    }
    if origins == Origins::Loopback && !text(header::ORIGIN).is_none_or(is_loopback) {
        let why = "where devices need no credentials, only web pages of this machine may connect";
        return Err(refusal(StatusCode::FORBIDDEN, why));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

/// `http://localhost:8080` and the like.
fn is_loopback(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_machines_are_told_from_those_of_this_one() {
        for (origin, expect) in [
            ("http://localhost:8080", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("https://example.org", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(origin), expect, "{origin}");
        }
    }
}
