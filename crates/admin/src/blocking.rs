//! Runs work that blocks on the disk on other threads than those of calls.

use tokio::runtime::{Handle, RuntimeFlavor};

use super::error::{Error, ErrorStatus};

/// Runs what blocks on the disk beside the calls.
pub(super) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(run).await;
    ended.unwrap_or_else(|e| Err(Error::new(ErrorStatus::Internal, e.to_string())))
}

/// Does short work that may wait for the disk on this thread, because a change to another thread and back takes longer than the work.
/// The thread's other tasks move to another one meanwhile, where the runtime has several.
pub(super) fn blocking_in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
