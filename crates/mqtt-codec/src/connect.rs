//! Reads CONNECT, the only packet that unauthenticated clients may send.

use std::time::Duration;

use bytes::BytesMut;
use rmqtt_codec::{v3, v5};
use zeroize::Zeroizing;

use switchbox_model::{MessageProperties, limits};
use switchbox_rules::topic;

use crate::{
    bridge,
    fault::{Fault, reason},
    frame::{self, Frame},
    library::{from_library, library_v3, library_v5},
    packet::{Connect, Version, Will},
    properties::{self, Checked},
};

/// A fault in a CONNECT, and how the answer is encoded. With `None` there is no answer, as the bytes were not MQTT.
pub type ConnectError = (Fault, Option<Reader>);

/// The properties of an answer that a refused client can read.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    pub version: Version,
    /// Largest packet that it takes, bytes.
    pub maximum_packet: usize,
}

impl Reader {
    /// By the body of a CONNECT, which may be wrong or cut.
    fn of(version: Version, body: &[u8]) -> Self {
        let packet_size = || {
            let rest = body.get(10..)?;
            let (length, header) = frame::variable_length(rest).ok()??;
            let rest = rest.get(header..)?;
            properties::maximum_packet(rest.get(..length).unwrap_or(rest))
        };
        let maximum_packet = if version == Version::V5 { packet_size() } else { None };
        Self { version, maximum_packet: maximum_packet.unwrap_or(usize::MAX) }
    }
}

/// The reader of a CONNECT that is too large, from its beginning. Returns `None` if no answer is possible: MQTT 3.1.1, or bytes
/// that are not MQTT.
pub fn begun(bytes: &[u8]) -> Option<Reader> {
    let (0x10, rest) = bytes.split_first()? else { return None };
    let (_, header) = frame::variable_length(rest).ok()??;
    let body = rest.get(header..)?;
    let version = version(body).ok().filter(|version| *version == Version::V5)?;
    Some(Reader::of(version, body))
}

const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN_AND_QOS: u8 = 0x38;
const WILL: u8 = 0x04;
const CLEAN: u8 = 0x02;

/// Reads the first packet of a connection.
pub fn read(frame: Frame<'_>) -> Result<Connect, ConnectError> {
    if frame.first != 0x10 {
        return Err((Fault::protocol("the first packet is not CONNECT"), None));
    }
    if let Some(whole) = bridge::as_client(frame.body)
        && let Some(frame) = bridge::frame(&whole)
    {
        return read(frame).map(|connect| Connect { bridge: true, ..connect });
    }
    let reader = |version| Reader::of(version, frame.body);
    let version = version(frame.body).map_err(|(fault, version)| (fault, version.map(reader)))?;
    let read = match version {
        Version::V311 => read_v311(frame),
        Version::V5 => read_v5(frame),
    };
    let checked = read.and_then(|connect| check(&connect).map(|()| connect));
    checked.map_err(|fault| (fault, Some(reader(version))))
}

/// Or what is wrong with it, and in which version to say so.
fn version(body: &[u8]) -> Result<Version, (Fault, Option<Version>)> {
    let unsupported = |level: u8| {
        let text =
            format!("protocol level {level} is not supported, only 4 (MQTT 3.1.1), 5, and 131 and 132 of bridges");
        Fault::new(reason::UNSUPPORTED_VERSION, text)
    };
    match frame::take_binary(body) {
        Some((b"MQTT", [4, ..])) => Ok(Version::V311),
        Some((b"MQTT", [5, ..])) => Ok(Version::V5),
        Some((b"MQTT", [level, ..])) if !bridge::is_level_of_3(*level) => Err((unsupported(*level), Some(Version::V5))),
        Some((b"MQTT" | b"MQIsdp", [level, ..])) => Err((unsupported(*level), Some(Version::V311))),
        _ => Err((Fault::protocol("a CONNECT of another protocol"), None)),
    }
}

fn flags(body: &[u8]) -> Result<u8, Fault> {
    let flags = *body.get(7).ok_or_else(|| Fault::malformed("a CONNECT that is too short"))?;
    if flags & WILL == 0 && flags & WILL_RETAIN_AND_QOS != 0 {
        return Err(Fault::malformed("will flags without a will"));
    }
    Ok(flags)
}

/// Facts about a CONNECT that the library does not return.
#[derive(Default)]
struct ConnectFacts<'a> {
    password: Option<&'a [u8]>,
    /// The properties of its will, and how many bytes there are from their beginning on.
    will: Checked,
    will_to_end: usize,
}

/// The password is the last of it; the library takes one with bytes left over.
fn facts(body: &[u8], flags: u8, version: Version) -> Result<ConnectFacts<'_>, Fault> {
    let short = || Fault::malformed("a CONNECT that is too short");
    let skip_text = |rest| frame::take_binary(rest).map(|(_, rest)| rest).ok_or_else(short);
    let mut facts = ConnectFacts::default();
    let mut rest = body.get(10..).ok_or_else(short)?;
    if version == Version::V5 {
        let (block, after) = properties::split(rest)?;
        properties::check(block)?;
        rest = after;
    }
    rest = skip_text(rest)?;
    if flags & WILL != 0 {
        if version == Version::V5 {
            let (block, after) = properties::split(rest)?;
            facts.will = properties::check(block)?;
            facts.will_to_end = block.len() + after.len();
            rest = after;
        }
        rest = skip_text(skip_text(rest)?)?;
    }
    if flags & USER_NAME != 0 {
        rest = skip_text(rest)?;
    }
    if flags & PASSWORD != 0 {
        let (last, nothing) = frame::take_binary(rest).ok_or_else(short)?;
        (facts.password, rest) = (Some(last), nothing);
    }
    if rest.is_empty() { Ok(facts) } else { Err(Fault::malformed("bytes after the end of a CONNECT")) }
}

/// A copy for the library with zeros for the password: what it reads shares one buffer, and a will lives as long as the
/// connection.
fn without(password: Option<&[u8]>, whole: &[u8]) -> BytesMut {
    let shown = whole.len() - password.map_or(0, <[u8]>::len);
    let mut copy = BytesMut::with_capacity(whole.len());
    copy.extend_from_slice(whole.get(..shown).unwrap_or_default());
    copy.resize(whole.len(), 0);
    copy
}

fn read_v311(frame: Frame<'_>) -> Result<Connect, Fault> {
    let flags = flags(frame.body)?;
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(Fault::malformed("a password without a user name"));
    }
    let ConnectFacts { password, .. } = facts(frame.body, flags, Version::V311)?;
    let whole = without(password, frame.whole);
    let v3::Packet::Connect(connect) = library_v3(Frame { whole: &whole, ..frame })? else {
        return Err(Fault::malformed("a wrong CONNECT"));
    };
    let will = connect.last_will.map(|will| {
        Box::new(Will {
            topic: (*will.topic).into(),
            payload: will.message,
            qos: from_library(will.qos),
            retain: will.retain,
            delay: Duration::ZERO,
            expiry: None,
            properties: None,
        })
    });
    Ok(Connect {
        version: Version::V311,
        bridge: false,
        client_id: (*connect.client_id).into(),
        clean: connect.clean_session,
        keep_alive_secs: connect.keep_alive,
        user_name: connect.username.map(|name| (*name).into()),
        password: password.map(|password| Zeroizing::new(password.to_vec())),
        session_expiry_secs: if connect.clean_session { 0 } else { u32::MAX },
        receive_maximum: u16::MAX,
        maximum_packet: usize::MAX,
        problem_info: false,
        response_info: false,
        topic_aliases: 0,
        will,
    })
}

fn read_v5(frame: Frame<'_>) -> Result<Connect, Fault> {
    let flags = flags(frame.body)?;
    let ConnectFacts { password, will, will_to_end } = facts(frame.body, flags, Version::V5)?;
    // The library refuses an empty client id without clean start, which MQTT 5 allows: read it as with clean start.
    let mut whole = without(password, frame.whole);
    let flags_at = whole.len() - frame.body.len() + 7;
    if let Some(byte) = whole.get_mut(flags_at) {
        *byte |= CLEAN;
    }
    let will_at = whole.len() - will_to_end;
    will.make_readable(whole.get_mut(will_at..));
    let v5::Packet::Connect(connect) = library_v5(whole)? else {
        return Err(Fault::malformed("a wrong CONNECT"));
    };
    if connect.auth_method.is_some() {
        return Err(Fault::new(reason::AUTH_METHOD, "enhanced authentication is not supported"));
    }
    if connect.auth_data.is_some() {
        return Err(Fault::protocol("authentication data without a method"));
    }
    Ok(Connect {
        version: Version::V5,
        bridge: false,
        client_id: (*connect.client_id).into(),
        clean: flags & CLEAN != 0,
        keep_alive_secs: connect.keep_alive,
        user_name: connect.username.map(|name| (*name).into()),
        password: password.map(|password| Zeroizing::new(password.to_vec())),
        session_expiry_secs: connect.session_expiry_interval_secs,
        receive_maximum: connect.receive_max.map_or(u16::MAX, std::num::NonZeroU16::get),
        maximum_packet: connect.max_packet_size.map_or(usize::MAX, |size| size.get() as usize),
        problem_info: connect.request_problem_info,
        response_info: connect.request_response_info,
        topic_aliases: connect.topic_alias_max,
        will: connect.last_will.map(|last| will_v5(last, &will)).transpose()?,
    })
}

fn will_v5(will: v5::LastWill, checked: &Checked) -> Result<Box<Will>, Fault> {
    let properties = MessageProperties {
        format: checked.format,
        content_type: will.content_type.map(|text| (*text).into()),
        response_topic: will.response_topic.map(|text| (*text).into()),
        correlation: will.correlation_data,
        user: will.user_properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
    };
    Ok(Box::new(Will {
        topic: (*will.topic).into(),
        payload: will.message,
        qos: from_library(will.qos),
        retain: will.retain,
        delay: Duration::from_secs(will.will_delay_interval_sec.unwrap_or(0).into()),
        expiry: checked.expiry,
        properties: properties::worth_keeping(properties)?,
    }))
}

fn check(connect: &Connect) -> Result<(), Fault> {
    frame::no_nul(&connect.client_id)?;
    frame::no_nul(connect.user_name.as_deref().unwrap_or_default())?;
    if connect.version == Version::V311 && connect.client_id.is_empty() && !connect.clean {
        return Err(Fault::new(reason::CLIENT_ID, "an empty client id without a clean session"));
    }
    if connect.client_id.len() > limits::CLIENT_ID_BYTES {
        return Err(Fault::new(reason::CLIENT_ID, "a client id that is too long"));
    }
    connect.will.as_ref().map_or(Ok(()), |will| Ok(topic::check_name(&will.topic)?))
}
