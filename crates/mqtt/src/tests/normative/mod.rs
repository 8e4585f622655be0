//! The normative statements of MQTT 3.1.1 (`v3_…`) and MQTT 5 (`v5_…`) that bind a server, each with a test named after its
//! number: MQTT-3.1.2-24 of version 3.1.1 is `v3_3_1_2_24_…`. Packets are written and read byte by byte.

mod v3;
mod v3_connect;
mod v3_exchange;
mod v3_flow;
mod v3_packets;
mod v5_connack;
mod v5_connect;
mod v5_errors;
mod v5_exchange;
mod v5_flow;
mod v5_format;
mod v5_properties;
mod v5_publish;
mod v5_shared;
mod v5_sizes;
mod v5_subscribe;
mod v5_topics;
mod v5_wills;
mod web;

use super::{
    raw::{ack, connect_v4, connect_v5, packet, publish, subscribe, subscribe_with, text, unsubscribe},
    *,
};

/// MQTT 5: a session expiry of 100 s.
const KEPT: [u8; 5] = [0x11, 0, 0, 0, 100];

/// A CONNECT with a will: `flags` beside the will's own, properties of the packet and of the will (`None` for MQTT 3.1.1).
fn connect_will(id: &str, flags: u8, properties: Option<(&[u8], &[u8])>, topic: &str, payload: &str) -> Vec<u8> {
    let lengths = |p: &[u8]| [&[u8::try_from(p.len()).unwrap()][..], p].concat();
    let (level, own, wills) = match properties {
        None => (4, vec![], vec![]),
        Some((own, wills)) => (5, lengths(own), lengths(wills)),
    };
    let head = [&text("MQTT")[..], &[level, 0x04 | flags, 0, 60]].concat();
    packet(0x10, &[head, own, text(id), wills, text(topic), text(payload)].concat())
}

/// A CONNECT with these flags and these fields after them, right or wrong. No properties.
fn connect_fields(v5: bool, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let head: &[u8] = if v5 { &[5, flags, 0, 60, 0] } else { &[4, flags, 0, 60] };
    packet(0x10, &[&text("MQTT")[..], head, &fields.concat()].concat())
}

impl TestServer {
    /// Sends this CONNECT, which is refused: gives the code of the CONNACK, where one came.
    async fn refusal(&self, bytes: &[u8]) -> Option<u8> {
        let mut client = self.open().await;
        client.send(bytes).await;
        let connack = client.try_packet().await?;
        assert_eq!((connack[0], connack[2]), (0x20, 0), "{connack:?}");
        assert_ne!(connack[3], 0, "it was accepted");
        assert!(client.try_packet().await.is_none());
        Some(connack[3])
    }

    /// Waits until this many are connected.
    async fn connected(&self, count: i64) {
        until("the others are offline", || self.metrics.connections.get() == count).await;
    }

    /// Sends these bytes on a new, accepted connection, and returns how it ends: the reason code, 0 without one.
    async fn close_code(&self, v5: bool, bytes: &[u8]) -> u8 {
        let mut client = if v5 { self.v5("_client-fated").await } else { self.v4("_client-fated").await };
        client.send(bytes).await;
        client.expect_end().await.unwrap_or(0)
    }
}

impl Client {
    /// QoS 1, acknowledged.
    async fn publish_1(&mut self, v5: bool, topic: &str, payload: &str) {
        self.send(&publish(0x32, topic, 99, v5.then_some(&[]), payload)).await;
        self.expect(&ack(0x40, 99)).await;
    }

    /// QoS 2, all of it.
    async fn publish_2(&mut self, v5: bool, topic: &str, payload: &str) {
        self.send(&publish(0x34, topic, 98, v5.then_some(&[]), payload)).await;
        self.expect(&ack(0x50, 98)).await;
        self.send(&ack(0x62, 98)).await;
        self.expect(&ack(0x70, 98)).await;
    }

    /// DISCONNECT, and the end.
    async fn send_disconnect(mut self) {
        self.send(&[0xe0, 0]).await;
        self.expect_end().await;
    }
}

/// The value of a property of four, two or one bytes in a CONNACK, as its bytes.
fn property(connack: &[u8], id: u8, width: usize) -> Option<&[u8]> {
    let mut rest = connack.get(5..)?;
    while let Some((&found, after)) = rest.split_first() {
        let length = match found {
            0x11 | 0x27 => 4,
            0x21 | 0x22 | 0x13 => 2,
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            _ => 2 + usize::from(u16::from_be_bytes([*after.first()?, *after.get(1)?])),
        };
        if found == id {
            return Some(if width > 0 { after.get(..width)? } else { after.get(2..length)? });
        }
        rest = after.get(length..)?;
    }
    None
}
