//! Waiting for other threads and processes. The limit only ends a test that has failed.

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(5);

/// Repeats `ask` until it returns a value.
///
/// # Panics
///
/// Panics if it returns none within [`LIMIT`]; `what` says what was waited for.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, ask).unwrap_or_else(|| panic!("waited {LIMIT:?} in vain for {what}"))
}

/// Repeats `ask` until it returns a value. Returns `None` at the limit.
pub fn until_within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if began.elapsed() > limit {
            return None;
        }
        // Sleeps between two looks at a condition of another process.
        std::thread::sleep(PAUSE);
    }
}
