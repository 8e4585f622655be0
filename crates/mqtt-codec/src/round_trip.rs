//! What is written is read again: every kind of packet, in both versions, with whatever its fields may hold. What only a client
//! sends is written here byte by byte, and what only a server sends is read by the codec library.

use std::{collections::HashMap, num::NonZeroU16, time::Duration, time::Instant};

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, option, prelude::*, test_runner::Config};
use rmqtt_codec::{v3, v5};
use switchbox_model::{Message, MessageProperties, PayloadFormat, QoS};
use tokio_util::codec::Decoder as _;

use crate::{
    aliases::Aliases,
    connect,
    decode::Decoder,
    encode::{Accepted, Peer, PublishHead},
    fault::reason,
    frame::{frame, put_variable_length},
    packet::{Ack, AckKind, Connect, Packet, Version},
};

const ANY_SIZE: usize = usize::MAX;

fn config() -> Config {
    Config { failure_persistence: None, ..Config::with_cases(256) }
}

fn peer(version: Version, aliases: u16) -> Peer {
    Peer { version, maximum_packet: ANY_SIZE, problem_info: true, aliases: Aliases::new(aliases) }
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn some_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 äß€🙂+#/$-]{0,20}"
}

fn topic() -> impl Strategy<Value = String> {
    "[a-c0-9ä🙂/]{1,6}"
}

fn filter() -> impl Strategy<Value = String> {
    "(\\+/|[a-cä]{1,3}/){0,3}(\\+|#|[a-z🙂]{1,5})"
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => (100_usize..40_000).prop_map(|length| vec![7; length])]
}

fn properties() -> impl Strategy<Value = MessageProperties> {
    let format =
        prop_oneof![Just(PayloadFormat::Unstated), Just(PayloadFormat::Utf8), Just(PayloadFormat::Unspecified)];
    let binary = vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    (format, option::of(some_text()), option::of(topic()), option::of(binary), vec((some_text(), some_text()), 0..3))
        .prop_map(|(format, content_type, response_topic, correlation, user)| MessageProperties {
            format,
            content_type: content_type.map(Into::into),
            response_topic: response_topic.map(Into::into),
            correlation,
            user,
        })
}

/// A message, the identifier under which it is sent, the seconds that it has left, and whether it was sent before.
fn message() -> impl Strategy<Value = (Message, u16, Option<u32>, bool)> {
    let left = option::of(0..=u32::MAX);
    (topic(), payload(), qos(), any::<bool>(), properties(), 1..=u16::MAX, left, any::<bool>()).prop_map(
        |(topic, payload, qos, retain, properties, id, left, dup)| {
            let properties = (properties != MessageProperties::default()).then(|| Box::new(properties));
            let message = Message { qos, retain, properties, ..Message::new(&topic, payload) };
            let exchanged = qos != QoS::AtMostOnce;
            (message, if exchanged { id } else { 0 }, left, dup && exchanged)
        },
    )
}

/// All packets that these bytes are, and no more.
fn read(version: Version, bytes: &[u8]) -> Result<Vec<Packet>, TestCaseError> {
    let mut fault = None;
    let (packets, rest) = Decoder::new(version).decode(bytes, ANY_SIZE, &mut fault);
    prop_assert!(fault.is_none() && rest.is_empty(), "{fault:?}, {} bytes are left", rest.len());
    Ok(packets)
}

fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut bytes = vec![first];
    put_variable_length(body.len(), &mut bytes);
    bytes.extend(body);
    bytes
}

fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

/// Properties with their length before them; nothing in 3.1.1.
fn block(version: Version, properties: &[Vec<u8>]) -> Vec<u8> {
    let (properties, mut bytes) = (properties.concat(), Vec::new());
    if version == Version::V5 {
        put_variable_length(properties.len(), &mut bytes);
        bytes.extend(properties);
    }
    bytes
}

fn user_properties() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = (some_text(), some_text()).prop_map(|(name, value)| [vec![0x26], text(name), text(value)].concat());
    vec(one, 0..3)
}

/// The fields of a CONNECT, and its properties.
#[derive(Debug, Clone)]
struct Hello {
    version: Version,
    id: String,
    clean: bool,
    keep_alive: u16,
    user: Option<(String, Option<Vec<u8>>)>,
    will: Option<(Message, Option<u32>, u32)>,
    session_expiry: Option<u32>,
    receive_maximum: Option<NonZeroU16>,
    maximum_packet: Option<u32>,
    aliases: Option<u16>,
    problem_info: Option<bool>,
    response_info: Option<bool>,
    more: Vec<Vec<u8>>,
}

fn hello() -> impl Strategy<Value = Hello> {
    let user = option::of((some_text(), option::of(vec(any::<u8>(), 0..20))));
    let will = option::of((message(), any::<u32>()).prop_map(|((message, _, left, _), delay)| (message, left, delay)));
    let fields = (version(), "[a-zA-Z0-9ä🙂]{1,20}", any::<bool>(), any::<u16>(), user, will);
    let limits = (option::of(any::<u32>()), option::of(any::<NonZeroU16>()), option::of(1..=u32::MAX));
    let more = (option::of(any::<u16>()), option::of(any::<bool>()), option::of(any::<bool>()), user_properties());
    (fields, limits, more).prop_map(|((version, id, clean, keep_alive, user, will), limits, more)| {
        let (session_expiry, receive_maximum, maximum_packet) = limits;
        let (aliases, problem_info, response_info, more) = more;
        let rest = (session_expiry, receive_maximum, maximum_packet, aliases, problem_info, response_info, more);
        let (session_expiry, receive_maximum, maximum_packet, aliases, problem_info, response_info, more) = rest;
        Hello {
            version,
            id,
            clean,
            keep_alive,
            user,
            will,
            session_expiry,
            receive_maximum,
            maximum_packet,
            aliases,
            problem_info,
            response_info,
            more,
        }
    })
}

fn property<const N: usize>(id: u8, value: Option<[u8; N]>) -> Vec<u8> {
    value.map(|value| [&[id][..], &value].concat()).unwrap_or_default()
}

fn message_properties(message: &Message, left: Option<u32>) -> Vec<Vec<u8>> {
    let MessageProperties { format, content_type, response_topic, correlation, user } =
        message.properties.as_deref().cloned().unwrap_or_default();
    let of = |id: u8, bytes: Option<&[u8]>| bytes.map(|bytes| [vec![id], text(bytes)].concat()).unwrap_or_default();
    let format = match format {
        PayloadFormat::Unstated => None,
        PayloadFormat::Unspecified => Some([0]),
        PayloadFormat::Utf8 => Some([1]),
    };
    let mut all = vec![
        property(0x02, left.map(u32::to_be_bytes)),
        of(0x09, correlation.as_deref()),
        of(0x03, content_type.as_deref().map(str::as_bytes)),
        property(0x01, format),
        of(0x08, response_topic.as_deref().map(str::as_bytes)),
    ];
    all.extend(user.iter().map(|(name, value)| [vec![0x26], text(name), text(value)].concat()));
    all
}

impl Hello {
    fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut end = Vec::new();
        if let Some((will, left, delay)) = &self.will {
            flags |= 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5;
            let mut properties = message_properties(will, *left);
            properties.push(property(0x18, Some(delay.to_be_bytes())));
            end.extend([block(self.version, &properties), text(will.topic.as_bytes()), text(&will.payload)].concat());
        }
        if let Some((name, password)) = &self.user {
            flags |= 0x80 | if password.is_some() { 0x40 } else { 0 };
            end.extend(text(name));
            end.extend(password.as_ref().map(text).unwrap_or_default());
        }
        let mut own = vec![
            property(0x11, self.session_expiry.map(u32::to_be_bytes)),
            property(0x21, self.receive_maximum.map(|most| most.get().to_be_bytes())),
            property(0x27, self.maximum_packet.map(u32::to_be_bytes)),
            property(0x22, self.aliases.map(u16::to_be_bytes)),
            property(0x17, self.problem_info.map(|flag| [u8::from(flag)])),
            property(0x19, self.response_info.map(|flag| [u8::from(flag)])),
        ];
        own.extend(self.more.clone());
        let level = if self.version == Version::V5 { 5 } else { 4 };
        let head = [&text("MQTT")[..], &[level, flags], &self.keep_alive.to_be_bytes()].concat();
        packet(0x10, &[&head, &block(self.version, &own), &text(&self.id), &end])
    }

    fn check(&self, read: &Connect) -> Result<(), TestCaseError> {
        let v5 = self.version == Version::V5;
        prop_assert_eq!((read.version, &*read.client_id, read.clean), (self.version, &*self.id, self.clean));
        prop_assert_eq!(read.keep_alive_secs, self.keep_alive);
        prop_assert_eq!(read.user_name.as_deref(), self.user.as_ref().map(|(name, _)| &**name));
        let password = self.user.as_ref().and_then(|(_, password)| password.as_deref());
        prop_assert_eq!(read.password.as_ref().map(|password| &password[..]), password);
        let kept = if v5 {
            self.session_expiry.unwrap_or(0)
        } else if self.clean {
            0
        } else {
            u32::MAX
        };
        prop_assert_eq!(read.session_expiry_secs, kept);
        let receive_maximum = self.receive_maximum.filter(|_| v5).map_or(u16::MAX, NonZeroU16::get);
        let maximum_packet = self.maximum_packet.filter(|_| v5).map_or(usize::MAX, |most| most as usize);
        prop_assert_eq!((read.receive_maximum, read.maximum_packet), (receive_maximum, maximum_packet));
        prop_assert_eq!(read.topic_aliases, self.aliases.filter(|_| v5).unwrap_or(0));
        prop_assert_eq!(read.problem_info, v5 && self.problem_info.unwrap_or(true));
        prop_assert_eq!(read.response_info, v5 && self.response_info.unwrap_or(false));
        let will = self.will.as_ref().map(|(will, left, delay)| {
            let (left, delay) = if v5 { (*left, *delay) } else { (None, 0) };
            let properties = will.properties.clone().filter(|_| v5);
            let times = (Duration::from_secs(delay.into()), left.map(|secs| Duration::from_secs(secs.into())));
            (will.topic.clone(), will.payload.clone(), will.qos, will.retain, times, properties)
        });
        let found = read.will.as_ref().map(|will| {
            let times = (will.delay, will.expiry);
            (will.topic.clone(), will.payload.clone(), will.qos, will.retain, times, will.properties.clone())
        });
        prop_assert_eq!(found, will);
        Ok(())
    }
}

/// A code of SUBACK as a client of 3.1.1 reads it.
fn code_of_3(code: u8) -> v3::SubscribeReturnCode {
    use rmqtt_codec::types::QoS as Granted;
    match code {
        0 => v3::SubscribeReturnCode::Success(Granted::AtMostOnce),
        1 => v3::SubscribeReturnCode::Success(Granted::AtLeastOnce),
        2 => v3::SubscribeReturnCode::Success(Granted::ExactlyOnce),
        _ => v3::SubscribeReturnCode::Failure,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_publish_is_read_as_it_was_written(version in version(), aliases in 0_u16..4, run in vec(message(), 1..12)) {
        // 3.1.1 has no aliases.
        let aliases = if version == Version::V5 { aliases } else { 0 };
        let (mut peer, mut bytes, now) = (peer(version, aliases), BytesMut::new(), Instant::now());
        let mut flags = Vec::new();
        for (message, id, left, dup) in &run {
            let head = PublishHead { qos: message.qos, retain: message.retain, dup: *dup, id: *id };
            let expires = left.map(|secs| now + Duration::from_secs(secs.into()));
            flags.push(bytes.len());
            let message = Message { expires, ..message.clone() };
            prop_assert!(peer.message(head, &message, &[], now, &mut bytes));
        }
        let mut names = HashMap::new();
        let packets = read(version, &bytes)?;
        prop_assert_eq!(packets.len(), run.len());
        for ((packet, (message, id, left, dup)), at) in packets.iter().zip(&run).zip(flags) {
            let Packet::Publish(publish) = packet else { return Err(TestCaseError::fail(format!("{packet:?}"))) };
            if let (Some(alias), false) = (publish.alias, publish.topic.is_empty()) {
                names.insert(alias, publish.topic.clone());
            }
            let named = if publish.topic.is_empty() { publish.alias.and_then(|alias| names.get(&alias)) } else { None };
            prop_assert_eq!(named.unwrap_or(&publish.topic), &message.topic);
            prop_assert_eq!(
                (publish.qos, publish.retain, publish.id, &publish.payload, bytes[at] & 8 != 0),
                (message.qos, message.retain, *id, &message.payload, *dup)
            );
            let v5 = version == Version::V5;
            let left = left.filter(|_| v5).map(|secs| Duration::from_secs(secs.into()));
            prop_assert_eq!((publish.expiry, &publish.properties), (left, &message.properties.clone().filter(|_| v5)));
        }
    }

    #[test]
    fn acknowledgements_are_read_as_they_were_written(
        version in version(),
        kind in prop_oneof![Just(AckKind::PubAck), Just(AckKind::PubRec), Just(AckKind::PubRel), Just(AckKind::PubComp)],
        id in 1..=u16::MAX,
        code in any::<prop::sample::Index>(),
        words in option::of(Just("the words")),
    ) {
        let codes: &[u8] = match kind {
            AckKind::PubAck | AckKind::PubRec => &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
            AckKind::PubRel | AckKind::PubComp => &[0, 0x92],
        };
        let reason = *code.get(codes);
        let mut bytes = BytesMut::new();
        peer(version, 0).ack(&Ack { kind, id, reason, text: words }, &mut bytes);
        let expected = Packet::Ack { kind, id, reason: if version == Version::V5 { reason } else { 0 } };
        prop_assert_eq!(format!("{:?}", read(version, &bytes)?), format!("{:?}", [expected]));
    }

    #[test]
    fn subscriptions_and_disconnects_are_read_as_a_client_writes_them(
        version in version(),
        id in 1..=u16::MAX,
        filters in vec((filter(), qos(), any::<bool>(), any::<bool>(), 0..=2_u8), 1..5),
        subscription in option::of(1..0x0fff_ffff_u32),
        more in user_properties(),
        session_expiry in option::of(any::<u32>()),
        with_will in any::<bool>(),
    ) {
        let v5 = version == Version::V5;
        let option = |(_, qos, no_local, as_published, handling): &(String, QoS, bool, bool, u8)| {
            let more = u8::from(*no_local) << 2 | u8::from(*as_published) << 3 | handling << 4;
            *qos as u8 | if v5 { more } else { 0 }
        };
        let mut own = more.clone();
        own.extend(subscription.map(|number| {
            let mut bytes = vec![0x0b];
            put_variable_length(number as usize, &mut bytes);
            bytes
        }));
        let listed: Vec<u8> = filters.iter().flat_map(|one| [text(&one.0), vec![option(one)]].concat()).collect();
        let names: Vec<u8> = filters.iter().flat_map(|one| text(&one.0)).collect();
        let head = id.to_be_bytes();
        let mut disconnect = Vec::new();
        if v5 {
            let expiry = property(0x11, session_expiry.map(u32::to_be_bytes));
            disconnect = [vec![if with_will { 4 } else { 0 }], block(version, &[expiry])].concat();
        }
        let bytes = [
            packet(0x82, &[&head, &block(version, &own), &listed]),
            packet(0xa2, &[&head, &block(version, &more), &names]),
            packet(0xc0, &[]),
            packet(0xe0, &[&disconnect]),
        ];
        let packets = read(version, &bytes.concat())?;
        let [Packet::Subscribe(subscribe), Packet::Unsubscribe { id: found, filters: removed }, Packet::Ping, last] =
            &packets[..]
        else {
            return Err(TestCaseError::fail(format!("{packets:?}")));
        };
        prop_assert_eq!((subscribe.id, *found), (id, id));
        prop_assert_eq!(subscribe.subscription, subscription.filter(|_| v5));
        prop_assert!(removed.iter().map(|name| &**name).eq(filters.iter().map(|one| &*one.0)));
        let read = subscribe.filters.iter().map(|one| {
            (one.filter.to_string(), one.qos, one.no_local, one.retain_as_published, one.retain_handling)
        });
        let plain = |one: &(String, QoS, bool, bool, u8)| if v5 { one.clone() } else { (one.0.clone(), one.1, false, false, 0) };
        prop_assert!(read.eq(filters.iter().map(plain)), "{subscribe:?}");
        let Packet::Disconnect(disconnect) = last else { return Err(TestCaseError::fail(format!("{last:?}"))) };
        prop_assert_eq!(
            (disconnect.with_will, disconnect.session_expiry_secs),
            (v5 && with_will, session_expiry.filter(|_| v5))
        );
    }

    #[test]
    fn a_connect_is_read_as_a_client_writes_it(hello in hello()) {
        let bytes = hello.bytes();
        let frame = frame(&bytes, ANY_SIZE).unwrap().unwrap();
        prop_assert_eq!(frame.whole.len(), bytes.len());
        let connect = connect::read(frame).map_err(|(fault, _)| TestCaseError::fail(format!("{fault:?}")))?;
        hello.check(&connect)?;
    }

    #[test]
    fn what_a_server_alone_sends_is_read_by_a_client(
        session_present in any::<bool>(),
        assigned in option::of("[a-z]{1,9}"),
        session_expiry in option::of(any::<u32>()),
        keep_alive in option::of(any::<u16>()),
        response_info in option::of("[a-z/]{1,9}"),
        packet_bytes in 1_usize..1_000_000,
        id in 1..=u16::MAX,
        granted in vec(prop_oneof![0..=2_u8, Just(reason::QUOTA), Just(reason::NOT_AUTHORISED)], 1..6),
        words in some_text(),
    ) {
        let accepted = Accepted {
            session_present,
            packet_bytes,
            assigned_id: assigned.as_deref(),
            session_expiry_secs: session_expiry,
            keep_alive_secs: keep_alive,
            response_info: response_info.as_deref(),
        };
        let removed: Vec<u8> = granted.iter().map(|code| if *code < 0x80 { 0 } else { reason::NOT_AUTHORISED }).collect();
        let (five, mut bytes) = (peer(Version::V5, 0), BytesMut::new());
        prop_assert!(five.connack(&accepted, &mut bytes));
        five.suback(id, &granted, Some(&words), &mut bytes);
        five.unsuback(id, &removed, &mut bytes);
        five.disconnect(reason::TAKEN_OVER, &words, &mut bytes);
        let mut codec = v5::Codec::new(0, 0);
        let mut next = || codec.decode(&mut bytes).unwrap().unwrap().0;
        let v5::Packet::ConnectAck(ack) = next() else { panic!("no CONNACK") };
        prop_assert_eq!((ack.session_present, ack.session_expiry_interval_secs), (session_present, session_expiry));
        prop_assert_eq!((ack.assigned_client_id.as_deref(), ack.server_keepalive_sec), (assigned.as_deref(), keep_alive));
        prop_assert_eq!(ack.response_info.as_deref(), response_info.as_deref());
        prop_assert_eq!(ack.max_packet_size, u32::try_from(packet_bytes).ok());
        let v5::Packet::SubscribeAck(ack) = next() else { panic!("no SUBACK") };
        prop_assert_eq!((ack.packet_id.get(), ack.reason_string.as_deref()), (id, Some(&*words)));
        prop_assert_eq!(ack.status.into_iter().map(u8::from).collect::<Vec<_>>(), granted.clone());
        let v5::Packet::UnsubscribeAck(ack) = next() else { panic!("no UNSUBACK") };
        prop_assert_eq!(ack.packet_id.get(), id);
        prop_assert_eq!(ack.status.into_iter().map(u8::from).collect::<Vec<_>>(), removed);
        let v5::Packet::Disconnect(disconnect) = next() else { panic!("no DISCONNECT") };
        prop_assert_eq!((u8::from(disconnect.reason_code), disconnect.reason_string.as_deref()), (reason::TAKEN_OVER, Some(&*words)));
        prop_assert!(bytes.is_empty());

        let (four, mut bytes) = (peer(Version::V311, 0), BytesMut::new());
        prop_assert!(four.connack(&accepted, &mut bytes));
        four.suback(id, &granted, Some(&words), &mut bytes);
        four.unsuback(id, &granted, &mut bytes);
        four.disconnect(reason::TAKEN_OVER, &words, &mut bytes);
        let mut codec = v3::Codec::new(0);
        let mut next = || codec.decode(&mut bytes).unwrap().unwrap().0;
        let packet_id = NonZeroU16::new(id).unwrap();
        let return_code = v3::ConnectAckReason::ConnectionAccepted;
        prop_assert_eq!(next(), v3::Packet::ConnectAck(v3::ConnectAck { return_code, session_present }));
        prop_assert_eq!(next(), v3::Packet::SubscribeAck { packet_id, status: granted.iter().copied().map(code_of_3).collect() });
        prop_assert_eq!(next(), v3::Packet::UnsubscribeAck { packet_id });
        // A server of 3.1.1 sends no DISCONNECT.
        prop_assert!(bytes.is_empty());
    }
}
