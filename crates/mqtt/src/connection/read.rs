//! Reads from the socket, and keeps the bytes of an incomplete packet. An idle connection holds no buffer.

use std::{cell::RefCell, io};

use bytes::{Buf as _, BytesMut};

use crate::{connection::Connection, end::ConnectionEnd};
use switchbox_mqtt_codec::packet::Packet;
use switchbox_support::clock;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// The read buffer of a worker thread. It is not held across an await.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

impl Connection {
    /// Reads once, and returns the complete packets.
    pub(super) fn read(&mut self) -> Result<Vec<Packet>, ConnectionEnd> {
        let packet_bytes = self.presence.shared.options.payloads.packet_bytes();
        READ.with_borrow_mut(|scratch| {
            let length = match self.stream.try_read(scratch) {
                Ok(0) => return Err(ConnectionEnd::Lost("connection closed by the client without DISCONNECT".into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.is_half_read() {
                        self.partial_since.get_or_insert_with(clock::instant);
                    }
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error.into()),
            };
            self.last_read = clock::instant();
            self.presence.shared.metrics.bytes_in.inc_by(length as u64);
            let bytes = scratch.get(..length).unwrap_or_default();
            let packets = if self.partial.is_empty() {
                let (packets, rest) = self.decoder.decode(bytes, packet_bytes, &mut self.fault);
                self.partial.extend_from_slice(rest);
                packets
            } else {
                self.partial.extend_from_slice(bytes);
                self.decode_partial()
            };
            self.update_partial_since(!packets.is_empty());
            Ok(packets)
        })
    }

    /// Sets since when the rest of a packet is missing: since the last complete packet. `has_packets`: packets were completed just now.
    pub(super) fn update_partial_since(&mut self, has_packets: bool) {
        self.partial_since = match self.partial_since {
            _ if self.partial.is_empty() && !self.stream.is_half_read() => None,
            Some(since) if !has_packets => Some(since),
            _ => Some(clock::instant()),
        };
    }

    /// Decodes the kept bytes, and keeps those of an incomplete packet.
    pub(super) fn decode_partial(&mut self) -> Vec<Packet> {
        let packet_bytes = self.presence.shared.options.payloads.packet_bytes();
        let (packets, rest) = self.decoder.decode(&self.partial, packet_bytes, &mut self.fault);
        let decoded_bytes = self.partial.len() - rest.len();
        self.partial.advance(decoded_bytes);
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        packets
    }
}
