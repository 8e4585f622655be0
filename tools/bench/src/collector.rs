//! The collector of traces for a comparison: this program in a process of its own, which reads what the host sends and answers 200. It never
//! looks into a request: a real collector is on another machine, and this one shares the processors of what is measured.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Serialize;
use switchbox_support::terminal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader as AsyncBufReader},
    process::{Child, Command},
};

use super::{admin::Admin, machine, table};

/// The hidden option of `bench` that makes it the collector.
const OPTION: &str = "--collector";
/// Read at a time: few system calls for a large body.
const BUFFER: usize = 256 * 1024;
/// Longer heads are no request of the host.
const HEAD: u64 = 16 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Is the collector, until the process is ended. Prints its address.
pub(super) fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    terminal::print(&listener.local_addr()?.to_string())?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || serve(&stream));
    }
    Ok(())
}

/// Answers the requests of one connection until it ends.
fn serve(stream: &TcpStream) -> io::Result<()> {
    let (mut reader, mut output) = (BufReader::with_capacity(BUFFER, stream), stream);
    while let Some(length) = head(&mut reader)? {
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        output.write_all(ANSWER)?;
    }
    Ok(())
}

/// Reads the head of a request. Returns the length of its body, or `None` if the connection ended before it.
fn head(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<u64>> {
    let (mut length, mut head) = (0, reader.by_ref().take(HEAD));
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            _ if line.trim().is_empty() => return Ok(Some(length)),
            _ => {}
        }
    }
}

/// A running collector.
pub(super) struct Collector {
    child: Child,
    pid: u32,
    addr: SocketAddr,
}

impl Collector {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.args(["bench", OPTION]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the collector")?;
        let pid = child.id().context("the collector ended at once")?;
        let output = child.stdout.take().context("the collector has no standard output")?;
        let Some(line) = AsyncBufReader::new(output).lines().next_line().await? else { bail!("the collector ended") };
        let addr = line.parse().with_context(|| format!("the collector says {line:?}"))?;
        Ok(Self { child, pid, addr })
    }

    /// The options of `serve` that send this part of the traces here.
    pub(super) fn options(&self, ratio: f64) -> [String; 2] {
        [format!("--otlp-endpoint=http://{}", self.addr), format!("--trace-sample-ratio={ratio}")]
    }

    pub(super) async fn end(mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill().await;
    }
}

/// What was sent to the collector in the turns of one load, and what that cost it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Traced {
    spans_sent: u64,
    spans_dropped: u64,
    seconds: f64,
    /// Processor time of the collector.
    collector_seconds: f64,
}

/// What had been counted when a turn began.
#[derive(Debug)]
pub(super) struct Begun {
    at: Instant,
    sent: u64,
    dropped: u64,
    used: Duration,
}

impl Traced {
    pub(super) async fn begin(admin: &Admin, collector: &Collector) -> anyhow::Result<Begun> {
        let (sent, dropped) = admin.spans().await.context("the host does not say how many spans it sent")?;
        let used = machine::processor_time(collector.pid).unwrap_or_default();
        Ok(Begun { at: Instant::now(), sent, dropped, used })
    }

    /// Adds what came after `begun`.
    pub(super) async fn end(&mut self, begun: Begun, admin: &Admin, collector: &Collector) -> anyhow::Result<()> {
        let now = Self::begin(admin, collector).await?;
        self.spans_sent += now.sent.saturating_sub(begun.sent);
        self.spans_dropped += now.dropped.saturating_sub(begun.dropped);
        self.seconds += (now.at - begun.at).as_secs_f64();
        self.collector_seconds += now.used.saturating_sub(begun.used).as_secs_f64();
        Ok(())
    }

    /// `9 876/s, 0 dropped, collector 1.2 %`: of one processor.
    pub(super) fn text(&self) -> String {
        let each_second = |value: f64| if self.seconds > 0.0 { value / self.seconds } else { 0.0 };
        let sent = table::thousands(each_second(self.spans_sent as f64));
        let dropped = table::thousands(self.spans_dropped as f64);
        format!("{sent}/s, {dropped} dropped, collector {:.1} %", each_second(self.collector_seconds) * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_to_their_end_and_answered() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
        let mut client = TcpStream::connect(listener.local_addr().expect("address")).expect("connected");
        let (served, _) = listener.accept().expect("accepted");
        let serving = thread::spawn(move || serve(&served));
        for length in [0, 700_000, 3] {
            let head = format!("POST /v1/traces HTTP/1.1\r\nContent-Length: {length}\r\nhost: a\r\n\r\n");
            client.write_all(head.as_bytes()).expect("sent");
            client.write_all(&vec![b'\n'; length]).expect("sent");
            let mut answer = vec![0; ANSWER.len()];
            client.read_exact(&mut answer).expect("answered");
            assert_eq!(answer, ANSWER);
        }
        drop(client);
        serving.join().expect("no panic").expect("no error");
    }

    #[test]
    fn figures_are_for_a_second() {
        let traced = Traced { spans_sent: 24_000, spans_dropped: 7, seconds: 2.0, collector_seconds: 0.05 };
        assert_eq!(traced.text(), "12\u{202f}000/s, 7 dropped, collector 2.5 %");
    }
}
