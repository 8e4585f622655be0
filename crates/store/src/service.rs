//! The running store: its two threads, and how they end.

use std::{panic::AssertUnwindSafe, sync::Arc, thread::JoinHandle};

use super::{Error, append_queue::AppendQueue, lock::Lock};

/// Starts a thread of the store. When it panics the store takes nothing more, and `fatal` is called: nothing that others wait
/// for could be written without it.
pub(super) fn spawn(
    name: &'static str,
    append_queue: Arc<AppendQueue>,
    fatal: impl Fn(&Error) + Send + 'static,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let guarded = move || {
        if std::panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
            append_queue.close();
            append_queue.record_ended();
            fatal(&Error::Panicked { thread: name });
        }
    };
    // Supervision: a panic stops the host, see above.
    std::thread::Builder::new()
        .name(name.into())
        .spawn(guarded)
        .map_err(|e| Error::Open { path: format!("thread {name}"), problem: e.to_string() })
}

/// The running store. Dropping it without [`Service::stop`] is what a crash looks like to the next start.
#[derive(Debug)]
pub struct Service {
    pub(super) append_queue: Arc<AppendQueue>,
    pub(super) threads: Vec<JoinHandle<()>>,
    #[allow(dead_code, reason = "held for its drop")]
    pub(super) lock: Arc<Lock>,
}

impl Service {
    /// Writes what is queued and ends both threads. Blocking.
    pub fn stop(self) {
        self.append_queue.close();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
