//! A well-behaved device that has to be served during an attack.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    Login, Target,
    wire::{Conn, publish, subscribe},
};
use crate::{config, events};

/// A device whose telemetry a plugin answers with its config.
#[derive(Debug)]
pub struct Healthy {
    conn: Conn,
    hops: u64,
}

impl Healthy {
    /// # Panics
    ///
    /// Panics if it is refused.
    #[must_use]
    pub fn connect(target: &Target) -> Self {
        let login = Login { password: Some(target.healthy_token.clone()), keep_alive_secs: 0, ..Login::new("healthy") };
        let mut conn = target.connect_accepted(&login);
        conn.send(&subscribe(1, [&*config("healthy")], 1));
        conn.packet_of(9).expect("no SUBACK");
        Self { conn, hops: 0 }
    }

    /// Makes a new connection with a handshake. Returns how long it took.
    #[must_use]
    pub fn reconnect(target: &Target) -> Duration {
        let began = Instant::now();
        drop(Self::connect(target));
        began.elapsed()
    }

    /// Publishes an event with QoS 1, waits until a plugin has answered it with a config, and returns how long that took.
    ///
    /// # Panics
    ///
    /// Panics if the device is not served.
    pub fn round_trip(&mut self) -> Duration {
        self.hops += 1;
        let record = format!("{{\"deviceId\":\"healthy\",\"hops\":{}}}", self.hops);
        let expected = format!("\"hops\":{}}}", self.hops + 1);
        let began = Instant::now();
        let sent = self.conn.send(&publish(0x32, &events("healthy"), 1, &[], record.as_bytes()));
        assert!(sent, "the healthy device was thrown out");
        let (mut acknowledged, mut took) = (false, None);
        while !acknowledged || took.is_none() {
            let (first, body) = self.conn.packet().expect("the healthy device was thrown out");
            match first >> 4 {
                4 => acknowledged = true,
                3 => {
                    let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    self.conn.send(&[&[0x40, 2][..], &body[topic..topic + 2]].concat());
                    if body.ends_with(expected.as_bytes()) {
                        took = Some(began.elapsed());
                    }
                }
                _ => {}
            }
        }
        took.unwrap_or_default()
    }

    /// How long `/healthz` takes to answer.
    ///
    /// # Panics
    ///
    /// Panics if it does not.
    #[must_use]
    pub fn admin_answers(target: &Target) -> Duration {
        let began = Instant::now();
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        crate::until("the admin API to answer", || {
            let mut stream = TcpStream::connect(target.admin).ok()?;
            stream.set_read_timeout(Some(crate::LIMIT)).ok()?;
            stream.write_all(request).ok()?;
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer).ok()?;
            (super::wire::status(&answer) == 200).then(|| began.elapsed())
        })
    }
}
