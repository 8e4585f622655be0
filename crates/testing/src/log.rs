//! What is logged by one thread of a test.

use std::sync::Once;

use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, Interest},
};

/// Takes nothing, and decides that anew at each event.
struct Undecided;

impl Subscriber for Undecided {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        None
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(u64::MAX)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Gives `subscriber` the events and spans of the calling thread until the guard is dropped.
///
/// While a process has one subscriber, `tracing` asks only the thread that comes first to an event's or span's place in the code
/// whether it is wanted, and keeps the answer for all threads: another test's "no" would hold for this one. A second subscriber, which
/// all threads have, makes it ask both.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn subscribe(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    static UNDECIDED: Once = Once::new();
    UNDECIDED.call_once(|| {
        tracing::subscriber::set_global_default(Undecided).expect("a test has set a subscriber for all threads");
    });
    tracing::subscriber::set_default(subscriber)
}
