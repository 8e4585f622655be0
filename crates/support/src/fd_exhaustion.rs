//! Handles the lack of free file descriptors: the caller waits and tries again, and the log mentions it at a limited rate.

use std::{future::Future, io, time::Duration};

use crate::log_limit::SiteLimit;

/// One line a minute, whatever waits.
static WAITING: SiteLimit = SiteLimit::new(1);

/// Between two tries.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Whether the call failed only because the process, or the system, has no free file descriptor.
#[must_use]
pub fn is_cause_of(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Logs that this waits for a file descriptor.
pub fn log_waiting(what: &str) {
    if let Some(more) = WAITING.allow() {
        tracing::warn!("no file descriptor is free (ulimit -n), so this is tried again until one is: {what}{more}");
    }
}

/// Tries until it succeeds, or fails for another reason. The caller bounds the time.
pub async fn retry<T, F: Future<Output = io::Result<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> io::Result<T> {
    loop {
        match attempt().await {
            Err(error) if is_cause_of(&error) => log_waiting(what),
            done => return done,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_lack_of_descriptors_is_waited_out() {
        let mut tries = 0;
        let mut attempt = || {
            tries += 1;
            let errors = [libc::EMFILE, libc::ENFILE, libc::ECONNREFUSED];
            std::future::ready(Err::<(), _>(io::Error::from_raw_os_error(errors[tries - 1])))
        };
        let error = retry("a test", &mut attempt).await.unwrap_err();
        assert_eq!((error.raw_os_error(), tries), (Some(libc::ECONNREFUSED), 3));
        assert_eq!(retry("a test", || std::future::ready(Ok(7))).await.unwrap(), 7);
    }
}
