//! The attackers' connections: they send any bytes and read packets. A connection that the host closes is not an error here.

use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{LIMIT, raw::text};

/// How long an attacker that does not read waits for room to write.
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);
/// Bytes of one write. It is small, because some kernels do not preempt a write, and the attacker must delay others only through
/// the host.
const PIECE: usize = 16 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Conn(TcpStream);

/// CONNECT.
#[derive(Debug, Clone)]
pub struct Login {
    /// 4 or 5.
    pub version: u8,
    pub id: String,
    pub user: String,
    pub password: Option<String>,
    pub keep_alive_secs: u16,
    pub clean: bool,
    /// Topic, payload, retained.
    pub will: Option<(String, String, bool)>,
    /// Of MQTT 5, encoded.
    pub properties: Vec<u8>,
}

impl Login {
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            version: 5,
            id: id.to_owned(),
            user: "unused".to_owned(),
            password: None,
            keep_alive_secs: 60,
            clean: true,
            will: None,
            properties: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_password(id: &str, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..Self::new(id) }
    }

    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let will_flags = self.will.as_ref().map_or(0, |(_, _, retain)| 0x04 | u8::from(*retain) << 5);
        let password = if self.password.is_some() { 0xc0 } else { 0x80 };
        let flags = u8::from(self.clean) << 1 | will_flags | password;
        let mut body = [&text("MQTT")[..], &[self.version, flags], &self.keep_alive_secs.to_be_bytes()].concat();
        let v5 = self.version == 5;
        if v5 {
            body.extend(length(self.properties.len()));
            body.extend(&self.properties);
        }
        body.extend(text(&self.id));
        if let Some((topic, payload, _)) = &self.will {
            body.extend(v5.then_some(0));
            body.extend([text(topic), text(payload)].concat());
        }
        body.extend(text(&self.user));
        body.extend(self.password.iter().flat_map(|password| text(password)));
        packet(0x10, &body)
    }
}

/// A remaining length or the length of properties.
#[must_use]
pub fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(length % 128).unwrap_or(0);
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return bytes;
        }
    }
}

#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first], &length(body.len())[..], body].concat()
}

/// PUBLISH of MQTT 5; `first` holds the flags.
#[must_use]
pub fn publish(first: u8, topic: &str, id: u16, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let id: &[u8] = if first & 6 == 0 { &[] } else { &id.to_be_bytes() };
    packet(first, &[&text(topic)[..], id, &length(properties.len()), properties, payload].concat())
}

/// SUBSCRIBE of MQTT 5.
pub fn subscribe<'a>(id: u16, filters: impl IntoIterator<Item = &'a str>, options: u8) -> Vec<u8> {
    let mut body = [&id.to_be_bytes()[..], &[0]].concat();
    for filter in filters {
        body.extend(text(filter));
        body.push(options);
    }
    packet(0x82, &body)
}

thread_local! {
    /// Whether this thread yields after each packet.
    static YIELDS: Cell<bool> = const { Cell::new(false) };
}

/// Makes the calling thread yield after each packet from now on.
pub(super) fn enable_yielding() {
    YIELDS.set(true);
}

fn yield_if_enabled() {
    if YIELDS.get() {
        std::thread::yield_now();
    }
}

impl Conn {
    /// Connects. Returns `None` if the host accepts no more connections.
    #[must_use]
    pub fn open(host: SocketAddr) -> Option<Self> {
        let opened = TcpStream::connect(host).ok().map(Self::of);
        yield_if_enabled();
        opened
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
    ///
    /// # Panics
    ///
    /// Panics if there is no connection.
    #[must_use]
    pub fn open_from(address: Ipv4Addr, host: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("no runtime");
        let connected = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind((address, 0).into())?;
            socket.connect(host).await?.into_std()
        });
        let stream = connected.expect("no connection");
        stream.set_nonblocking(false).expect("a socket that does not wait");
        Self::of(stream)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).expect("no time limit");
        stream.set_write_timeout(Some(WRITE_TIMEOUT)).expect("no time limit");
        stream.set_nodelay(true).expect("no TCP_NODELAY");
        Self(stream)
    }

    /// Writes in pieces. Returns false if the host has closed the connection or stopped reading.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        bytes.chunks(PIECE).all(|piece| {
            let sent = self.0.write_all(piece).is_ok();
            yield_if_enabled();
            sent
        })
    }

    /// The next byte. Returns `None` at the time limit.
    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).ok()?;
        Some(byte[0])
    }

    /// The next MQTT packet. Returns `None` if the host has closed the connection.
    pub fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.byte()?;
        let (mut rest, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            rest |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; rest];
        self.0.read_exact(&mut body).ok()?;
        Some((first, body))
    }

    /// Reads up to the next packet of this type.
    pub fn packet_of(&mut self, kind: u8) -> Option<Vec<u8>> {
        loop {
            let (first, body) = self.packet()?;
            if first >> 4 == kind {
                return Some(body);
            }
        }
    }

    /// Whether a CONNACK accepts the connection.
    pub fn is_accepted(&mut self) -> bool {
        self.packet().is_some_and(|(first, body)| first == 0x20 && body.get(1) == Some(&0))
    }

    /// Reads until the host closes the connection; returns all bytes.
    ///
    /// # Panics
    ///
    /// Panics if the host does not close it.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut words = Vec::new();
        match self.0.read_to_end(&mut words) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the host does not close after {words:?}")
            }
            // A reset is an end too.
            _ => words,
        }
    }

    /// The status of the HTTP answer. It is 0 if the host closed the connection without one.
    pub fn status(&mut self) -> u16 {
        status(&String::from_utf8_lossy(&self.read_to_end()))
    }

    /// Reads up to the end of an HTTP head.
    pub fn skip_headers(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().expect("no HTTP answer"));
        }
    }

    /// What has arrived, without a long wait.
    pub fn read_available(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 64 * 1024];
        self.0.set_read_timeout(Some(WRITE_TIMEOUT)).expect("no time limit");
        let length = self.0.read(&mut bytes).unwrap_or(0);
        self.0.set_read_timeout(Some(LIMIT)).expect("no time limit");
        bytes.truncate(length);
        bytes
    }
}

/// The status of the first answer.
#[must_use]
pub fn status(answer: &str) -> u16 {
    answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
