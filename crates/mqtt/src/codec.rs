//! Bytes to packets. The one place (with `connect` and `encode`) that knows the codec library, and that checks what the
//! library does not. PUBLISH without properties and the plain acknowledgements are read here, as they are nearly all.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rmqtt_codec::{error::DecodeError, v3, v5};
use tokio_util::codec::Decoder as _;

use super::{
    packet::{Disconnect, Fault, Filter, Packet, Publish, Subscribe, Version, reason},
    properties,
};
use switchbox_model::{MessageProperties, QoS};
use switchbox_mqtt_session::{session::AckKind, topics};

/// One whole packet's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) first: u8,
    pub(super) body: &'a [u8],
    /// With its header.
    pub(super) whole: &'a [u8],
}

/// The first packet of `bytes`; None while it is not all there. Refuses one over `limit` bytes by its header alone.
pub(super) fn frame(bytes: &[u8], limit: usize) -> Result<Option<Frame<'_>>, Fault> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, header)) = variable_length(rest)? else { return Ok(None) };
    if 1 + header + length > limit {
        return Err(too_large(first, rest.get(header..).unwrap_or_default(), 1 + header + length, limit));
    }
    match (bytes.get(1 + header..1 + header + length), bytes.get(..1 + header + length)) {
        (Some(body), Some(whole)) => Ok(Some(Frame { first, body, whole })),
        _ => Ok(None),
    }
}

/// Names the topic where that has come.
fn too_large(first: u8, body: &[u8], bytes: usize, limit: usize) -> Fault {
    /// Of a topic.
    const SHOWN: usize = 200;
    let topic = take_binary(body).filter(|_| first >> 4 == 3);
    let packet = match topic.map(|(topic, _)| String::from_utf8_lossy(topic.get(..SHOWN).unwrap_or(topic))) {
        Some(topic) => format!("a PUBLISH to {topic:?}"),
        None => "a packet".to_owned(),
    };
    Fault::new(reason::TOO_LARGE, format!("{packet} of {bytes} bytes is over the limit of {limit}"))
}

/// A variable byte integer and how many bytes it takes; None when it goes on beyond the end.
pub(super) fn variable_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Fault::malformed("a length of more than four bytes")) }
}

/// Where the payloads of packets that were read together stand: small ones side by side, so that a run of events costs one
/// allocation. What is to stay for long is better copied, as one payload keeps its neighbours.
#[derive(Default)]
pub(super) struct Payloads {
    room: BytesMut,
    /// Bytes that may hold more payloads.
    unread: usize,
}

/// The most that payloads side by side take: what one of them may keep.
const SHARED_BYTES: usize = 4096;

impl Payloads {
    /// For packets of so many bytes.
    pub(super) fn new(unread: usize) -> Self {
        Self { room: BytesMut::new(), unread }
    }

    fn copy(&mut self, payload: &[u8]) -> Bytes {
        let most = self.unread.min(SHARED_BYTES);
        self.unread = self.unread.saturating_sub(payload.len());
        if payload.len() > SHARED_BYTES / 4 {
            return Bytes::copy_from_slice(payload);
        }
        if self.room.capacity() < payload.len() {
            self.room = BytesMut::with_capacity(most.max(payload.len()));
        }
        self.room.extend_from_slice(payload);
        self.room.split().freeze()
    }
}

/// Reads the packets of one connection after its CONNECT.
#[derive(Debug)]
pub(super) struct Decoder {
    version: Version,
    /// Of MQTT 3.1.1, as [`super::bridge`] says.
    bridge: bool,
    /// The topic of the last PUBLISH, shared by the next one to the same.
    last_topic: Arc<str>,
}

impl Decoder {
    pub(super) fn new(version: Version) -> Self {
        Self { version, bridge: false, last_topic: "".into() }
    }

    pub(super) fn of_bridge(self, bridge: bool) -> Self {
        Self { bridge, ..self }
    }

    pub(super) fn decode(&mut self, frame: Frame<'_>, payloads: &mut Payloads) -> Result<Packet, Fault> {
        match frame.first {
            0x30..=0x3f => self.publish(frame, payloads).map(Packet::Publish),
            0x40 => self.ack(AckKind::PubAck, frame),
            0x50 => self.ack(AckKind::PubRec, frame),
            0x62 => self.ack(AckKind::PubRel, frame),
            0x70 => self.ack(AckKind::PubComp, frame),
            0x82 | 0xa2 | 0xe0 => self.rare(frame),
            0xc0 if frame.body.is_empty() => Ok(Packet::Ping),
            0xc0 => Err(Fault::malformed("a PINGREQ with a body")),
            0x10..=0x1f => Err(Fault::protocol("a second CONNECT")),
            0xf0 => Err(Fault::protocol("AUTH without an authentication method")),
            _ => Err(Fault::malformed("a packet that no client may send, or wrong flags")),
        }
    }

    fn publish(&mut self, frame: Frame<'_>, payloads: &mut Payloads) -> Result<Publish, Fault> {
        let flags = frame.first & 0x0f;
        let qos = qos(flags >> 1 & 3)?;
        if qos == QoS::AtMostOnce && flags & 8 != 0 {
            return Err(Fault::malformed("DUP is set on QoS 0"));
        }
        let short = || Fault::malformed("a PUBLISH that is too short");
        let (topic, rest) = take_binary(frame.body).ok_or_else(short)?;
        let topic = self.topic(topic)?;
        let (id, rest) = match qos {
            QoS::AtMostOnce => (0, rest),
            _ => {
                let (id, rest) = rest.split_first_chunk().ok_or_else(short)?;
                (packet_id(*id)?, rest)
            }
        };
        let mut publish = Publish {
            qos,
            retain: flags & 1 != 0,
            topic,
            id,
            alias: None,
            expiry: None,
            payload: Bytes::new(),
            properties: None,
        };
        match (self.version, rest) {
            (Version::V311, payload) | (Version::V5, [0, payload @ ..]) => {
                publish.payload = payloads.copy(payload);
            }
            (Version::V5, rest) => add_properties(&mut publish, frame, rest)?,
        }
        if publish.topic.is_empty() && publish.alias.is_none() {
            return Err(Fault::new(reason::TOPIC_INVALID, "a PUBLISH without topic and topic alias"));
        }
        Ok(publish)
    }

    fn topic(&mut self, topic: &[u8]) -> Result<Arc<str>, Fault> {
        if topic != self.last_topic.as_bytes() {
            let text = std::str::from_utf8(topic).map_err(|_| Fault::malformed("a topic that is not UTF-8"))?;
            if !text.is_empty() || self.version == Version::V311 {
                topics::check_name(text)?;
            }
            self.last_topic = text.into();
        } else if topic.is_empty() && self.version == Version::V311 {
            return Err(Fault::malformed("a PUBLISH without topic"));
        }
        Ok(self.last_topic.clone())
    }

    fn ack(&self, kind: AckKind, frame: Frame<'_>) -> Result<Packet, Fault> {
        if let Ok(id) = <[u8; 2]>::try_from(frame.body) {
            return Ok(Packet::Ack { kind, id: packet_id(id)?, reason: 0 });
        }
        if self.version == Version::V311 {
            return Err(Fault::malformed("an acknowledgement of a wrong length"));
        }
        check_properties(frame, 3)?;
        match library_v5(frame.whole.into())? {
            v5::Packet::PublishAck(ack) | v5::Packet::PublishReceived(ack) => {
                Ok(Packet::Ack { kind, id: ack.packet_id.get(), reason: ack.reason_code.into() })
            }
            v5::Packet::PublishRelease(ack) | v5::Packet::PublishComplete(ack) => {
                Ok(Packet::Ack { kind, id: ack.packet_id.get(), reason: ack.reason_code.into() })
            }
            _ => Err(Fault::malformed("a wrong acknowledgement")),
        }
    }

    fn rare(&self, frame: Frame<'_>) -> Result<Packet, Fault> {
        match self.version {
            Version::V311 => rare_v311(frame, self.bridge).and_then(without_nul),
            Version::V5 => rare_v5(frame).and_then(without_nul),
        }
    }
}

fn rare_v311(frame: Frame<'_>, bridge: bool) -> Result<Packet, Fault> {
    match library_v3(frame)? {
        v3::Packet::Subscribe { packet_id, topic_filters } => {
            check_v311_options(frame.body)?;
            let filters = topic_filters
                .into_iter()
                .map(|(filter, qos)| Filter {
                    filter: (*filter).into(),
                    qos: from_library(qos),
                    no_local: bridge && !topics::is_shared(&filter),
                    retain_as_published: bridge,
                    retain_handling: 0,
                })
                .collect();
            Ok(Packet::Subscribe(Box::new(Subscribe { id: packet_id.get(), subscription: None, filters })))
        }
        v3::Packet::Unsubscribe { packet_id, topic_filters } => Ok(Packet::Unsubscribe {
            id: packet_id.get(),
            filters: topic_filters.iter().map(|f| (**f).into()).collect(),
        }),
        v3::Packet::Disconnect if frame.body.is_empty() => Ok(Packet::Disconnect(Disconnect::default())),
        v3::Packet::Disconnect => Err(Fault::malformed("a DISCONNECT with a body")),
        _ => Err(Fault::malformed("an unexpected packet")),
    }
}

/// The library masks the reserved bits of the requested QoS.
fn check_v311_options(body: &[u8]) -> Result<(), Fault> {
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some((_, after)) = take_binary(rest) {
        match after.split_first() {
            Some((0..=2, after)) => rest = after,
            _ => return Err(Fault::malformed("a SUBSCRIBE with a wrong QoS")),
        }
    }
    Ok(())
}

fn rare_v5(frame: Frame<'_>) -> Result<Packet, Fault> {
    check_properties(frame, if frame.first == 0xe0 { 1 } else { 2 })?;
    match library_v5(frame.whole.into())? {
        v5::Packet::Subscribe(subscribe) => {
            let filters = subscribe.topic_filters.iter().map(|(filter, options)| Filter {
                filter: (**filter).into(),
                qos: from_library(options.qos),
                no_local: options.no_local,
                retain_as_published: options.retain_as_published,
                retain_handling: options.retain_handling.into(),
            });
            let filters: Vec<_> = filters.collect();
            if filters.iter().any(|f| f.no_local && f.filter.starts_with("$share/")) {
                return Err(Fault::protocol("no-local on a shared subscription"));
            }
            let subscription = subscribe.id.map(std::num::NonZeroU32::get);
            Ok(Packet::Subscribe(Box::new(Subscribe { id: subscribe.packet_id.get(), subscription, filters })))
        }
        v5::Packet::Unsubscribe(unsubscribe) => Ok(Packet::Unsubscribe {
            id: unsubscribe.packet_id.get(),
            filters: unsubscribe.topic_filters.iter().map(|f| (**f).into()).collect(),
        }),
        v5::Packet::Disconnect(disconnect) => Ok(Packet::Disconnect(Disconnect {
            with_will: disconnect.reason_code != v5::DisconnectReasonCode::NormalDisconnection,
            session_expiry_secs: disconnect.session_expiry_interval_secs,
        })),
        _ => Err(Fault::malformed("an unexpected packet")),
    }
}

/// Of a packet that has them from this byte of its body on, if it goes on so far.
fn check_properties(frame: Frame<'_>, from: usize) -> Result<(), Fault> {
    let (block, _) = properties::split(frame.body.get(from..).unwrap_or_default())?;
    properties::check(block).map(|_| ())
}

/// `rest` begins with them.
fn add_properties(publish: &mut Publish, frame: Frame<'_>, rest: &[u8]) -> Result<(), Fault> {
    let (block, after) = properties::split(rest)?;
    let checked = properties::check(block)?;
    let mut whole = BytesMut::from(frame.whole);
    checked.make_readable(whole.get_mut(frame.whole.len() - after.len() - block.len()..));
    let v5::Packet::Publish(packet) = library_v5(whole)? else {
        return Err(Fault::malformed("a wrong PUBLISH"));
    };
    publish.payload = packet.payload;
    let Some(properties) = packet.properties else { return Ok(()) };
    if !properties.subscription_ids.is_empty() {
        return Err(Fault::protocol("a subscription identifier in a client's PUBLISH"));
    }
    publish.alias = properties.topic_alias.map(std::num::NonZeroU16::get);
    publish.expiry = checked.expiry;
    let kept = MessageProperties {
        format: checked.format,
        content_type: properties.content_type.map(|text| (*text).into()),
        response_topic: properties.response_topic.map(|text| (*text).into()),
        correlation: properties.correlation_data.map(|data| Bytes::copy_from_slice(&data)),
        user: properties.user_properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
    };
    publish.properties = worth_keeping(kept)?;
    Ok(())
}

/// None where there is nothing in them.
pub(super) fn worth_keeping(kept: MessageProperties) -> Result<Option<Box<MessageProperties>>, Fault> {
    if let Some(topic) = &kept.response_topic {
        topics::check_name(topic)?;
    }
    Ok((kept != MessageProperties::default()).then(|| Box::new(kept)))
}

/// A filter with NUL is as malformed as any other text.
fn without_nul(packet: Packet) -> Result<Packet, Fault> {
    match &packet {
        Packet::Subscribe(subscribe) => subscribe.filters.iter().try_for_each(|filter| no_nul(&filter.filter))?,
        Packet::Unsubscribe { filters, .. } => filters.iter().try_for_each(|filter| no_nul(filter))?,
        _ => {}
    }
    Ok(packet)
}

pub(super) fn no_nul(text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::malformed("a text with the character NUL")) } else { Ok(()) }
}

/// Two bytes of length and so many bytes.
pub(super) fn take_binary(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

fn packet_id(bytes: [u8; 2]) -> Result<u16, Fault> {
    match u16::from_be_bytes(bytes) {
        0 => Err(Fault::malformed("the packet identifier 0")),
        id => Ok(id),
    }
}

pub(super) fn qos(bits: u8) -> Result<QoS, Fault> {
    match bits {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        _ => Err(Fault::malformed("QoS 3")),
    }
}

pub(super) fn from_library(qos: rmqtt_codec::types::QoS) -> QoS {
    match qos {
        rmqtt_codec::types::QoS::AtMostOnce => QoS::AtMostOnce,
        rmqtt_codec::types::QoS::AtLeastOnce => QoS::AtLeastOnce,
        rmqtt_codec::types::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub(super) fn library_v3(frame: Frame<'_>) -> Result<v3::Packet, Fault> {
    let decoded = v3::Codec::new(0).decode(&mut BytesMut::from(frame.whole));
    decoded.map_err(fault)?.map(|(packet, _)| packet).ok_or_else(|| Fault::malformed("a packet that is too short"))
}

pub(super) fn library_v5(mut whole: BytesMut) -> Result<v5::Packet, Fault> {
    let decoded = v5::Codec::new(0, 0).decode(&mut whole);
    decoded.map_err(fault)?.map(|(packet, _)| packet).ok_or_else(|| Fault::malformed("a packet that is too short"))
}

fn fault(error: DecodeError) -> Fault {
    let reason = match error {
        DecodeError::InvalidClientId => reason::CLIENT_ID,
        DecodeError::UnsupportedProtocolLevel | DecodeError::InvalidProtocol => reason::UNSUPPORTED_VERSION,
        DecodeError::InvalidTopicFilter | DecodeError::UnsupportedPacketType => reason::PROTOCOL,
        _ => reason::MALFORMED,
    };
    Fault::new(reason, error.to_string().to_lowercase())
}
