//! A collector of OpenTelemetry traces for tests: takes OTLP as Protobuf over HTTP and keeps the spans.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;
use switchbox_tests::until;

use super::otlp;

#[derive(Debug, Default)]
struct Taken {
    spans: Vec<Value>,
    /// The heads of the requests.
    heads: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Collector {
    port: u16,
    taken: Arc<Mutex<Taken>>,
}

impl Collector {
    /// Listens until the tests end.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::<Mutex<Taken>>::default();
        let into = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let into = into.clone();
                thread::spawn(move || serve(&stream, &into));
            }
        });
        Self { port, taken }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans so far.
    pub(super) fn spans(&self) -> Vec<Value> {
        self.taken.lock().unwrap().spans.clone()
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.taken.lock().unwrap().heads.clone()
    }

    /// Waits for a span.
    pub(super) fn span(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(what, || self.spans().into_iter().find(|span| is_it(span)))
    }

    /// Waits for a span of this name.
    pub(super) fn named(&self, name: &str) -> Value {
        self.span(name, |span| span["name"] == name)
    }
}

/// One connection, request by request.
fn serve(stream: &TcpStream, into: &Mutex<Taken>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        assert!(
            head.starts_with("post /v1/traces ") && head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        let mut taken = into.lock().unwrap();
        taken.spans.extend(otlp::spans(&body));
        taken.heads.push(head);
        drop(taken);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if (&*stream).write_all(answer).is_err() {
            return;
        }
    }
}
