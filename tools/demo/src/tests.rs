//! Simulated devices and the demo against mosquitto with a replacement for the two built-in plugins. Skipped with a message if
//! mosquitto is not installed, except on CI.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::{sync::mpsc, time::timeout};

use super::{
    HostLocation, Options,
    device::{self, DeviceCommand, DeviceEvent, DeviceKind, DeviceReport, VirtualDevice},
    payload::{hops, state},
    run,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// mosquitto on its own port; it ends with the test.
struct Broker {
    child: Child,
    addr: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Broker {
    async fn start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        Self::on(free).await
    }

    async fn on(addr: SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let settings = folder.path().join("settings");
        std::fs::write(
            &settings,
            format!("listener {} 127.0.0.1\nallow_anonymous true\nlog_dest none\nset_tcp_nodelay true\n", addr.port()),
        )
        .expect("written");
        let program = ["mosquitto", "/usr/sbin/mosquitto"].into_iter().find_map(|program| {
            Command::new(program).arg("-c").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        });
        if !switchbox_testing::is_available("mosquitto", program.is_some()) {
            return None;
        }
        let child = program?;
        let broker = Self { child, addr, _folder: folder };
        let listens = async {
            while TcpStream::connect(addr).is_err() {
                // Sleeps between two looks at a condition.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(TIMEOUT, listens).await.expect("mosquitto listens");
        Some(broker)
    }

    fn device(&self, id: &str, kind: DeviceKind) -> VirtualDevice {
        let (host, port) = (self.addr.ip().to_string(), self.addr.port());
        VirtualDevice { id: id.to_owned(), kind, host, port, rate: None, every: None, commands: None }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }
}

/// Does on a plain broker what the two built-ins do on a host: configs are retained, so they wait for their device.
async fn plugins(addr: SocketAddr, stubborn: bool) {
    let options = MqttOptions::new("plugins", addr.ip().to_string(), addr.port());
    let (client, mut connection) = AsyncClient::new(options, 1_000);
    connection.network_options.set_tcp_nodelay(true);
    client.try_subscribe("/devices/+/events", QoS::AtLeastOnce).expect("queued");
    let (ready_tx, ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready_tx = Some(ready_tx);
        while let Ok(event) = connection.poll().await {
            let publish = match event {
                Event::Incoming(Packet::Publish(publish)) => publish,
                Event::Incoming(Packet::SubAck(_)) => {
                    ready_tx.take().expect("once").send(()).expect("the receiver waits");
                    continue;
                }
                _ => continue,
            };
            let (topic, config) = match (hops(&publish.payload), state(&publish.payload)) {
                (Some(hops), _) => (publish.topic.replace("events", "config"), format!("{{\"hops\":{}}}", hops + 1)),
                (_, Some(state)) if !stubborn || state == "asleep" => {
                    ("/devices/lamp-1/config".to_owned(), format!("{{\"state\":\"{state}\"}}"))
                }
                _ => continue,
            };
            client.try_publish(topic, QoS::AtLeastOnce, true, config).expect("queued");
        }
    });
    ready.await.expect("subscribed");
}

async fn until(seen: &mut mpsc::Receiver<DeviceReport>, predicate: impl Fn(&DeviceEvent) -> bool) -> DeviceEvent {
    let find = async {
        loop {
            let one = seen.recv().await.expect("the device runs").what;
            if predicate(&one) {
                return one;
            }
        }
    };
    timeout(TIMEOUT, find).await.expect("seen in time")
}

#[tokio::test]
async fn a_hop_device_relays_until_it_gets_the_command_to_disconnect() {
    let Some(broker) = Broker::start().await else { return };
    plugins(broker.addr, false).await;
    let (events, mut seen) = mpsc::channel(16);
    let (order, commands) = mpsc::channel(1);
    let device = VirtualDevice { commands: Some(commands), ..broker.device("hop-1", DeviceKind::Hop) };
    let running = tokio::spawn(device::run(device, events));
    let arrived =
        |what: &DeviceEvent| matches!(what, DeviceEvent::Received { payload, .. } if hops(payload) >= Some(20));
    until(&mut seen, arrived).await;
    order.send(DeviceCommand::Disconnect).await.expect("it listens");
    until(&mut seen, |what| *what == DeviceEvent::Left).await;
    timeout(TIMEOUT, running).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn a_rate_holds_a_hop_device_back() {
    let Some(broker) = Broker::start().await else { return };
    plugins(broker.addr, false).await;
    let (events, mut seen) = mpsc::channel(16);
    let device = VirtualDevice { rate: Some(20.0), ..broker.device("hop-1", DeviceKind::Hop) };
    let running = tokio::spawn(device::run(device, events));
    until(&mut seen, |what| matches!(what, DeviceEvent::Sent { .. })).await;
    let begun = std::time::Instant::now();
    until(&mut seen, |what| matches!(what, DeviceEvent::Paused { .. })).await;
    until(&mut seen, |what| matches!(what, DeviceEvent::Sent { payload, .. } if hops(payload) == Some(4))).await;
    assert!(begun.elapsed() >= Duration::from_millis(190), "four hops took {:?}", begun.elapsed());
    drop(seen);
    timeout(TIMEOUT, running).await.expect("it ends when nobody listens").expect("without a panic");
}

#[tokio::test]
async fn a_device_comes_back_when_its_host_does() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (events, mut seen) = mpsc::channel(16);
    let (host, port) = (free.ip().to_string(), free.port());
    let device = VirtualDevice {
        id: "switch-1".to_owned(),
        kind: DeviceKind::Switch,
        host,
        port,
        rate: None,
        every: Some(TIMEOUT),
        commands: None,
    };
    let _running = tokio::spawn(device::run(device, events));
    for _ in 0..2 {
        // A connection to the broker that is just ending may be reset first.
        let is_refused = |reason: &str| reason == "the connection is refused";
        until(&mut seen, |what| matches!(what, DeviceEvent::Offline { reason, .. } if is_refused(reason))).await;
        let Some(broker) = Broker::on(free).await else { return };
        until(&mut seen, |what| matches!(what, DeviceEvent::Sent { .. })).await;
        drop(broker);
        until(&mut seen, |what| matches!(what, DeviceEvent::Offline { .. })).await;
    }
}

#[tokio::test]
async fn the_demo_succeeds_where_both_plugins_work_and_says_why_where_not() {
    for (stubborn, expect) in [(false, true), (true, false)] {
        let Some(broker) = Broker::start().await else { return };
        plugins(broker.addr, stubborn).await;
        let location = HostLocation {
            mqtt: broker.addr,
            admin: "http://127.0.0.1:1".to_owned(),
            plugins: "plugins".into(),
            data: "data".into(),
            azure: None,
        };
        let options = Options { length: Some(Duration::from_secs(2)), scene: Vec::new() };
        let worked = timeout(3 * TIMEOUT, run(&location, &options)).await.expect("it ends by itself");
        assert_eq!(worked, expect, "stubborn: {stubborn}");
    }
}
