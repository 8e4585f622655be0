//! The will of a connection that ended comes before anything that its client does on the next one, whatever the version, the
//! session and the way in which the connection ended.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    raw::{ack, packet, publish, text},
    *,
};

/// How a client comes back.
#[derive(Debug, Clone, Copy)]
struct Return {
    v5: bool,
    clean: bool,
    /// Seconds; 0 where the version has no delay.
    delay: u8,
    new_will: bool,
    /// The old connection is still open.
    takeover: bool,
}

impl Return {
    fn all() -> impl Iterator<Item = Self> {
        (0..32_u8).map(|n| {
            let bit = |at: u8| n >> at & 1 == 1;
            let v5 = bit(0);
            Self { v5, clean: bit(1), delay: if v5 && bit(2) { 30 } else { 0 }, new_will: bit(3), takeover: bit(4) }
        })
    }

    fn connect(self, id: &str, clean: bool, will: Option<&str>) -> Vec<u8> {
        // A retained will of QoS 1.
        let flags = u8::from(clean) << 1 | if will.is_some() { 0x2c } else { 0 };
        let head = [&text("MQTT")[..], &[if self.v5 { 5 } else { 4 }, flags, 0, 60]].concat();
        let own: &[u8] = if self.v5 { &[5, 0x11, 0, 0, 0, 60] } else { &[] };
        let mut body = [&head[..], own, &text(id)].concat();
        if let Some(will) = will {
            let delay: &[u8] = if self.v5 { &[5, 0x18, 0, 0, 0, self.delay] } else { &[] };
            body.extend([delay, &text(&format!("status/{id}")), &text(will)].concat());
        }
        packet(0x10, &body)
    }
}

/// The client has a will, its connection ends, and it comes back and says "online" in the segment of its CONNECT. What the
/// topic says then.
async fn comes_back(server: &TestServer, id: &str, how: Return) -> String {
    let (old, _) = server.connect(&how.connect(id, !how.v5 && how.clean, Some("offline"))).await;
    let old = how.takeover.then_some(old);
    let topic = format!("status/{id}");
    let online = publish(0x33, &topic, 9, how.v5.then_some(&[]), "online");
    let mut new = server.open().await;
    new.send(&[how.connect(id, how.clean, how.new_will.then_some("offline again")), online].concat()).await;
    assert_eq!(new.packet().await[0], 0x20);
    new.expect(&ack(0x40, 9)).await;
    let says = server
        .topics
        .retained(&topic, None, switchbox_pubsub::now())
        .messages
        .first()
        .map(|message| message.payload.clone());
    new.send(&[0xe0, 0]).await;
    drop(old);
    String::from_utf8(says.unwrap_or_default().to_vec()).unwrap()
}

/// Clients that keep the front's threads busy until the flag falls.
fn load(server: &TestServer, on: &'static AtomicBool) -> Vec<tokio::task::JoinHandle<()>> {
    let clients = (0..8).map(|n| {
        let addr = server.addr;
        tokio::spawn(async move {
            let mut client = Client::open(addr).await;
            client.send(&raw::connect_v4(&format!("_client-load-{n}"), 2, 0)).await;
            client.expect(&[0x20, 2, 0, 0]).await;
            client.subscribe(false, "load/#", 0).await;
            let many: Vec<u8> = (0..50).flat_map(|_| publish(0x30, &format!("load/{n}"), 0, None, "x")).collect();
            while on.load(Ordering::Relaxed) {
                client.send(&[&many[..], &[0xc0, 0]].concat()).await;
                while client.packet().await[0] != 0xd0 {}
            }
        })
    });
    clients.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_will_comes_before_what_its_client_does_next_also_under_load() {
    static LOAD: AtomicBool = AtomicBool::new(true);
    let server = TestServer::start().await;
    let delayed = Return { v5: true, clean: true, delay: 30, new_will: false, takeover: false };
    let mut late = 0;
    for round in 0..500 {
        late += usize::from(comes_back(&server, &format!("_client-{round}"), delayed).await != "online");
    }
    assert_eq!(late, 0, "of 500 wills that came after what their clients did next");
    let load = load(&server, &LOAD);
    for round in 0..10 {
        for (n, how) in Return::all().enumerate() {
            assert_eq!(
                comes_back(&server, &format!("_client-{n}-{round}"), how).await,
                "online",
                "{how:?}, round {round}"
            );
        }
    }
    LOAD.store(false, Ordering::Relaxed);
    for client in load {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_disconnects_leaves_no_will_even_if_it_reconnects_at_once() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "status/#", 0).await;
    let how = Return { v5: false, clean: true, delay: 0, new_will: false, takeover: true };
    for round in 0..200 {
        let id = format!("_client-{}", round % 7);
        let (mut old, _) = server.connect(&how.connect(&id, true, Some("offline"))).await;
        old.send(&[0xe0, 0]).await;
        let (mut new, _) = server.connect(&how.connect(&id, true, None)).await;
        new.expect_silence().await;
        new.send(&[0xe0, 0]).await;
    }
    watcher.expect_silence().await;
}
