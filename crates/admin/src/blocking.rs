//! Runs work that blocks on the disk on other threads than those of calls.

use super::error::{Error, Kind};

/// Runs what blocks on the disk beside the calls.
pub(super) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(run).await;
    ended.unwrap_or_else(|e| Err(Error::new(Kind::Internal, e.to_string())))
}
