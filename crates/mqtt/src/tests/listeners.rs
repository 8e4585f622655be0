//! Tests of TLS and WebSocket: valid MQTT over both, and errors of TLS and WebSocket.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, pki_types::ServerName,
};
use tungstenite::{
    Message, WebSocket,
    client::IntoClientRequest,
    http::{HeaderValue, StatusCode},
};

use super::{
    raw::{ack, connect_v4, publish, subscribe},
    *,
};
use crate::Origins;
use switchbox_settings::TlsFiles;
use switchbox_transport::tls;

const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const SHORT: Duration = Duration::from_millis(50);

/// A certificate of its own for `localhost`.
struct Certificate {
    handle: tls::Handle,
    roots: RootCertStore,
    _folder: tempfile::TempDir,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let handle = tls::Handle::load(TlsFiles { certificate, key, client_authority: None }).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    Certificate { handle, roots, _folder: folder }
}

impl Certificate {
    async fn server(&self, web: Option<Origins>, options: Options) -> TestServer {
        let listener = ListenerOptions { listen: NOWHERE.into(), tls: Some(self.handle.clone()), web };
        TestServer::start_at(listener, options).await
    }

    fn connect(
        &self,
        addr: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(self.roots.clone()).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp(addr))
    }
}

pub(super) fn tcp(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tcp
}

/// Runs what blocks beside the front.
pub(super) async fn beside<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn expect(stream: &mut impl Read, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).unwrap();
    assert!(read == bytes, "{:?} is not {:?}", &read[..read.len().min(40)], &bytes[..bytes.len().min(40)]);
}

#[tokio::test]
async fn mqtt_works_over_both_versions_of_tls_with_the_largest_messages() {
    let certificate = Arc::new(certificate());
    let server = certificate.server(None, Options::default()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (addr, certificate) = (server.addr, certificate.clone());
        beside(move || {
            let mut client = certificate.connect(addr, version);
            client.write_all(&connect_v4("_client", 2, 60)).unwrap();
            expect(&mut client, &CONNACK);
            client.write_all(&subscribe(false, 1, "a", 0)).unwrap();
            expect(&mut client, &[0x90, 3, 0, 1, 0]);
            let large = "x".repeat(250_000);
            for id in 1..=4 {
                client.write_all(&publish(0x32, "a", id, None, &large)).unwrap();
                // The message and the acknowledgement, in whichever order.
                let (message, ack) = (publish(0x30, "a", 0, None, &large), ack(0x40, id));
                let mut first = [0];
                client.read_exact(&mut first).unwrap();
                let (one, other) = if first[0] == 0x40 { (&ack, &message) } else { (&message, &ack) };
                expect(&mut client, &one[1..]);
                expect(&mut client, other);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_nonsense_to_tls_is_closed_and_counted() {
    let certificate = certificate();
    let server = certificate.server(None, Options { connect_deadline: SHORT, ..Options::default() }).await;
    let mut silent = server.open().await;
    assert!(silent.try_packet().await.is_none());
    assert_eq!(server.limit_hits("connect_deadline"), 1);
    let mut plain = server.open().await;
    plain.send(&connect_v4("_client", 2, 60)).await;
    until("it is refused", || server.refused("handshake") == 1).await;
}

#[tokio::test]
async fn half_a_packet_is_waited_for_only_so_long() {
    let server = TestServer::start_with(Options { packet_deadline: SHORT, ..Options::default() }).await;
    let mut half = server.v4("_client-half").await;
    half.send(&publish(0x30, "a", 0, None, "never whole")[..5]).await;
    half.expect_end().await;
    assert_eq!(server.limit_hits("packet_deadline"), 1);
}

#[tokio::test]
async fn half_a_websocket_message_is_waited_for_only_so_long() {
    let server = TestServer::start_at(web(), Options { packet_deadline: SHORT, ..Options::default() }).await;
    let addr = server.addr;
    tokio::task::spawn_blocking(move || {
        let mut client = open(TcpStream::connect(addr).unwrap(), addr);
        client.send(Message::Binary(connect_v4("_client-half", 2, 0).into())).unwrap();
        assert_eq!(read_bytes(&mut client, CONNACK.len()), CONNACK);
        // A binary message of 1,000 bytes, masked, and none of them.
        client.get_mut().write_all(&[0x82, 0x80 | 126, 0x03, 0xe8, 1, 2, 3, 4]).unwrap();
        while client.read().is_ok() {}
    })
    .await
    .unwrap();
    assert_eq!(server.limit_hits("packet_deadline"), 1);
}

pub(super) fn request(
    addr: SocketAddr,
    protocol: Option<&'static str>,
    origin: Option<&'static str>,
) -> tungstenite::handshake::client::Request {
    let mut request = format!("ws://{addr}/mqtt").into_client_request().unwrap();
    for (name, value) in [("sec-websocket-protocol", protocol), ("origin", origin)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    request
}

pub(super) fn open<S: Read + Write>(stream: S, addr: SocketAddr) -> WebSocket<S> {
    let (socket, response) = tungstenite::client(request(addr, Some("mqttv3.1, mqtt"), None), stream).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
    socket
}

/// The next bytes, however they are cut.
pub(super) fn read_bytes<S: Read + Write>(socket: &mut WebSocket<S>, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        if let Message::Binary(more) = socket.read().unwrap() {
            bytes.extend_from_slice(&more);
        }
    }
    bytes
}

pub(super) fn web() -> ListenerOptions {
    ListenerOptions { listen: NOWHERE.into(), tls: None, web: Some(Origins::Loopback) }
}

#[tokio::test]
async fn websocket_messages_may_be_cut_anywhere() {
    let server = TestServer::start_at(web(), Options::default()).await;
    let addr = server.addr;
    let bytes =
        [connect_v4("_client", 2, 60), subscribe(false, 1, "a", 0), publish(0x30, "a", 0, None, "hello")].concat();
    let answer = [&CONNACK[..], &[0x90, 3, 0, 1, 0], &publish(0x30, "a", 0, None, "hello")].concat();
    for size in [1, 3, bytes.len()] {
        let (bytes, answer) = (bytes.clone(), answer.clone());
        beside(move || {
            let mut socket = open(tcp(addr), addr);
            for piece in bytes.chunks(size) {
                socket.write(Message::Binary(piece.to_vec().into())).unwrap();
            }
            socket.write(Message::Ping("are you there".into())).unwrap();
            socket.flush().unwrap();
            assert_eq!(read_bytes(&mut socket, answer.len()), answer);
        })
        .await;
    }
}

#[tokio::test]
async fn mqtt_works_over_websocket_over_tls() {
    let certificate = Arc::new(certificate());
    let server = certificate.server(Some(Origins::Any), Options::default()).await;
    let (addr, certificate) = (server.addr, certificate.clone());
    beside(move || {
        let mut socket = open(certificate.connect(addr, &rustls::version::TLS13), addr);
        let large = publish(0x30, "a", 0, None, &"x".repeat(250_000));
        let bytes = [connect_v4("_client", 2, 60), subscribe(false, 1, "a", 0)].concat();
        socket.send(Message::Binary(bytes.into())).unwrap();
        assert_eq!(read_bytes(&mut socket, 9)[..4], CONNACK);
        socket.send(Message::Binary(large.clone().into())).unwrap();
        assert!(read_bytes(&mut socket, large.len()) == large);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_mqtt_over_websocket_is_refused() {
    let server = TestServer::start_at(web(), Options::default()).await;
    let addr = server.addr;
    for (protocol, origin, expect) in [
        (None, None, StatusCode::BAD_REQUEST),
        (Some("chat"), None, StatusCode::BAD_REQUEST),
        (Some("mqtt"), Some("https://example.org"), StatusCode::FORBIDDEN),
        (Some("mqtt"), Some("http://localhost:3000"), StatusCode::SWITCHING_PROTOCOLS),
    ] {
        let status = beside(move || match tungstenite::client(request(addr, protocol, origin), tcp(addr)) {
            Ok((_, response)) => response.status(),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => response.status(),
            Err(error) => panic!("{error}"),
        })
        .await;
        assert_eq!(status, expect, "{protocol:?} {origin:?}");
    }
    until("each is counted", || server.refused("handshake") == 3).await;
    until("all are gone", || server.metrics.connections.get() == 0).await;
}
