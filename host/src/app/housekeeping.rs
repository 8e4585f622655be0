//! Notes now and then up to where all events are handled, and lets old rows of the journal go.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{dispatch, ingest, store};

const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(
    store: store::Handle,
    ingest: ingest::Handle,
    dispatch: dispatch::Handle,
    shutdown: CancellationToken,
) {
    let mut noted = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        let low_water = dispatch.low_water(ingest.offered());
        // An idle host writes nothing.
        if noted == Some(low_water) {
            continue;
        }
        match tidy(&store, low_water).await {
            Ok(()) => {
                tracing::debug!(%low_water, "noted the low water: all events before it are handled");
                noted = Some(low_water);
            }
            Err(store::Error::Closed) => return,
            Err(error) => tracing::warn!(%error, "old events cannot be let go"),
        }
    }
}

async fn tidy(store: &store::Handle, low_water: crate::model::Seq) -> Result<(), store::Error> {
    store.settle(Some(low_water)).await?;
    store.trim(low_water).await
}
