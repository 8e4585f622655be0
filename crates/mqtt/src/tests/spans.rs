//! The spans of a connection, which name the client in lines of the log.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::{
    raw::{ack, publish},
    *,
};

/// Collects the spans of this crate.
#[derive(Clone, Default)]
struct Spans(Arc<Collected>);

#[derive(Default)]
struct Collected {
    /// Each with its fields.
    made: Mutex<Vec<String>>,
    /// How many exist.
    open: AtomicUsize,
    /// How many are entered.
    entered: AtomicUsize,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("switchbox_mqtt")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = span.metadata().name().to_owned();
        span.record(&mut Fields(&mut text));
        self.0.made.lock().push(text);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Id::from_u64(1)
    }

    fn try_close(&self, _: Id) -> bool {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        true
    }

    fn enter(&self, _: &Id) {
        self.0.entered.fetch_add(1, Ordering::Relaxed);
    }

    fn exit(&self, _: &Id) {
        self.0.entered.fetch_sub(1, Ordering::Relaxed);
    }

    fn event(&self, _: &Event<'_>) {}

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}
}

#[tokio::test]
async fn the_span_of_a_connection_names_its_client_and_lasts_while_packets_are_processed() {
    let spans = Spans::default();
    // All tasks of this test run on its thread.
    let _guard = switchbox_testing::subscribe(spans.clone());
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    assert_eq!(*spans.0.made.lock(), [""; 0]);
    client.send(&publish(0x32, "/devices/lamp-1/events", 5, None, "a")).await;
    client.expect(&ack(0x40, 5)).await;
    assert_eq!(*spans.0.made.lock(), ["connection client=lamp-1"]);
    let left = [&spans.0.open, &spans.0.entered].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(left, [0, 0], "an idle connection has none");
}
