//! A client that writes and reads MQTT packets byte by byte, for tests of packet identifiers and flags.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::LIMIT;

/// A connection that sends any bytes.
#[derive(Debug)]
pub struct Raw(TcpStream);

/// A length of two bytes, and the text.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A packet with its length.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut packet, mut length) = (vec![first], body.len());
    while length > 127 {
        packet.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

/// CONNECT of MQTT 5: a session expiry, and a will of QoS 1 with its delay, topic and payload.
#[must_use]
pub fn connect(id: &str, clean: bool, expiry_secs: u32, will: Option<(u32, &str, &str)>) -> Vec<u8> {
    let flags = u8::from(clean) << 1 | if will.is_some() { 0x0c } else { 0 };
    let mut body = [&text("MQTT")[..], &[5, flags, 0, 0, 5, 0x11], &expiry_secs.to_be_bytes(), &text(id)].concat();
    if let Some((delay_secs, topic, payload)) = will {
        body.extend([&[5, 0x18][..], &delay_secs.to_be_bytes(), &text(topic), &text(payload)].concat());
    }
    packet(0x10, &body)
}

/// PUBLISH of MQTT 5 with these properties; `first` holds the flags.
#[must_use]
pub fn publish(first: u8, topic: &str, id: u16, properties: &[u8], payload: &str) -> Vec<u8> {
    let id: &[u8] = if first & 6 == 0 { &[] } else { &id.to_be_bytes() };
    let length = u8::try_from(properties.len()).unwrap_or(u8::MAX);
    packet(first, &[&text(topic)[..], id, &[length], properties, payload.as_bytes()].concat())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[must_use]
pub fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}

impl Raw {
    /// Sends this CONNECT; returns "session present".
    ///
    /// # Panics
    ///
    /// Panics if it is refused.
    pub fn connect(host: SocketAddr, bytes: &[u8]) -> (Self, bool) {
        let stream = TcpStream::connect(host).expect("no connection");
        stream.set_read_timeout(Some(LIMIT)).expect("no time limit");
        stream.set_nodelay(true).expect("no TCP_NODELAY");
        let mut client = Self(stream);
        client.send(bytes);
        let connack = client.packet();
        assert_eq!((connack.first(), connack.get(3)), (Some(&0x20), Some(&0)), "{connack:?}");
        (client, connack.get(2) == Some(&1))
    }

    /// # Panics
    ///
    /// Panics if the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the connection is gone");
    }

    /// Returns false when the connection has ended.
    #[must_use]
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The next packet.
    ///
    /// # Panics
    ///
    /// Panics if none comes.
    pub fn packet(&mut self) -> Vec<u8> {
        self.try_packet().expect("no packet")
    }

    /// The next packet. Returns `None` if the connection ends before it is whole, or none comes.
    pub fn try_packet(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let [first, mut length] = head;
        let mut packet = vec![first, length];
        let mut rest = usize::from(length & 0x7f);
        let mut shift = 7;
        while length & 0x80 != 0 {
            let mut more = [0; 1];
            self.0.read_exact(&mut more).ok()?;
            [length] = more;
            packet.push(length);
            rest |= usize::from(length & 0x7f) << shift;
            shift += 7;
        }
        let mut body = vec![0; rest];
        self.0.read_exact(&mut body).ok()?;
        packet.extend(body);
        Some(packet)
    }

    /// # Panics
    ///
    /// Panics if another packet comes.
    pub fn expect(&mut self, bytes: &[u8]) {
        assert_eq!(self.packet(), bytes);
    }

    /// Checks that nothing has arrived, and that nothing arrives before the answer to a PINGREQ.
    pub fn expect_silence(&mut self) {
        self.send(&[0xc0, 0]);
        self.expect(&[0xd0, 0]);
    }

    /// # Panics
    ///
    /// Panics if it is refused.
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        self.send(&packet(0x82, &[&[0, 77, 0][..], &text(filter), &[options]].concat()));
        self.expect(&packet(0x90, &[0, 77, 0, options & 3]));
    }

    /// Sends DISCONNECT, and waits until the host has closed the connection.
    pub fn send_disconnect(mut self) {
        self.send(&[0xe0, 0]);
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
}
