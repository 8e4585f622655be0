//! Decides when a thread of low priority yields the processor. The system's scheduler checks for another thread when one wakes up,
//! and at its ticks, which are milliseconds apart: a thread that has just been woken may wait for the tick. So a thread with much
//! work yields more often while the foreground is active.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

/// How long a thread runs before it yields.
const TURN: Duration = Duration::from_micros(100);
/// Pieces of work, of a few microseconds each, between two checks of the clock.
const PIECES: u8 = 8;
/// How long the foreground counts as active after a piece of its work.
const FOREGROUND_WINDOW_MS: u64 = 20;

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
/// When the foreground was last active, by [`ms`]; 0 = never.
static FOREGROUND_MS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
struct Turn {
    began: Instant,
    pieces: u8,
}

thread_local! {
    /// `None` when the thread does not yield.
    static TURN_HERE: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// The beginning is later than a foreground that was last active at 0, which means never.
fn ms(now: Instant) -> u64 {
    let since = u64::try_from(now.saturating_duration_since(*BEGINNING).as_millis()).unwrap_or(u64::MAX);
    since.saturating_add(FOREGROUND_WINDOW_MS + 1)
}

/// A piece of the foreground's work was done.
pub fn record_foreground_work(now: Instant) {
    let now_ms = ms(now);
    // Others read it all the time.
    if FOREGROUND_MS.load(Ordering::Relaxed) != now_ms {
        FOREGROUND_MS.store(now_ms, Ordering::Relaxed);
    }
}

/// Makes the calling thread yield from now on.
pub(super) fn enable_yielding() {
    TURN_HERE.set(Some(Turn { began: Instant::now(), pieces: 0 }));
}

/// Yields the processor if this is a background thread that has run for a while. In other threads it does nothing. It is called between
/// small pieces of work, without holding a lock.
pub fn yield_if_due() {
    if let Some(turn) = TURN_HERE.get() {
        if turn.pieces < PIECES {
            TURN_HERE.set(Some(Turn { pieces: turn.pieces + 1, ..turn }));
        } else {
            yield_if_due_at(Instant::now());
        }
    }
}

/// Whether a foreground thread has run within the last milliseconds.
pub fn has_foreground(now: Instant) -> bool {
    is_recent(FOREGROUND_MS.load(Ordering::Relaxed), ms(now))
}

fn is_recent(foreground_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(foreground_ms) <= FOREGROUND_WINDOW_MS
}

/// As [`yield_if_due`], after a piece of any length.
pub fn yield_if_due_at(now: Instant) {
    if let Some(Turn { began, .. }) = TURN_HERE.get() {
        let gives = now.saturating_duration_since(began) >= TURN && has_foreground(now);
        if gives {
            std::thread::yield_now();
        }
        TURN_HERE.set(Some(Turn { began: if gives { Instant::now() } else { began }, pieces: 0 }));
    }
}

pin_project! {
    /// A future that yields after each piece of its work, as by [`yield_if_due_at`]: for futures of which many may be ready at once.
    pub struct YieldBetweenPolls<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> YieldBetweenPolls<F> {
    pub fn new(future: F) -> Self {
        Self { future }
    }
}

impl<F: Future> Future for YieldBetweenPolls<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.project().future.poll(cx);
        yield_if_due_at(Instant::now());
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreground_counts_for_a_moment() {
        assert!(is_recent(1_000, 1_000));
        assert!(is_recent(1_000, 1_000 + FOREGROUND_WINDOW_MS));
        assert!(!is_recent(1_000, 1_001 + FOREGROUND_WINDOW_MS));
        assert!(is_recent(1_000, 999), "another thread's clock may be behind");
    }

    #[test]
    fn only_background_threads_yield_and_only_after_a_long_turn() {
        let later = Instant::now() + Duration::from_secs(1);
        yield_if_due_at(later);
        assert!(TURN_HERE.get().is_none(), "this thread need not");
        enable_yielding();
        let began = TURN_HERE.get().unwrap().began;
        record_foreground_work(Instant::now());
        yield_if_due_at(began);
        assert_eq!(TURN_HERE.get().unwrap().began, began, "it just began");
        yield_if_due_at(began + TURN);
        assert!(TURN_HERE.get().unwrap().began > began);
    }

    #[test]
    fn a_yielding_future_gives_way_after_a_long_piece() {
        enable_yielding();
        let began = TURN_HERE.get().unwrap().began;
        let mut work = std::pin::pin!(YieldBetweenPolls::new(async {
            while began.elapsed() < TURN {
                std::hint::spin_loop();
            }
            record_foreground_work(Instant::now());
        }));
        assert!(work.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
        assert!(TURN_HERE.get().unwrap().began > began, "its turn did not end");
    }
}
