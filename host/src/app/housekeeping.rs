//! Periodically records up to which event all are handled, removes old rows of the journal, and gives free memory back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

// Links the allocator also where it is not the global one.
use mimalloc as _;
use tokio_util::sync::CancellationToken;

use switchbox_core::ingest;
use switchbox_dispatch as dispatch;
use switchbox_dispatch::Manager;
use switchbox_files as files;
use switchbox_store as store;
use switchbox_support::{clock, log_limit::LogLimit};

const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for removed plugins and uploads whose time is over.
const DELETE_EVERY: Duration = Duration::from_secs(60);

pub(super) async fn run(
    store: store::Handle,
    ingest: ingest::Handle,
    dispatch: dispatch::Handle,
    plugins: Arc<Manager>,
    files: files::Handle,
    fatal: impl Fn(&store::Error),
    shutdown: CancellationToken,
) {
    let mut recorded = None;
    let mut log_limit = LogLimit::new(1, Instant::now());
    let mut last_deletion = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        match store.check_space().await {
            Ok(()) => {}
            Err(store::Error::Closed) => return,
            Err(error) => return fatal(&error),
        }
        // On a thread that may wait, because giving back many pages takes milliseconds. Supervision: the next second does it again.
        drop(tokio::task::spawn_blocking(release_memory));
        if last_deletion.elapsed() >= DELETE_EVERY {
            last_deletion = Instant::now();
            let files = files.clone();
            // What they have written is removed, which waits for the disk. Supervision: it is looked again in a minute.
            drop(tokio::task::spawn_blocking(move || files.remove_expired()));
            if let Err(error) = plugins.delete_overdue(clock::now_ms()).await {
                tracing::warn!(%error, "the state of removed plugins cannot be deleted");
            }
        }
        let low_water = dispatch.low_water(ingest.offered());
        // A stop takes the plugins out of the table, and then none of them holds the low water back.
        if shutdown.is_cancelled() {
            return;
        }
        // An idle host writes nothing.
        if recorded == Some(low_water) {
            continue;
        }
        match tidy(&store, low_water).await {
            Ok(()) => {
                tracing::debug!(%low_water, "recorded the low water: all events before it are handled");
                recorded = Some(low_water);
            }
            Err(store::Error::Closed) => return,
            Err(error) => {
                if let Some(more) = log_limit.allow(Instant::now()) {
                    tracing::warn!(%error, "old events cannot be removed{more}");
                }
            }
        }
    }
}

/// Gives memory that was freed a while ago back to the system. The allocator itself does so only while it serves other requests, so a host that
/// has become idle would keep what a large component or many clients took.
fn release_memory() {
    mi_collect(false);
}

#[allow(
    unsafe_code,
    reason = "a function of the allocator's C interface; it has no pointers, and any thread may call it"
)]
unsafe extern "C" {
    /// With `force` also what was freed just now. Source: `mimalloc.h`.
    safe fn mi_collect(force: bool);
}

pub(super) async fn tidy(store: &store::Handle, low_water: switchbox_model::Seq) -> Result<(), store::Error> {
    store.flush(Some(low_water)).await?;
    store.trim(low_water).await
}
