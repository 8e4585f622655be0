//! Method calls that have no usual answer.

use super::{
    device::{HOUR, call},
    raw::{ack, publish},
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
