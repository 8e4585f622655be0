//! One connection of the load client: keeps its window of messages in flight. It never waits between two messages and allocates
//! nothing per message.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    time::Instant,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    frames::{self, Frame, Qos},
    histogram::Histogram,
    plan::{Plan, RunState},
    streams::{Arrival, Digits, Faults, HopsRaisedBy, Streams, Template, first_message},
};

/// Keep-alive of every connection: longer than any run, so that no ping disturbs it.
const KEEP_ALIVE_S: u16 = 600;
/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Counters that the connections of one thread share.
pub(super) struct Counters {
    pub(super) shared: std::sync::Arc<RunState>,
    pub(super) round_trips: RefCell<Histogram>,
    pub(super) last_completion: Cell<Instant>,
}

/// A connected client that subscribes to one topic.
pub(super) struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    /// Filled bytes of `input`.
    filled: usize,
    output: Vec<u8>,
}

impl Link {
    /// Connects and subscribes. An error has the server's answer if it refuses.
    pub(super) async fn open(
        addr: SocketAddr,
        client_id: &str,
        user_name: Option<&str>,
        filter: &str,
        qos: Qos,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await.with_context(|| format!("cannot connect {client_id} to {addr}"))?;
        stream.set_nodelay(true)?;
        let mut link = Self { stream, input: Vec::new(), filled: 0, output: Vec::with_capacity(256) };
        frames::connect(&mut link.output, client_id, user_name, KEEP_ALIVE_S);
        match link.request().await.with_context(|| format!("{client_id} waits for its CONNACK"))? {
            (2, 0) => {}
            (_, code) => bail!("the server refuses {client_id} with code {code}"),
        }
        frames::subscribe(&mut link.output, 1, filter, qos);
        match link.request().await.with_context(|| format!("{client_id} waits for its SUBACK"))? {
            (9, 0 | 1) => Ok(link),
            (_, code) => bail!("the server refuses {client_id} the subscription to {filter} with code {code:#x}"),
        }
    }

    /// Sends `output` and waits for one acknowledgement: the frame's type and its code. Bytes behind it (an earlier config) stay in
    /// `input`.
    async fn request(&mut self) -> anyhow::Result<(u8, u8)> {
        self.flush().await?;
        loop {
            if let Some((frame, length)) = frames::first(self.pending())? {
                let answer = match frame {
                    Frame::ConnAck { code } => Some((2, code)),
                    Frame::SubAck { code } => Some((9, code)),
                    Frame::Pong => Some((13, 0)),
                    Frame::Publish { .. } | Frame::PubAck => None,
                };
                // A message before the acknowledgement is an earlier config: it is dropped here, as it would be later.
                self.consume(length);
                if let Some(answer) = answer {
                    return Ok(answer);
                }
            } else {
                self.fill().await?;
            }
        }
    }

    /// Sends a PINGREQ and waits for its answer.
    pub(super) async fn ping(&mut self) -> anyhow::Result<()> {
        self.output.extend_from_slice(&frames::PING);
        self.request().await.map(drop)
    }

    fn pending(&self) -> &[u8] {
        self.input.get(..self.filled).unwrap_or_default()
    }

    fn consume(&mut self, length: usize) {
        self.input.copy_within(length..self.filled, 0);
        self.filled -= length;
        if self.filled == 0 && self.input.len() < READ_BYTES {
            self.input = Vec::new();
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let size = if self.input.is_empty() { 512 } else { READ_BYTES };
        if self.filled == self.input.len() {
            self.input.resize(size.max(self.filled * 2), 0);
        }
        let room = self.input.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(room).await.context("the connection broke")? {
            0 => bail!("the server closed the connection"),
            read => self.filled += read,
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await.context("the connection broke")?;
            self.output.clear();
        }
        Ok(())
    }
}

/// A link with its streams.
pub(super) struct LoadConnection {
    link: Link,
    device: String,
    topic: String,
    qos: Qos,
    hops_raised_by: HopsRaisedBy,
    streams: Streams,
    template: Template,
    /// The message that is composed from a change.
    whole: Vec<u8>,
    last_id: u16,
    counters: Rc<Counters>,
}

impl LoadConnection {
    /// Connects as connection `number` of the plan.
    pub(super) async fn open(plan: &Plan, number: usize, counters: Rc<Counters>) -> anyhow::Result<Self> {
        let (client_id, filter, topic) = plan.names(number);
        let user_name = plan.user_name(&client_id);
        let mut link = Link::open(plan.addr, &client_id, user_name.as_deref(), &filter, plan.qos).await?;
        link.input.resize(READ_BYTES, 0);
        let streams = Streams::new(plan.run, plan.window, Instant::now());
        Ok(Self {
            link,
            template: Template::new(&plan.device(&topic), plan.run),
            whole: Vec::new(),
            device: plan.device(&topic),
            topic,
            qos: plan.qos,
            hops_raised_by: plan.traffic.hops_raised_by(),
            streams,
            last_id: 0,
            counters,
        })
    }

    /// Sends the first message of every stream and answers all messages until the run is stopped and all streams have ended.
    pub(super) async fn run(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let mut message = Vec::with_capacity(128);
        for stream in 0..plan.window {
            message.clear();
            first_message(&mut message, &self.device, plan.run, stream, self.hops_raised_by);
            let id = next_id(self.qos, &mut self.last_id);
            frames::publish_parts(&mut self.link.output, &self.topic, id, [&message, b"", b""]);
        }
        self.streams.restart(Instant::now());
        loop {
            self.link.flush().await?;
            if self.streams.all_ended() {
                self.link.output.extend_from_slice(&frames::DISCONNECT);
                return self.link.flush().await;
            }
            self.link.fill().await?;
            self.answer_received()?;
        }
    }

    pub(super) fn faults(&self) -> Faults {
        self.streams.faults()
    }

    /// Answers everything that has been received.
    fn answer_received(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let stopped = self.counters.shared.stop.load(Relaxed);
        let recording = self.counters.shared.recording.load(Relaxed);
        let (mut done, mut completed) = (0, 0);
        let Self { link, topic, qos, hops_raised_by, streams, template, whole, last_id, counters, .. } = self;
        let input = link.input.get(..link.filled).unwrap_or_default();
        let mut round_trips = counters.round_trips.borrow_mut();
        while let Some((frame, length)) = frames::first(input.get(done..).unwrap_or_default())? {
            done += length;
            let Frame::Publish { acknowledge, payload } = frame else { continue };
            if let Some(id) = acknowledge {
                frames::puback(&mut link.output, id);
            }
            let numbers = match hops_raised_by {
                HopsRaisedBy::ServerAsPatch => streams.read_patch(payload),
                HopsRaisedBy::Server | HopsRaisedBy::Client => {
                    let Some(numbers) = streams.read(payload) else { continue };
                    numbers
                }
            };
            let Arrival::Next { took } = streams.arrive(&numbers, now) else { continue };
            completed += 1;
            if recording {
                round_trips.record(took);
            }
            if stopped {
                streams.end_stream(&numbers);
                continue;
            }
            let id = next_id(*qos, last_id);
            let mut digits = Digits::default();
            let parts = match hops_raised_by {
                HopsRaisedBy::Server => [payload, b"", b""],
                HopsRaisedBy::ServerAsPatch => {
                    template.write(whole, numbers.stream, numbers.hops);
                    [whole.as_slice(), b"", b""]
                }
                HopsRaisedBy::Client => [
                    payload.get(..numbers.hops_at.start).unwrap_or_default(),
                    digits.of(numbers.hops + 1),
                    payload.get(numbers.hops_at.end..).unwrap_or_default(),
                ],
            };
            frames::publish_parts(&mut link.output, topic, id, parts);
        }
        drop(round_trips);
        link.consume(done);
        if completed > 0 {
            self.counters.completed(completed, now);
        }
        Ok(())
    }
}

impl Counters {
    fn completed(&self, count: u64, now: Instant) {
        self.shared.completed.fetch_add(count, Relaxed);
        let pause = now.saturating_duration_since(self.last_completion.replace(now));
        self.shared.pause_ns.fetch_max(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// Packet ids from 1 on; there are far more of them than messages in flight.
fn next_id(qos: Qos, last: &mut u16) -> Option<u16> {
    (qos == Qos::AtLeastOnce).then(|| {
        *last = last.checked_add(1).unwrap_or(1);
        *last
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_ids_go_round_and_are_never_0() {
        let mut last = u16::MAX - 1;
        let ids: Vec<_> = (0..3).map(|_| next_id(Qos::AtLeastOnce, &mut last)).collect();
        assert_eq!(ids, [Some(u16::MAX), Some(1), Some(2)]);
        assert_eq!(next_id(Qos::AtMostOnce, &mut last), None);
    }
}
