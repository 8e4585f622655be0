//! Permits for room in the writer's queue, in bytes. A caller gets one before it queues an entry.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;
use switchbox_support::scheduling::{PriorityClass, has_foreground};

/// Reserved bytes of the queue; given back when the entry is in the journal.
#[derive(Debug)]
#[allow(dead_code, reason = "held for its drop")]
pub struct QueuePermit {
    units: OwnedSemaphorePermit,
    /// Of what the background may take.
    of_background: Option<OwnedSemaphorePermit>,
}

/// The queue is counted in units, so that a permit fits the semaphore's counter.
const UNIT_BYTES: usize = 256;
/// What all of the background together have in the queue: what others have to wait behind. Enough for two commits of small events,
/// of which one gathers while the other is written.
const BACKGROUND_BYTES: usize = 96 * 1024;
/// What takes the disk longer than a commit of small events.
const LARGE_BYTES: usize = 32 * 1024;
/// How long the disk is reserved for the foreground before the background writes this many bytes: the background gets 32 MiB a second.
const BACK_OFF: Duration = Duration::from_millis(1);

pub(super) struct Permits {
    permits: Arc<Semaphore>,
    units: usize,
    background: Arc<Semaphore>,
    background_units: usize,
}

impl Permits {
    pub(super) fn new(queue_bytes: usize) -> Self {
        let units = (queue_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let background_units = (BACKGROUND_BYTES / UNIT_BYTES).min(units.div_ceil(4));
        Self {
            permits: Arc::new(Semaphore::new(units)),
            units,
            background: Arc::new(Semaphore::new(background_units)),
            background_units,
        }
    }

    /// Waits for room. A request larger than the whole queue gets the whole queue.
    pub(super) async fn reserve(&self, bytes: usize, class: PriorityClass) -> Result<QueuePermit, Error> {
        let of_background = self.background_permit(bytes, class).await?;
        let units =
            self.permits.clone().acquire_many_owned(units_of(bytes, self.units)).await.map_err(|_| Error::Closed)?;
        Ok(QueuePermit { units, of_background })
    }

    /// Returns `None` if the queue has no room.
    pub(super) fn try_reserve(&self, bytes: usize, class: PriorityClass) -> Option<QueuePermit> {
        let of_background = match class {
            PriorityClass::Foreground => None,
            PriorityClass::Background => Some(take_now(&self.background, units_of(bytes, self.background_units))?),
        };
        Some(QueuePermit { units: take_now(&self.permits, units_of(bytes, self.units))?, of_background })
    }

    /// Reserves room for what may be dropped. Returns `None` if that would use the last quarter of the queue.
    pub(super) async fn reserve_droppable(
        &self,
        bytes: usize,
        class: PriorityClass,
    ) -> Result<Option<QueuePermit>, Error> {
        let of_background = self.background_permit(bytes, class).await?;
        let units = take_now(&self.permits, units_of(bytes, self.units));
        let units = units.filter(|_| self.permits.available_permits() >= self.units / 4);
        Ok(units.map(|units| QueuePermit { units, of_background }))
    }

    /// Waits until the background has no more than its part of the queue.
    async fn background_permit(
        &self,
        bytes: usize,
        class: PriorityClass,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        match class {
            PriorityClass::Foreground => Ok(None),
            PriorityClass::Background => {
                let units = units_of(bytes, self.background_units);
                let background_permit =
                    self.background.clone().acquire_many_owned(units).await.map_err(|_| Error::Closed)?;
                let back_off = back_off_before(bytes);
                if !back_off.is_zero() && has_foreground(Instant::now()) {
                    tokio::time::sleep(back_off).await;
                }
                Ok(Some(background_permit))
            }
        }
    }

    /// A caller that waits gets the error that the store is closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.background.close();
    }
}

fn take_now(from: &Arc<Semaphore>, units: u32) -> Option<OwnedSemaphorePermit> {
    from.clone().try_acquire_many_owned(units).ok()
}

/// How long to wait before this many bytes are written.
fn back_off_before(bytes: usize) -> Duration {
    BACK_OFF * u32::try_from(bytes / LARGE_BYTES).unwrap_or(u32::MAX)
}

fn units_of(bytes: usize, most: usize) -> u32 {
    u32::try_from((bytes / UNIT_BYTES + 1).min(most)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
