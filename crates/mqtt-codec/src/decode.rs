//! Bytes to packets. PUBLISH without properties and the plain acknowledgements are read here, as they are nearly all; the rest by
//! the codec library, with checks of what it does not check.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rmqtt_codec::{v3, v5};
use switchbox_model::{MessageProperties, QoS};
use switchbox_rules::topic;

use crate::{
    fault::{Fault, reason},
    frame::{Frame, frame, no_nul, take_binary},
    library::{from_library, library_v3, library_v5},
    packet::{AckKind, Disconnect, Filter, Packet, Publish, Subscribe, Version},
    payloads::Payloads,
    properties,
};

/// Buffers are sized for packets of this size, and at first for no more than [`MANY_PACKETS`].
const TYPICAL_PACKET_BYTES: usize = 32;
const MANY_PACKETS: usize = 64;

/// Reads the packets of one connection after its CONNECT.
#[derive(Debug)]
pub struct Decoder {
    version: Version,
    /// Of MQTT 3.1.1, as [`crate::bridge`] says.
    bridge: bool,
    /// The topic of the last PUBLISH, shared by the next one to the same.
    last_topic: Arc<str>,
}

impl Decoder {
    pub fn new(version: Version) -> Self {
        Self { version, bridge: false, last_topic: "".into() }
    }

    pub fn of_bridge(self, bridge: bool) -> Self {
        Self { bridge, ..self }
    }

    /// All whole packets of `bytes` up to the first wrong one, and the bytes that are left.
    pub fn decode<'a>(
        &mut self,
        bytes: &'a [u8],
        packet_bytes: usize,
        fault: &mut Option<Fault>,
    ) -> (Vec<Packet>, &'a [u8]) {
        let mut packets = Vec::with_capacity((bytes.len() / TYPICAL_PACKET_BYTES).min(MANY_PACKETS));
        let mut payloads = Payloads::new(bytes.len());
        let mut rest = bytes;
        let found = loop {
            let frame = match frame(rest, packet_bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => return (packets, rest),
                Err(found) => break found,
            };
            let packet = match frame.first {
                0x30..=0x3f => self.publish(frame, &mut payloads).map(Packet::Publish),
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
            };
            match packet {
                Ok(packet) => packets.push(packet),
                Err(found) => break found,
            }
            rest = rest.get(frame.whole.len()..).unwrap_or_default();
        };
        *fault = Some(found);
        (packets, &[])
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
                topic::check_name(text)?;
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
                    no_local: bridge && !topic::is_shared(&filter),
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

/// Reads the properties of a packet that begin at this byte of its body, if it is that long.
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
    publish.properties = properties::worth_keeping(kept)?;
    Ok(())
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

fn packet_id(bytes: [u8; 2]) -> Result<u16, Fault> {
    match u16::from_be_bytes(bytes) {
        0 => Err(Fault::malformed("the packet identifier 0")),
        id => Ok(id),
    }
}

pub fn qos(bits: u8) -> Result<QoS, Fault> {
    match bits {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        _ => Err(Fault::malformed("QoS 3")),
    }
}
