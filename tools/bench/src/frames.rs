//! The few MQTT 3.1.1 frames that the load client uses, encoded by hand so that the client needs little processor time. This is not
//! a general codec.

/// QoS of a run; 2 is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qos {
    AtMostOnce,
    AtLeastOnce,
}

impl Qos {
    pub(super) fn level(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    ConnAck { code: u8 },
    SubAck { code: u8 },
    PubAck,
    Publish { acknowledge: Option<u16>, payload: &'a [u8] },
    Pong,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the server sent a frame whose length takes more than four bytes")]
    Length,
    #[error("the server sent a frame of type {0} that is too short")]
    Short(u8),
    #[error("the server sent a frame of type {0}, which was not requested")]
    Unexpected(u8),
}

/// The first frame in `bytes` and its length. Returns `None` if it is incomplete.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Malformed> {
    let Some((&head, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, size)) = remaining_length(rest)? else { return Ok(None) };
    let Some(body) = rest.get(size..size + length) else { return Ok(None) };
    Ok(Some((frame(head, body)?, 1 + size + length)))
}

fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::Length) }
}

fn frame(head: u8, body: &[u8]) -> Result<Frame<'_>, Malformed> {
    let kind = head >> 4;
    let short = || Malformed::Short(kind);
    match kind {
        2 => Ok(Frame::ConnAck { code: *body.get(1).ok_or_else(short)? }),
        3 => publish(head, body).ok_or_else(short),
        4 => Ok(Frame::PubAck),
        9 => Ok(Frame::SubAck { code: *body.get(2).ok_or_else(short)? }),
        13 => Ok(Frame::Pong),
        other => Err(Malformed::Unexpected(other)),
    }
}

fn publish(head: u8, body: &[u8]) -> Option<Frame<'_>> {
    let (topic_length, rest) = two_bytes(body)?;
    let rest = rest.get(usize::from(topic_length)..)?;
    if head & 0b0110 == 0 {
        return Some(Frame::Publish { acknowledge: None, payload: rest });
    }
    let (id, payload) = two_bytes(rest)?;
    Some(Frame::Publish { acknowledge: Some(id), payload })
}

fn two_bytes(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

pub(super) fn connect(out: &mut Vec<u8>, client_id: &str, user_name: Option<&str>, keep_alive_s: u16) {
    out.push(0x10);
    push_length(out, 10 + 2 + client_id.len() + user_name.map_or(0, |name| 2 + name.len()));
    push_text(out, "MQTT");
    out.extend_from_slice(&[4, if user_name.is_some() { 0b1000_0010 } else { 0b10 }]);
    out.extend_from_slice(&keep_alive_s.to_be_bytes());
    push_text(out, client_id);
    if let Some(name) = user_name {
        push_text(out, name);
    }
}

pub(super) fn subscribe(out: &mut Vec<u8>, packet_id: u16, filter: &str, qos: Qos) {
    out.push(0x82);
    push_length(out, 2 + 2 + filter.len() + 1);
    out.extend_from_slice(&packet_id.to_be_bytes());
    push_text(out, filter);
    out.push(qos.level());
}

/// `packet_id`: `None` for QoS 0. The payload comes in parts, so that a number in its middle can be replaced without a copy.
pub(super) fn publish_parts(out: &mut Vec<u8>, topic: &str, packet_id: Option<u16>, parts: [&[u8]; 3]) {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    out.push(if packet_id.is_some() { 0x32 } else { 0x30 });
    push_length(out, 2 + topic.len() + if packet_id.is_some() { 2 } else { 0 } + payload);
    push_text(out, topic);
    if let Some(id) = packet_id {
        out.extend_from_slice(&id.to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub(super) fn puback(out: &mut Vec<u8>, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

pub(super) const PING: [u8; 2] = [0xc0, 0];
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        if length == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use rmqtt_codec::v3::{Codec, Packet};
    use tokio_util::codec::Decoder;

    use super::*;

    /// Decodes our bytes with another codec.
    fn decoded(bytes: &[u8]) -> Packet {
        let mut buffer = bytes.into();
        Codec::new(1 << 20).decode(&mut buffer).expect("well formed").expect("whole").0
    }

    #[test]
    fn another_codec_reads_what_is_written() {
        let mut out = Vec::new();
        for user_name in [None, Some("bench.example/hop-1/")] {
            out.clear();
            connect(&mut out, "hop-1", user_name, 60);
            let Packet::Connect(connect) = decoded(&out) else { panic!("no CONNECT") };
            assert_eq!((&*connect.client_id, connect.keep_alive, connect.clean_session), ("hop-1", 60, true));
            assert_eq!(connect.username.as_deref(), user_name);
        }

        out.clear();
        subscribe(&mut out, 7, "/devices/hop-1/config", Qos::AtLeastOnce);
        let Packet::Subscribe { packet_id, topic_filters } = decoded(&out) else { panic!("no SUBSCRIBE") };
        assert_eq!((packet_id.get(), &*topic_filters[0].0), (7, "/devices/hop-1/config"));

        for (id, size) in [(None, 5), (Some(9), 5), (Some(65_535), 200), (Some(1), 20_000)] {
            out.clear();
            let long = vec![b'x'; size];
            publish_parts(&mut out, "a/b", id, [b"<", &long, b">"]);
            let Packet::Publish(publish) = decoded(&out) else { panic!("no PUBLISH") };
            assert_eq!(publish.packet_id.map(|id| id.get()), id);
            assert_eq!((&*publish.topic, publish.payload.len()), ("a/b", size + 2));
        }

        out.clear();
        puback(&mut out, 258);
        let Packet::PublishAck { packet_id } = decoded(&out) else { panic!("no PUBACK") };
        assert_eq!(packet_id.get(), 258);
    }

    #[test]
    fn frames_are_read_one_by_one() {
        let cases: [(&[u8], _); 9] = [
            (&[], Ok(None)),
            (&[0x20], Ok(None)),
            (&[0x20, 2, 0], Ok(None)),
            (&[0x20, 2, 0, 5, 0x40], Ok(Some((Frame::ConnAck { code: 5 }, 4)))),
            (&[0x90, 3, 0, 1, 0x80], Ok(Some((Frame::SubAck { code: 0x80 }, 5)))),
            (&[0x30, 4, 0, 1, b'a', b'x'], Ok(Some((Frame::Publish { acknowledge: None, payload: b"x" }, 6)))),
            (&[0x3a, 5, 0, 1, b'a', 1, 2], Ok(Some((Frame::Publish { acknowledge: Some(258), payload: b"" }, 7)))),
            (&[0x32, 4, 0, 9, b'a', 1], Err(Malformed::Short(3))),
            (&[0x30, 0xff, 0xff, 0xff, 0xff, 1], Err(Malformed::Length)),
        ];
        for (bytes, expect) in cases {
            assert_eq!(first(bytes), expect, "{bytes:?}");
        }
    }
}
