//! Permits for room in the writer's queue, in bytes. A caller gets one before it queues an entry.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;

/// How much of the queue a caller may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueShare {
    /// The whole queue: for callers that are few, or that use little.
    Whole,
    /// A small part, which all such callers share: for callers that may be many or send much, so that others do not wait for them.
    Bounded,
}

/// Reserved bytes of the queue; given back when the entry is in the journal.
#[derive(Debug)]
#[allow(dead_code, reason = "held for its drop")]
pub struct QueuePermit {
    units: OwnedSemaphorePermit,
    /// Units of the bounded share, if it was reserved from that.
    of_bounded: Option<OwnedSemaphorePermit>,
}

/// The queue is counted in units, so that a permit fits the semaphore's counter.
const UNIT_BYTES: usize = 256;
/// What all callers of the bounded share together have in the queue: what others have to wait for. Enough for two commits of small events,
/// of which one gathers while the other is written.
const BOUNDED_BYTES: usize = 96 * 1024;

/// The room in the queue.
pub struct Permits {
    permits: Arc<Semaphore>,
    units: usize,
    bounded: Arc<Semaphore>,
    bounded_units: usize,
}

impl Permits {
    pub(super) fn new(queue_bytes: usize) -> Self {
        let units = (queue_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let bounded_units = (BOUNDED_BYTES / UNIT_BYTES).min(units.div_ceil(4));
        Self {
            permits: Arc::new(Semaphore::new(units)),
            units,
            bounded: Arc::new(Semaphore::new(bounded_units)),
            bounded_units,
        }
    }

    /// Waits for room for about this many bytes. The wait is short for callers of the whole queue, whatever those of the bounded share do.
    /// A request larger than the whole queue gets the whole queue.
    pub async fn reserve(&self, bytes: usize, share: QueueShare) -> Result<QueuePermit, Error> {
        let of_bounded = self.bounded_permit(bytes, share).await?;
        let units =
            self.permits.clone().acquire_many_owned(units_of(bytes, self.units)).await.map_err(|_| Error::Closed)?;
        Ok(QueuePermit { units, of_bounded })
    }

    /// Reserves room for what may be dropped. Returns `None` if that would use the last quarter of the queue. Waits only where many callers
    /// of the bounded share want some.
    pub async fn reserve_droppable(&self, bytes: usize, share: QueueShare) -> Result<Option<QueuePermit>, Error> {
        let of_bounded = self.bounded_permit(bytes, share).await?;
        let units = take_now(&self.permits, units_of(bytes, self.units));
        let units = units.filter(|_| self.permits.available_permits() >= self.units / 4);
        Ok(units.map(|units| QueuePermit { units, of_bounded }))
    }

    /// Waits until the callers of the bounded share have no more than that in the queue.
    async fn bounded_permit(&self, bytes: usize, share: QueueShare) -> Result<Option<OwnedSemaphorePermit>, Error> {
        match share {
            QueueShare::Whole => Ok(None),
            QueueShare::Bounded => {
                let units = units_of(bytes, self.bounded_units);
                let bounded_permit = self.bounded.clone().acquire_many_owned(units).await.map_err(|_| Error::Closed)?;
                Ok(Some(bounded_permit))
            }
        }
    }

    /// A caller that waits gets the error that the store is closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.bounded.close();
    }
}

fn take_now(from: &Arc<Semaphore>, units: u32) -> Option<OwnedSemaphorePermit> {
    from.clone().try_acquire_many_owned(units).ok()
}

fn units_of(bytes: usize, most: usize) -> u32 {
    u32::try_from((bytes / UNIT_BYTES + 1).min(most)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
