//! MQTT over WebSocket, chapter 6 of both versions.

use tungstenite::Message;

use super::{
    super::listeners::{beside, open, read_bytes, request, tcp, web},
    *,
};

#[tokio::test]
async fn v3_6_0_0_1_only_binary_frames_are_taken() {
    let hello = publish(0x30, "a", 0, None, "hello");
    only_binary_frames([connect_v4("_client", 2, 60), subscribe(false, 1, "a", 0)].concat(), hello).await;
}

#[tokio::test]
async fn v5_6_0_0_1_only_binary_frames_are_taken() {
    let hello = publish(0x30, "a", 0, Some(&[]), "hello");
    only_binary_frames([connect_v5("_client", 2, &[]), subscribe(true, 1, "a", 0)].concat(), hello).await;
}

/// Ours are binary too. `hello` comes back to its sender, and its bytes are a text as well.
async fn only_binary_frames(begin: Vec<u8>, hello: Vec<u8>) {
    let server = TestServer::start_at(web(), Options::default()).await;
    let addr = server.addr;
    beside(move || {
        let mut socket = open(tcp(addr), addr);
        socket.send(Message::Binary([&begin[..], &hello].concat().into())).unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(&hello) {
            match socket.read().unwrap() {
                Message::Binary(more) => bytes.extend_from_slice(&more),
                other => panic!("{other:?}"),
            }
        }
        socket.send(Message::Text(String::from_utf8(hello).unwrap().into())).unwrap();
        while let Ok(message) = socket.read() {
            assert!(!message.is_binary() || message.into_data()[0] == 0xe0, "it was taken");
        }
    })
    .await;
    until("it is gone", || server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn v3_6_0_0_2_packets_may_be_split_and_joined_in_frames() {
    let bytes = [connect_v4("_client", 2, 60), subscribe(false, 1, "a", 0), publish(0x30, "a", 0, None, "hello")];
    let answer = [vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 0], publish(0x30, "a", 0, None, "hello")];
    cut_and_joined(bytes.concat(), answer.concat()).await;
}

#[tokio::test]
async fn v5_6_0_0_2_packets_may_be_split_and_joined_in_frames() {
    let hello = publish(0x30, "a", 0, Some(&[]), "hello");
    let bytes = [connect_v5("_client", 2, &[]), subscribe(true, 1, "a", 0), hello.clone()];
    let (_, connack) = TestServer::start().await.connect(&bytes[0]).await;
    let answer = [connack, vec![0x90, 4, 0, 1, 0, 0], hello];
    cut_and_joined(bytes.concat(), answer.concat()).await;
}

async fn cut_and_joined(bytes: Vec<u8>, answer: Vec<u8>) {
    let server = TestServer::start_at(web(), Options::default()).await;
    let addr = server.addr;
    for size in [1, 2, 7, bytes.len()] {
        let (bytes, answer) = (bytes.clone(), answer.clone());
        beside(move || {
            let mut socket = open(tcp(addr), addr);
            for piece in bytes.chunks(size) {
                socket.send(Message::Binary(piece.to_vec().into())).unwrap();
            }
            assert_eq!(read_bytes(&mut socket, answer.len()), answer, "{size}");
        })
        .await;
    }
}

#[tokio::test]
async fn v3_6_0_0_4_the_subprotocol_is_mqtt() {
    the_subprotocol_is_mqtt(connect_v4("_client", 2, 60)).await;
}

#[tokio::test]
async fn v5_6_0_0_4_the_subprotocol_is_mqtt() {
    the_subprotocol_is_mqtt(connect_v5("_client", 2, &[])).await;
}

async fn the_subprotocol_is_mqtt(connect: Vec<u8>) {
    let server = TestServer::start_at(web(), Options::default()).await;
    let addr = server.addr;
    beside(move || {
        // Two are offered, the other one first.
        let (mut socket, response) =
            tungstenite::client(request(addr, Some("mqttv3.1, mqtt"), None), tcp(addr)).unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
        socket.send(Message::Binary(connect.into())).unwrap();
        assert_eq!(read_bytes(&mut socket, 4)[3], 0);
        let other = tungstenite::client(request(addr, Some("mqttv3.1"), None), tcp(addr));
        assert!(other.is_err(), "it was accepted");
    })
    .await;
}
