//! The queue to the collector. A span is encoded into it as OTLP by the thread on which it ends. So the queue has few large pieces of
//! memory, and not many small ones that one thread allocates and another frees half a second later.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use switchbox_model::limits;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{otlp, protobuf::Writer, span::Span};

/// The outcome of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: &'static str,
}

pub(crate) type Counted = Family<Outcome, Counter>;

/// Spans of one batch, at most: some 600 kB.
const BATCH: usize = 2_048;
/// How long a batch that is not full is gathered.
const GATHER: Duration = Duration::from_millis(500);

/// Spans that are sent together, as they are written.
#[derive(Debug, Default)]
struct Written {
    spans: Writer,
    count: usize,
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Waiting {
    /// All but the last are full. At most [`limits::TRACE_SPANS`] spans in all; more are refused.
    batches: VecDeque<Written>,
    count: usize,
}

/// The end of the queue that spans come in at.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// There is a span where there was none, or the first batch is full.
    changed: Notify,
}

impl Queue {
    /// Returns false if too many wait.
    pub(crate) fn push(&self, span: &Span) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.count == limits::TRACE_SPANS {
            return false;
        }
        waiting.count += 1;
        if waiting.batches.back().is_none_or(|last| last.count == BATCH) {
            waiting.batches.push_back(Written::default());
        }
        if let Some(last) = waiting.batches.back_mut() {
            otlp::write(&mut last.spans, span);
            last.count += 1;
        }
        let count = waiting.count;
        drop(waiting);
        if count == 1 || count == BATCH {
            self.changed.notify_one();
        }
        true
    }

    /// Spans of the next batch so far.
    fn first(&self) -> usize {
        self.waiting.lock().batches.front().map_or(0, |first| first.count)
    }

    fn pop(&self) -> Written {
        let mut waiting = self.waiting.lock();
        let first = waiting.batches.pop_front().unwrap_or_default();
        waiting.count -= first.count;
        first
    }

    /// Waits until the next batch has this many spans.
    async fn has(&self, count: usize) {
        while self.first() < count {
            self.changed.notified().await;
        }
    }
}

/// The spans that wait to be sent.
#[derive(Debug)]
pub struct SpanQueue {
    queue: Arc<Queue>,
    instance: String,
    counted: Counted,
}

/// Spans that are sent together. One that is not counted was not sent.
#[derive(Debug)]
pub struct Batch {
    written: Written,
    instance: String,
}

impl Batch {
    #[must_use]
    pub fn count(&self) -> usize {
        self.written.count
    }

    /// The body of an export by OTLP over HTTP, as Protobuf.
    #[must_use]
    pub fn protobuf(&self) -> Vec<u8> {
        otlp::body(self.written.spans.bytes_so_far(), &self.instance)
    }
}

impl SpanQueue {
    /// `instance`: what tells this run of the host from others.
    pub(crate) fn new(queue: Arc<Queue>, instance: String, counted: Counted) -> Self {
        Self { queue, instance, counted }
    }

    /// The next spans, collected for a moment. At the shutdown returns the queued ones at once, possibly none.
    pub async fn next(&mut self, shutdown: &CancellationToken) -> Batch {
        let gathered = async {
            self.queue.has(1).await;
            tokio::select! {
                () = self.queue.has(BATCH) => {}
                () = sleep(GATHER) => {}
            }
        };
        tokio::select! {
            () = gathered => {}
            () = shutdown.cancelled() => {}
        }
        Batch { written: self.queue.pop(), instance: self.instance.clone() }
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

    /// The names of the spans that wait, in their order.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<String> {
        let batches = std::iter::from_fn(|| Some(self.queue.pop()).filter(|batch| batch.count > 0));
        batches.flat_map(|batch| otlp::tests::names(batch.spans.bytes_so_far())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::{SpanId, TraceId},
        span::SpanKind,
    };

    fn span() -> Span {
        Span {
            trace: TraceId(1),
            id: SpanId(2),
            parent: None,
            name: "a".into(),
            kind: SpanKind::Internal,
            start_us: 1,
            end_us: 2,
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    fn queue() -> (Arc<Queue>, SpanQueue) {
        let queue = Arc::<Queue>::default();
        (queue.clone(), SpanQueue::new(queue, String::new(), Counted::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn spans_are_gathered_and_a_full_batch_does_not_wait() {
        let (queue, mut spans) = queue();
        let shutdown = CancellationToken::new();
        let begun = tokio::time::Instant::now();
        assert!(queue.push(&span()) && queue.push(&span()));
        assert_eq!(spans.next(&shutdown).await.count(), 2);
        assert_eq!(begun.elapsed(), GATHER);
        (0..=BATCH).for_each(|_| assert!(queue.push(&span())));
        assert_eq!(spans.next(&shutdown).await.count(), BATCH);
        assert_eq!(begun.elapsed(), GATHER, "no waiting for more");
        assert_eq!(spans.next(&shutdown).await.count(), 1);
        assert_eq!(begun.elapsed(), GATHER * 2);
        shutdown.cancel();
        assert_eq!(spans.next(&shutdown).await.count(), 0);
    }

    #[test]
    fn no_more_wait_than_the_limit() {
        let (queue, spans) = queue();
        (0..limits::TRACE_SPANS).for_each(|_| assert!(queue.push(&span())));
        assert!(!queue.push(&span()));
        assert_eq!(queue.pop().count, BATCH);
        assert!(queue.push(&span()), "there is room again");
        assert_eq!(spans.names().len(), limits::TRACE_SPANS - BATCH + 1);
    }
}
