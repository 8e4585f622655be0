//! Method calls that have no usual answer.

use super::{
    device::{HOUR, call},
    raw::{ack, packet, publish},
    *,
};
use switchbox_delivery::CallError;

const METHODS: &str = "/devices/lamp-1/methods/#";

#[tokio::test]
async fn an_answer_of_any_status_ends_its_call_and_leaves_the_connection() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    client.subscribe(false, METHODS, 1).await;
    for (rid, status, expect) in
        [(1, "0", Ok(0)), (2, "99", Ok(99)), (3, "65535", Ok(65_535)), (4, "65536", Err(65_536)), (5, "-1", Err(-1))]
    {
        let called = call(&server, "lamp-1", HOUR);
        let request = format!("/devices/lamp-1/methods/dim/request/{rid}");
        client.expect(&publish(0x32, &request, rid, None, "50")).await;
        client.send(&ack(0x40, rid)).await;
        client.send(&publish(0x32, &format!("/devices/lamp-1/methods/dim/response/{rid}/{status}"), 1, None, "")).await;
        client.expect(&ack(0x40, 1)).await;
        let answer = called.await.unwrap().map(|(status, _)| status);
        let name = server.host.device("lamp-1").name.to_string();
        assert_eq!(answer, expect.map_err(|status| CallError::Status(name, status)), "{status}");
    }
}

#[tokio::test]
async fn a_call_that_the_device_refuses_or_cannot_take_ends_at_once() {
    let server = TestServer::start().await;
    let refused = || Err(CallError::Refused(server.host.device("lamp-1").name.to_string()));
    let (mut client, _) = server.connect(&raw::connect_v5("lamp-1", 2, &[])).await;
    client.subscribe(true, METHODS, 1).await;
    let called = call(&server, "lamp-1", HOUR);
    assert!(client.packet().await.ends_with(b"50"));
    client.send(&packet(0x40, &[0, 1, 0x97])).await;
    assert_eq!(called.await.unwrap(), refused());
    drop(client);
    // With at most 80 bytes for a packet, which a call with its topics is larger than.
    let (mut client, _) = server.connect(&raw::connect_v5("lamp-1", 2, &[0x27, 0, 0, 0, 80])).await;
    for qos in [0, 1] {
        client.subscribe(true, METHODS, qos).await;
        assert_eq!(call(&server, "lamp-1", HOUR).await.unwrap(), refused(), "QoS {qos}");
    }
    client.expect_silence().await;
}
