//! Waiting for what other threads and processes bring about. The limit is only there to end a test that has failed.

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer.
///
/// # Panics
///
/// When there is none within [`LIMIT`]; `what` says what was waited for.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, ask).unwrap_or_else(|| panic!("waited {LIMIT:?} in vain for {what}"))
}

/// Asks until there is an answer; none when there is none within the limit.
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
