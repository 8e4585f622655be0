//! Consumers of the journal that read nothing, or grant little: what the host holds for them, and what they get when they read.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    authorization::ConnectionAuth,
    connection,
    context::{Context, HostHandles},
    delivery_budget::TURNS,
    encoding,
    feedback_cursor::FeedbackCursors,
    journal_reads::JournalReads,
    performative::{FrameHead, TRANSFER},
    sasl::AMQP_HEADER,
    session_windows::SessionWindows,
    streaming::EVENT_BYTES,
};
use switchbox_azure::Hubs;
use switchbox_core::ingest::NewEvent;
use switchbox_model::{EventData, PayloadLimits, limits::HUB_AMQP_UNWRITTEN_BYTES, registry::DeviceSpec};
use switchbox_store::QueueShare;
use switchbox_testing::{Host, Options};
use switchbox_transport::admission::{self, Admission, Names};

const EVENTS: usize = 256;
const PAYLOAD_BYTES: usize = 8_000;
/// Largest frames of a client: an event fits into one, or takes several.
const LARGE_FRAME: u32 = 16_384;
const SMALL_FRAME: u32 = 4_096;
const SMALL_WINDOW: u32 = 4;
const DEADLINE: Duration = Duration::from_secs(60);

/// A host whose journal has the events of one device.
struct Hub {
    context: Context,
    _host: Host,
}

impl Hub {
    async fn start() -> Self {
        let host = Host::start(Options::default()).await;
        let device = host.register("lamp", DeviceSpec::default()).await;
        for number in 0..EVENTS {
            let room = host.ingest.reserve(2 * PAYLOAD_BYTES, QueueShare::Whole).await.unwrap();
            let payload = format!("{number:0>PAYLOAD_BYTES$}").into();
            let data = EventData::Telemetry { subfolder: String::new(), payload, properties: Vec::new() };
            host.ingest.submit(&device, vec![NewEvent::new(true, data)], room, Box::new(|_| {}));
        }
        let _ = host.store.flush(None).await;
        let handles = HostHandles {
            registry: host.registry.clone(),
            ingest: host.ingest.clone(),
            outbox: host.outbox.clone(),
            delivery: host.delivery.clone(),
            store: host.store.clone(),
            auth: host.auth.clone(),
            metrics: host.metrics.clone(),
            tasks: host.tasks.clone(),
        };
        let context = Context {
            journal: JournalReads::new(host.store.clone()),
            feedback: FeedbackCursors::open(host.folder().join("feedback.json")),
            handles,
            hubs: Hubs::default(),
            partitions: 1,
            payloads: PayloadLimits::default(),
            shutdown: CancellationToken::new(),
        };
        Self { context, _host: host }
    }

    /// A client that has opened a connection, and has not read yet.
    async fn connect(&self, frame_bytes: u32) -> Client {
        let (mut stream, server) = duplex(4_096);
        let (context, windows) = (self.context.clone(), SessionWindows::default());
        let options = admission::Options {
            connections: 1,
            per_address: 1,
            per_second: 1,
            unauthenticated: 1,
            names: Names::HUB_AMQP,
        };
        let address = Ipv4Addr::LOCALHOST.into();
        let permit = Admission::new(options, self.context.handles.metrics.clone()).admit(address).unwrap();
        let (auth, of_host) = (ConnectionAuth::of_owner(address), windows.clone());
        let serving = async move { connection::serve_as(context, server, auth, of_host, &permit).await };
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        stream.write_all(&AMQP_HEADER).await.unwrap();
        let client = Client { stream, windows, received: HashMap::new(), transfers: HashMap::new(), _serving: serving };
        client.with(0, 0x10, &[text("consumer"), vec![encoding::NULL], uint(frame_bytes)]).await
    }
}

/// A link: its channel and its handle.
type Link = (u8, u32);

struct Client {
    stream: DuplexStream,
    windows: SessionWindows,
    /// The bytes of the incomplete delivery of each link, and the numbers of its events.
    received: HashMap<Link, (Vec<u8>, Vec<usize>)>,
    /// Of each session.
    transfers: HashMap<u8, u32>,
    _serving: AbortOnDropHandle<()>,
}

impl Client {
    /// Sends a performative.
    async fn with(mut self, channel: u8, code: u8, fields: &[Vec<u8>]) -> Self {
        self.send(channel, code, fields).await;
        self
    }

    async fn send(&mut self, channel: u8, code: u8, fields: &[Vec<u8>]) {
        let body = described(code, fields);
        let size = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
        self.stream.write_all(&[&size[..], &[2, 0, 0, channel], &body].concat()).await.unwrap();
    }

    async fn begin(&mut self, channel: u8, window: u32) {
        self.send(channel, 0x11, &[vec![encoding::NULL], uint(0), uint(window), uint(u32::MAX)]).await;
    }

    /// A link on which the host sends the only partition.
    async fn attach(&mut self, (channel, handle): Link) {
        let source = described(0x28, &[text("default/ConsumerGroups/$Default/Partitions/0")]);
        let target = described(0x29, &[text("here")]);
        let name = text(&format!("link-{handle}"));
        let null = || vec![encoding::NULL];
        self.send(channel, 0x12, &[name, uint(handle), vec![0x41], null(), null(), source, target]).await;
    }

    async fn grant(&mut self, (channel, handle): Link, window: u32) {
        let next = self.transfers.get(&channel).copied().unwrap_or(0);
        let most = || uint(u32::MAX);
        let fields = [uint(next), uint(window), uint(0), most(), uint(handle), uint(0), most()];
        self.send(channel, 0x13, &fields).await;
    }

    /// Reads until this link has all events. A session with a small window gets another one when it is used up.
    async fn receive_all(&mut self, link: Link) {
        while self.received.get(&link).is_none_or(|(_, numbers)| numbers.len() < EVENTS) {
            let mut first = [0; 8];
            self.stream.read_exact(&mut first).await.unwrap();
            if first == AMQP_HEADER {
                continue;
            }
            let size = u32::from_be_bytes([first[0], first[1], first[2], first[3]]);
            let mut frame = first.to_vec();
            frame.resize(size as usize, 0);
            self.stream.read_exact(&mut frame[8..]).await.unwrap();
            let Some(head) = FrameHead::read(&frame).unwrap().filter(|head| head.code == TRANSFER) else { continue };
            let transfer = head.fields().unwrap().unwrap();
            let link = (u8::try_from(transfer.channel).unwrap(), transfer.number(0).unwrap());
            let (bytes, numbers) = self.received.entry(link).or_default();
            bytes.extend_from_slice(transfer.after);
            if !encoding::is_true(transfer.field(5)) {
                let payload = &bytes[bytes.len() - PAYLOAD_BYTES..];
                numbers.push(std::str::from_utf8(payload).unwrap().parse().unwrap());
                bytes.clear();
            }
            let transfers = self.transfers.entry(link.0).or_default();
            *transfers += 1;
            if link.0 == SMALL && transfers.is_multiple_of(SMALL_WINDOW) {
                self.grant(link, SMALL_WINDOW).await;
            }
        }
    }
}

/// The channels of a session with a window without end, and of one with a small window.
const WIDE: u8 = 0;
const SMALL: u8 = 1;

fn uint(number: u32) -> Vec<u8> {
    [&[0x70][..], &number.to_be_bytes()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[0xa1, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn described(code: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let items = fields.concat();
    let [size, count] = [items.len() + 4, fields.len()].map(|number| u32::try_from(number).unwrap().to_be_bytes());
    [&[0, 0x53, code, 0xd0][..], &size, &count, &items].concat()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, waiting).await.expect("it does not come");
}

#[tokio::test]
async fn consumers_that_read_nothing_hold_no_more_than_their_connections_budget_and_get_all_when_they_read() {
    let hub = Hub::start().await;
    let mut client = hub.connect(LARGE_FRAME).await;
    let links: Vec<Link> =
        [WIDE, SMALL].into_iter().flat_map(|channel| (0..4).map(move |handle| (channel, handle))).collect();
    let window = |channel| if channel == SMALL { SMALL_WINDOW } else { u32::MAX };
    for channel in [WIDE, SMALL] {
        client.begin(channel, window(channel)).await;
    }
    for link in &links {
        client.attach(*link).await;
    }
    for link in &links {
        client.grant(*link, window(link.0)).await;
    }
    let windows = client.windows.clone();
    let most = HUB_AMQP_UNWRITTEN_BYTES + TURNS * (PAYLOAD_BYTES + EVENT_BYTES);
    let mut pages_seen = 0;
    until(|| {
        let (bytes, pages) = windows.budget().held();
        assert!(bytes <= most && pages <= TURNS, "{bytes} bytes and {pages} pages are held");
        pages_seen = pages_seen.max(pages);
        bytes >= HUB_AMQP_UNWRITTEN_BYTES && pages == 0
    })
    .await;
    assert!(pages_seen > 0, "no link has read a page");
    for link in links {
        timeout(DEADLINE, client.receive_all(link)).await.expect("events are missing");
    }
    assert_eq!(client.received.len(), 8);
    for (link, (_, numbers)) in client.received {
        assert!(numbers.into_iter().eq(0..EVENTS), "{link:?}");
    }
    until(|| windows.budget().held() == (0, 0)).await;
}

#[tokio::test]
async fn links_without_credit_do_not_keep_another_link_of_the_connection_from_reading() {
    let hub = Hub::start().await;
    let mut client = hub.connect(SMALL_FRAME).await;
    client.begin(WIDE, u32::MAX).await;
    let last = u32::try_from(2 * TURNS).unwrap();
    for handle in 0..=last {
        client.attach((WIDE, handle)).await;
    }
    client.grant((WIDE, last), u32::MAX).await;
    timeout(DEADLINE, client.receive_all((WIDE, last))).await.expect("the link with credit gets nothing");
    assert_eq!(client.received.len(), 1);
    let windows = client.windows.clone();
    until(|| windows.budget().held() == (0, 0)).await;
}
