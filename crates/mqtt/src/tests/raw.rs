//! A client that sends whatever bytes a test wants.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next packet's bytes; fails when none comes.
    pub(super) async fn packet(&mut self) -> Vec<u8> {
        self.try_packet().await.expect("the connection was closed")
    }

    /// None when the connection is closed.
    pub(super) async fn try_packet(&mut self) -> Option<Vec<u8>> {
        timeout(TIMEOUT, self.read_packet()).await.expect("no packet came in time")
    }

    async fn read_packet(&mut self) -> Option<Vec<u8>> {
        let mut packet = vec![self.0.read_u8().await.ok()?];
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.0.read_u8().await.ok()?;
            packet.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let at = packet.len();
        packet.resize(at + length, 0);
        self.0.read_exact(&mut packet[at..]).await.ok()?;
        Some(packet)
    }

    pub(super) async fn expect(&mut self, bytes: &[u8]) {
        assert_eq!(self.packet().await, bytes);
    }

    /// Nothing has come, and nothing comes before the answer to a PINGREQ.
    pub(super) async fn expect_silence(&mut self) {
        self.send(&[0xc0, 0]).await;
        self.expect(&[0xd0, 0]).await;
    }

    /// The connection is closed, perhaps after acknowledgements of what was accepted and a DISCONNECT, whose reason code this
    /// gives.
    pub(super) async fn expect_end(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some(packet) = self.try_packet().await {
            assert!(reason.is_none() && matches!(packet[0], 0x40 | 0x50 | 0x70 | 0xe0), "{packet:?}");
            reason = packet.get(2).copied().filter(|_| packet[0] == 0xe0);
        }
        reason
    }

    /// SUBSCRIBE with this options byte, and its answer.
    pub(super) async fn subscribe(&mut self, v5: bool, filter: &str, options: u8) -> u8 {
        self.send(&subscribe(v5, 77, filter, options)).await;
        let suback = self.packet().await;
        assert_eq!((suback[0], &suback[2..4]), (0x90, &[0, 77][..]), "{suback:?}");
        *suback.last().unwrap()
    }
}

pub(super) fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let more = length > 0x7f;
        bytes.push((length & 0x7f) as u8 | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

pub(super) fn connect_v4(id: &str, flags: u8, keep_alive: u16) -> Vec<u8> {
    let mut body = [&text("MQTT")[..], &[4, flags], &keep_alive.to_be_bytes()].concat();
    body.extend(text(id));
    packet(0x10, &body)
}

/// With the password `word`.
pub(super) fn connect_with_password(v5: bool, id: &str, flags: u8) -> Vec<u8> {
    let flags = 0xc0 | flags;
    let head = if v5 { [&[5, flags, 0, 60][..], &[0]].concat() } else { vec![4, flags, 0, 60] };
    packet(0x10, &[text("MQTT"), head, text(id), text("unused"), text("word")].concat())
}

pub(super) fn connect_v5(id: &str, flags: u8, properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    let mut body = [&text("MQTT")[..], &[5, flags, 0, 60, length], properties].concat();
    body.extend(text(id));
    packet(0x10, &body)
}

/// `first` contains the flags; `id` is left out for QoS 0; `properties`: `None` for MQTT 3.1.1.
pub(super) fn publish(first: u8, topic: &str, id: u16, properties: Option<&[u8]>, payload: &str) -> Vec<u8> {
    let mut body = text(topic);
    if first & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    if let Some(properties) = properties {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend(properties);
    }
    body.extend(payload.as_bytes());
    packet(first, &body)
}

pub(super) fn subscribe(v5: bool, id: u16, filter: &str, options: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    body.extend(text(filter));
    body.push(options);
    packet(0x82, &body)
}

/// SUBSCRIBE of version 5 with properties.
pub(super) fn subscribe_with(properties: &[u8], filter: &str, options: u8) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    packet(0x82, &[&[0, 77, length][..], properties, &text(filter), &[options]].concat())
}

/// UNSUBSCRIBE with the packet id 5.
pub(super) fn unsubscribe(v5: bool, filters: &[&str]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|filter| text(filter)).collect();
    packet(0xa2, &[&[0, 5][..], if v5 { &[0] } else { &[] }, &filters].concat())
}

/// PUBACK and its like, of two bytes.
pub(super) fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}
