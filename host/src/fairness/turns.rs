//! When a thread that may be interrupted asks to be. The system's scheduler looks whether another thread should go on when one wakes up,
//! and at its ticks, which are milliseconds apart: who was woken a moment too early waits for the tick. So whoever has much to do
//! asks it to look more often, while there is a foreground to give way to.

use std::{
    cell::Cell,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a thread goes on before it gives way.
const TURN: Duration = Duration::from_micros(100);
/// Pieces of work, of a few microseconds each, between two looks at the clock.
const PIECES: u8 = 8;
/// The foreground is at work as long after a piece of its work.
const LINGERS_MS: u64 = 20;

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
/// When the foreground was last seen at work, in milliseconds from the beginning.
static FOREGROUND_MS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
struct Turn {
    began: Instant,
    pieces: u8,
}

thread_local! {
    /// None: the thread gives way to nobody.
    static TURN_HERE: Cell<Option<Turn>> = const { Cell::new(None) };
}

fn ms(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*BEGINNING).as_millis()).unwrap_or(u64::MAX)
}

/// A piece of the foreground's work was done.
pub(super) fn foreground_at_work(now: Instant) {
    let now_ms = ms(now);
    // Others read it all the time.
    if FOREGROUND_MS.load(Ordering::Relaxed) != now_ms {
        FOREGROUND_MS.store(now_ms, Ordering::Relaxed);
    }
}

/// The calling thread is one that gives way from now on.
pub(super) fn give_way_from_now_on() {
    TURN_HERE.set(Some(Turn { began: Instant::now(), pieces: 0 }));
}

/// To be called between small pieces of work that may be many, holding no lock: a thread of the background gives way to others
/// when it has gone on for a while; any other goes on at once.
pub fn breathe() {
    if let Some(turn) = TURN_HERE.get() {
        if turn.pieces < PIECES {
            TURN_HERE.set(Some(Turn { pieces: turn.pieces + 1, ..turn }));
        } else {
            breathe_at(Instant::now());
        }
    }
}

/// Whether there is somebody to give way to.
pub fn has_foreground(now: Instant) -> bool {
    ms(now).saturating_sub(FOREGROUND_MS.load(Ordering::Relaxed)) <= LINGERS_MS
}

/// As [`breathe`], after a piece of any length. True when the thread gave way.
pub fn breathe_at(now: Instant) -> bool {
    let Some(Turn { began, .. }) = TURN_HERE.get() else { return false };
    let gives = now.saturating_duration_since(began) >= TURN && has_foreground(now);
    if gives {
        std::thread::yield_now();
    }
    let began = if gives { Instant::now() } else { began };
    TURN_HERE.set(Some(Turn { began, pieces: 0 }));
    gives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_gives_way_now_and_then_while_there_is_a_foreground() {
        let now = Instant::now() + Duration::from_secs(60);
        foreground_at_work(now);
        assert!(!breathe_at(now), "this thread need not");
        give_way_from_now_on();
        assert!(breathe_at(now));
        assert!(!breathe_at(Instant::now()), "it just did");
        let lingers = Duration::from_millis(LINGERS_MS);
        assert!(breathe_at(now + lingers));
        assert!(!breathe_at(now + 2 * lingers), "there is nobody any more");
    }
}
