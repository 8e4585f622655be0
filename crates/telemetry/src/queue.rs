//! The other end of a tracer's queue: spans in batches, for whatever sends them.

use std::time::Duration;

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    otlp,
    span::Span,
    tracer::{Counted, Outcome, Tracer},
};

/// Spans of one batch, at most.
const BATCH: usize = 512;
/// How long a batch that is not full is gathered.
const GATHER: Duration = Duration::from_millis(500);

/// The spans that wait to be sent.
#[derive(Debug)]
pub struct SpanQueue {
    spans: mpsc::Receiver<Span>,
    instance: String,
    counted: Counted,
}

/// Spans that are sent together. One that is not counted was not sent.
#[derive(Debug)]
pub struct Batch {
    spans: Vec<Span>,
    instance: String,
}

impl Batch {
    #[must_use]
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// The body of an export by OTLP over HTTP, as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        otlp::body(&self.spans, &self.instance)
    }
}

impl Tracer {
    /// Of the traces that begin here the part `ratio` is sampled. `key`: a random number, of which ids are made. `now_us`: the wall
    /// clock, microseconds.
    #[must_use]
    pub fn new(ratio: f64, key: u64, now_us: fn() -> u64) -> (Self, SpanQueue) {
        let (tracer, spans, counted) = Self::with_queue(ratio, key, now_us);
        (tracer, SpanQueue { spans, instance: format!("{key:016x}"), counted })
    }
}

impl SpanQueue {
    /// The next spans, collected for a moment. At the shutdown returns the queued ones at once, possibly none.
    pub async fn next(&mut self, shutdown: &CancellationToken) -> Batch {
        let mut spans = Vec::new();
        tokio::select! {
            _ = self.spans.recv_many(&mut spans, BATCH) => {}
            () = shutdown.cancelled() => {}
        }
        if spans.len() < BATCH {
            tokio::select! {
                () = sleep(GATHER) => {}
                () = shutdown.cancelled() => {}
            }
        }
        while spans.len() < BATCH
            && let Ok(span) = self.spans.try_recv()
        {
            spans.push(span);
        }
        Batch { spans, instance: self.instance.clone() }
    }

    /// The collector accepted this many.
    pub fn sent(&self, count: usize) {
        self.count("sent", count);
    }

    /// It did not, and they are gone.
    pub fn dropped(&self, count: usize) {
        self.count("dropped: not taken", count);
    }

    fn count(&self, outcome: &'static str, count: usize) {
        self.counted.get_or_create(&Outcome { outcome }).inc_by(count as u64);
    }
}
