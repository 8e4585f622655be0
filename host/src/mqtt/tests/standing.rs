//! What becomes of a client whose standing changes while it is connected.

use super::{
    raw::{connect_v5, publish, text},
    *,
};
use crate::{model::DeviceNum, registry::Changed};

fn revoke(front: &Front, why: &str) {
    *front.hub.0.revoked.lock() = Some(why.to_owned());
    front.hub.0.changes.get().unwrap().send(Changed::Device(DeviceNum(1))).unwrap();
}

#[tokio::test]
async fn who_may_not_stay_is_told_so_and_leaves_no_will() {
    let front = Front::start().await;
    let mut watcher = front.v5("client-watcher").await;
    assert_eq!(watcher.subscribe(true, "gone", 0).await, 0);
    let mut lamp = front.open().await;
    let mut connect = connect_v5("lamp-1", 0x06, &[]);
    connect.extend([&[0][..], &text("gone"), &text("will")].concat());
    connect[1] += 1 + 6 + 6;
    lamp.send(&connect).await;
    lamp.packet().await;
    revoke(&front, "it is blocked");
    assert_eq!(lamp.expect_end().await, Some(0x87));
    until("it is told", || front.hub.has_logged("lamp-1 disconnected: it is blocked")).await;
    watcher.expect_silence().await;
}

#[tokio::test]
async fn a_change_that_takes_nothing_away_disturbs_nobody() {
    let front = Front::start().await;
    let mut lamp = front.v5("lamp-1").await;
    front.hub.0.changes.get().unwrap().send(Changed::Device(DeviceNum(1))).unwrap();
    for id in 1..=3 {
        lamp.send(&publish(0x32, "/devices/lamp-1/events", id, Some(&[]), "x")).await;
        lamp.expect(&raw::ack(0x40, id)).await;
    }
}
