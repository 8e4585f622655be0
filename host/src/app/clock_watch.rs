//! Detects that the wall clock was set, and notifies the parts whose timers and deadlines depend on it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use switchbox_core::registry::{self, Changed};
use switchbox_delivery as delivery;
use switchbox_dispatch::Manager;
use switchbox_store as store;
use switchbox_support::{
    clock::{Anchor, Step, Watch},
    log_limit::LogLimit,
};

/// How soon a step is noticed.
const EVERY: Duration = Duration::from_secs(1);
/// Log lines a minute about such steps.
const LOGGED: u32 = 5;

pub(super) async fn run(
    plugins: Arc<Manager>,
    delivery: delivery::Handle,
    registry: registry::Handle,
    shutdown: CancellationToken,
) {
    let mut watch = Watch::new(Anchor::now());
    let mut log_limit = LogLimit::new(LOGGED, Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        let Some(step) = watch.check(Anchor::now()) else { continue };
        if let Some(more) = log_limit.allow(Instant::now()) {
            match step {
                Step::Back(by) => {
                    tracing::warn!(?by, "the wall clock went back; timers and deadlines are computed anew{more}")
                }
                Step::Ahead(by) => tracing::warn!(?by, "the wall clock went ahead, or the machine slept{more}"),
            }
        }
        match step {
            Step::Back(_) => match plugins.clock_set().await {
                Ok(()) => delivery.clock_set(),
                Err(store::Error::Closed) => return,
                Err(error) => tracing::error!(%error, "timers cannot be computed anew"),
            },
            // Credentials of connected clients may have expired.
            Step::Ahead(_) => registry.announce(Changed::Clock),
        }
    }
}
