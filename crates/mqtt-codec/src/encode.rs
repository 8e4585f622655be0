//! Packets to bytes. PUBLISH and the acknowledgements are written here, straight into the connection's buffer; the rare
//! ones by the codec library.

use std::time::Instant;

use bytes::{BufMut, BytesMut};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::Encoder as _;

use switchbox_model::{Message, MessageProperties, PayloadFormat, Property, QoS, event::about, limits};

use crate::{
    aliases::{Aliases, Written},
    fault::{Fault, reason},
    frame::{put_variable_length, variable_length_size},
    packet::{Ack, AckKind, Version},
};

/// The protocol version and limits of a client.
#[derive(Debug)]
pub struct Peer {
    pub version: Version,
    /// Largest packet that it takes, bytes.
    pub maximum_packet: usize,
    /// The client accepts reason strings.
    pub problem_info: bool,
    /// Topics that need not be written in full.
    pub aliases: Aliases,
}

/// The bytes before the topic of a PUBLISH, and its identifier.
#[derive(Debug, Clone, Copy)]
pub struct PublishHead {
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    /// 0 for QoS 0.
    pub id: u16,
}

/// The content of CONNACK.
#[derive(Debug, Default)]
pub struct Accepted<'a> {
    pub session_present: bool,
    /// The largest packet that is read.
    pub packet_bytes: usize,
    pub assigned_id: Option<&'a str>,
    pub session_expiry_secs: Option<u32>,
    pub keep_alive_secs: Option<u16>,
    /// Where the client may have answers sent: topics begin so.
    pub response_info: Option<&'a str>,
}

/// What a SUBACK takes beside its codes and its words, at most.
const LISTED_OVERHEAD: usize = 16;

pub const PINGRESP: &[u8] = &[0xd0, 0];

impl Peer {
    /// False when it is over what the client takes: nothing was written.
    pub fn connack(&self, accepted: &Accepted<'_>, to: &mut BytesMut) -> bool {
        match self.version {
            Version::V311 => {
                to.put_slice(&[0x20, 2, u8::from(accepted.session_present), 0]);
                true
            }
            Version::V5 => self.library(
                v5::Packet::ConnectAck(Box::new(v5::ConnectAck {
                    session_present: accepted.session_present,
                    session_expiry_interval_secs: accepted.session_expiry_secs,
                    receive_max: limits::RECEIVE_MAXIMUM.try_into().unwrap_or(std::num::NonZeroU16::MIN),
                    max_packet_size: u32::try_from(accepted.packet_bytes).ok(),
                    assigned_client_id: accepted.assigned_id.map(Into::into),
                    topic_alias_max: limits::TOPIC_ALIASES,
                    server_keepalive_sec: accepted.keep_alive_secs,
                    response_info: accepted.response_info.map(Into::into),
                    ..v5::ConnectAck::default()
                })),
                to,
            ),
        }
    }

    pub fn refuse(&self, reason: u8, text: &str, to: &mut BytesMut) {
        match self.version {
            Version::V311 => to.put_slice(&[0x20, 2, 0, return_code(reason)]),
            Version::V5 => {
                let reason_code = reason.try_into().unwrap_or(v5::ConnectAckReason::UnspecifiedError);
                let packet = |text: Option<&str>| {
                    v5::Packet::ConnectAck(Box::new(v5::ConnectAck {
                        reason_code,
                        reason_string: text.map(Into::into),
                        ..v5::ConnectAck::default()
                    }))
                };
                self.with_words_or_without(text, packet, to);
            }
        }
    }

    /// The words may be too many for the client and the code alone not; or it takes nothing.
    fn with_words_or_without(&self, text: &str, packet: impl Fn(Option<&str>) -> v5::Packet, to: &mut BytesMut) {
        if !self.problem_info || !self.library(packet(Some(text)), to) {
            self.library(packet(None), to);
        }
    }

    /// Nothing for 3.1.1, where a server has no DISCONNECT.
    pub fn disconnect(&self, reason: u8, text: &str, to: &mut BytesMut) {
        if self.version == Version::V5 {
            let reason = reason.try_into().unwrap_or(v5::DisconnectReasonCode::UnspecifiedError);
            let packet = |text: Option<&str>| {
                v5::Packet::Disconnect(v5::Disconnect {
                    reason_string: text.map(Into::into),
                    ..v5::Disconnect::new(reason)
                })
            };
            self.with_words_or_without(text, packet, to);
        }
    }

    /// Whether the client accepts a SUBACK or UNSUBACK with this many codes.
    pub fn check_answer(&self, codes: usize) -> Result<(), Fault> {
        // The packet identifier and the length of no properties.
        let body = codes + 3;
        if 1 + variable_length_size(body) + body <= self.maximum_packet {
            return Ok(());
        }
        Err(Fault::new(reason::TOO_LARGE, "the answer would be over the client's maximum packet size"))
    }

    /// `codes`: a granted QoS, or a reason from 0x80.
    pub fn suback(&self, id: u16, codes: &[u8], text: Option<&str>, to: &mut BytesMut) {
        self.listed(0x90, id, codes, text, to);
    }

    pub fn unsuback(&self, id: u16, codes: &[u8], to: &mut BytesMut) {
        match self.version {
            Version::V311 => self.listed(0xb0, id, &[], None, to),
            Version::V5 => self.listed(0xb0, id, codes, None, to),
        }
    }

    fn listed(&self, first: u8, id: u16, codes: &[u8], text: Option<&str>, to: &mut BytesMut) {
        let mut properties = BytesMut::new();
        let room = self.maximum_packet.saturating_sub(codes.len() + LISTED_OVERHEAD);
        if let Some(text) = text.filter(|text| self.problem_info && text.len() <= room) {
            put_property_text(0x1f, text, &mut properties);
        }
        let mut body = BytesMut::with_capacity(8 + codes.len() + properties.len());
        body.put_u16(id);
        if self.version == Version::V5 {
            put_variable_length(properties.len(), &mut body);
            body.put_slice(&properties);
        }
        let failure = |code: &u8| if self.version == Version::V311 && *code >= 0x80 { 0x80 } else { *code };
        body.extend(codes.iter().map(failure));
        to.put_u8(first);
        put_variable_length(body.len(), to);
        to.put_slice(&body);
    }

    /// False when it is over what the client takes: nothing was written.
    fn library(&self, packet: v5::Packet, to: &mut BytesMut) -> bool {
        let before = to.len();
        // The library fails only where a text is over 64 KiB; ours are not.
        let fits = v5::Codec::new(0, 0).encode(packet, to).is_ok() && to.len() - before <= self.maximum_packet;
        if !fits {
            to.truncate(before);
        }
        fits
    }

    pub fn ack(&self, ack: &Ack, to: &mut BytesMut) {
        let first = match ack.kind {
            AckKind::PubAck => 0x40,
            AckKind::PubRec => 0x50,
            AckKind::PubRel => 0x62,
            AckKind::PubComp => 0x70,
        };
        let [high, low] = ack.id.to_be_bytes();
        match (self.version, ack.text.filter(|_| self.problem_info)) {
            (Version::V5, Some(text)) if text.len() + 12 <= self.maximum_packet.min(120) => {
                let length = u8::try_from(text.len()).unwrap_or_default();
                to.put_slice(&[first, length + 7, high, low, ack.reason, length + 3, 0x1f, 0, length]);
                to.put_slice(text.as_bytes());
            }
            (Version::V5, _) if ack.reason != 0 => to.put_slice(&[first, 3, high, low, ack.reason]),
            _ => to.put_slice(&[first, 2, high, low]),
        }
    }

    /// Writes a PUBLISH whose topic is the concatenation of these pieces. `properties` are encoded already, and written in MQTT 5 only.
    /// Returns false without writing anything if the packet is larger than the client accepts.
    pub fn publish(
        &self,
        head: PublishHead,
        topic: &[impl AsRef<str>],
        properties: &[u8],
        payload: &[u8],
        to: &mut BytesMut,
    ) -> bool {
        let PublishHead { qos, retain, dup, id } = head;
        let topic_length: usize = topic.iter().map(|piece| piece.as_ref().len()).sum();
        let mut length = 2 + topic_length + payload.len() + if id == 0 { 0 } else { 2 };
        if self.version == Version::V5 {
            length += variable_length_size(properties.len()) + properties.len();
        }
        let whole = 1 + variable_length_size(length) + length;
        if whole > self.maximum_packet {
            return false;
        }
        to.reserve(whole);
        to.put_u8(0x30 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain));
        put_variable_length(length, to);
        to.put_u16(u16::try_from(topic_length).unwrap_or(u16::MAX));
        topic.iter().for_each(|piece| to.put_slice(piece.as_ref().as_bytes()));
        if id != 0 {
            to.put_u16(id);
        }
        if self.version == Version::V5 {
            put_variable_length(properties.len(), to);
            to.put_slice(properties);
        }
        to.put_slice(payload);
        true
    }

    /// Writes a message of the broker, with an alias of its topic if there is one. `ids`: the identifiers of the subscriptions that
    /// matched. Returns false without writing anything if the packet is larger than the client accepts.
    pub fn message(
        &mut self,
        head: PublishHead,
        message: &Message,
        ids: &[u32],
        now: Instant,
        to: &mut BytesMut,
    ) -> bool {
        let put = |peer: &Self, written, to: &mut BytesMut| {
            let mut properties = BytesMut::new();
            if peer.version == Version::V5 {
                put_alias(written, &mut properties);
                put_properties(message, ids, now, &mut properties);
            }
            let name = if matches!(written, Written::Alias(_)) { "" } else { &*message.topic };
            peer.publish(head, &[name], &properties, &message.payload, to)
        };
        let written = self.aliases.find(&message.topic);
        let fits = put(self, written, to);
        let Written::Named(alias) = written else { return fits };
        if fits {
            self.aliases.set(&message.topic, alias);
            return true;
        }
        // Without the alias it may not be too large.
        put(self, Written::InFull, to)
    }
}

/// MQTT 3.1.1 has five reasons to refuse.
fn return_code(reason: u8) -> u8 {
    let code = match reason {
        reason::UNSUPPORTED_VERSION => v3::ConnectAckReason::UnacceptableProtocolVersion,
        reason::CLIENT_ID => v3::ConnectAckReason::IdentifierRejected,
        reason::NOT_AUTHORISED | reason::AUTH_METHOD => v3::ConnectAckReason::NotAuthorized,
        _ => v3::ConnectAckReason::ServiceUnavailable,
    };
    code.into()
}

fn put_alias(written: Written, to: &mut BytesMut) {
    if let Written::Named(alias) | Written::Alias(alias) = written {
        to.put_u8(0x23);
        to.put_u16(alias);
    }
}

fn put_properties(message: &Message, ids: &[u32], now: Instant, to: &mut BytesMut) {
    if let Some(expires) = message.expires {
        to.put_u8(0x02);
        let left = expires.saturating_duration_since(now).as_secs_f64().ceil();
        to.put_u32(left as u32);
    }
    if let Some(properties) = &message.properties {
        put_message_properties(properties, to);
    }
    put_subscription_ids(ids, to);
}

/// The identifiers of the subscriptions that a message matched.
pub fn put_subscription_ids(ids: &[u32], to: &mut BytesMut) {
    for id in ids {
        to.put_u8(0x0b);
        put_variable_length(*id as usize, to);
    }
}

fn put_message_properties(properties: &MessageProperties, to: &mut BytesMut) {
    match properties.format {
        PayloadFormat::Unstated => {}
        PayloadFormat::Utf8 => to.put_slice(&[0x01, 1]),
        PayloadFormat::Unspecified => to.put_slice(&[0x01, 0]),
    }
    if let Some(text) = &properties.content_type {
        put_property_text(0x03, text, to);
    }
    if let Some(text) = &properties.response_topic {
        put_property_text(0x08, text, to);
    }
    if let Some(data) = &properties.correlation {
        to.put_u8(0x09);
        put_binary(data, to);
    }
    for (name, value) in &properties.user {
        put_user_property(name, value, to);
    }
}

/// The properties of a request: where its answer is to go, and what the answer is to carry back.
pub fn put_request(response_topic: &str, correlation: &[u8], to: &mut BytesMut) {
    put_property_text(0x08, response_topic, to);
    to.put_u8(0x09);
    put_binary(correlation, to);
}

/// A user property.
pub fn put_user_property(name: &str, value: &str, to: &mut BytesMut) {
    put_property_text(0x26, name, to);
    put_binary(value.as_bytes(), to);
}

/// What a message says beside its payload, each in the property that MQTT has for it.
pub fn put_command_properties(user_properties: &[Property], to: &mut BytesMut) {
    for (name, value) in user_properties {
        match name.as_str() {
            about::CONTENT_TYPE => put_property_text(0x03, value, to),
            about::CORRELATION_ID => put_property_text(0x09, value, to),
            _ => put_user_property(name, value, to),
        }
    }
}

fn put_property_text(property: u8, text: &str, to: &mut BytesMut) {
    to.put_u8(property);
    put_binary(text.as_bytes(), to);
}

/// Every text here came from a packet or is short, so it is under 64 KiB.
fn put_binary(bytes: &[u8], to: &mut BytesMut) {
    let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
    to.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    to.put_slice(bytes);
}
