//! The room that files take, of one device and of all, within a quota. Partial files count as well.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::error::Error;
use switchbox_model::{DeviceName, limits::names};

/// A file counts as a multiple of so many bytes, so that many small ones are bounded too.
pub(crate) const UNIT: u64 = 16 * 1024;

/// How much the files of one device, and of all devices, may take.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    pub device_bytes: u64,
    pub total_bytes: u64,
}

/// The bytes that a file of this size counts as.
pub(crate) fn counted(bytes: u64) -> u64 {
    bytes.max(1).div_ceil(UNIT).saturating_mul(UNIT)
}

#[derive(Debug)]
pub(crate) struct Usage {
    quota: Quota,
    taken: Mutex<UsedBytes>,
}

#[derive(Debug, Default)]
struct UsedBytes {
    all: u64,
    /// The bytes of each device that has files.
    by_device: HashMap<DeviceName, u64>,
}

impl Usage {
    pub(crate) fn new(quota: Quota) -> Arc<Self> {
        Arc::new(Self { quota, taken: Mutex::default() })
    }

    /// The bytes of all files, or of this device's.
    pub(crate) fn taken(&self, device: Option<&DeviceName>) -> u64 {
        let taken = self.taken.lock();
        device.map_or(taken.all, |device| taken.by_device.get(device).copied().unwrap_or(0))
    }

    /// Counts a file that is there already, also beyond the quota.
    pub(crate) fn count_existing(&self, device: &DeviceName, bytes: u64) {
        self.taken.lock().add(device, counted(bytes));
    }

    /// A file was deleted or replaced.
    pub(crate) fn release(&self, device: &DeviceName, bytes: u64) {
        self.taken.lock().remove(device, counted(bytes));
    }
}

impl UsedBytes {
    fn add(&mut self, device: &DeviceName, counted: u64) {
        self.all += counted;
        *self.by_device.entry(device.clone()).or_default() += counted;
    }

    fn remove(&mut self, device: &DeviceName, counted: u64) {
        self.all = self.all.saturating_sub(counted);
        if let Some(own) = self.by_device.get_mut(device) {
            *own = own.saturating_sub(counted);
            if *own == 0 {
                self.by_device.remove(device);
            }
        }
    }
}

/// Space that is reserved for one partial file, and released when this is dropped.
#[derive(Debug)]
pub(crate) struct SpaceReservation {
    usage: Arc<Usage>,
    device: DeviceName,
    counted: u64,
}

impl SpaceReservation {
    /// Reserves space for an empty file.
    pub(crate) fn of(usage: &Arc<Usage>, device: &DeviceName) -> Result<Self, Error> {
        let mut room = Self { usage: usage.clone(), device: device.clone(), counted: 0 };
        room.reserve(0)?;
        Ok(room)
    }

    /// Reserves what is missing for a file of this size.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<(), Error> {
        let more = counted(bytes).saturating_sub(self.counted);
        if more == 0 {
            return Ok(());
        }
        let Quota { device_bytes, total_bytes } = self.usage.quota;
        let mut taken = self.usage.taken.lock();
        let own = taken.by_device.get(&self.device).copied().unwrap_or(0);
        if own + more > device_bytes {
            let text = format!("files of one device may have {device_bytes} bytes together (files.device-bytes)");
            return Err(Error::Full { text, limit: names::FILES_DEVICE_BYTES });
        }
        if taken.all + more > total_bytes {
            let text = format!("files of all devices may have {total_bytes} bytes together (files.total-bytes)");
            return Err(Error::Full { text, limit: names::FILES_TOTAL_BYTES });
        }
        taken.add(&self.device, more);
        self.counted += more;
        Ok(())
    }

    /// The partial file became a file of this size, which is counted from now on in place of the reservation.
    pub(crate) fn count_stored(&mut self, bytes: u64) {
        let held = std::mem::take(&mut self.counted);
        let mut taken = self.usage.taken.lock();
        taken.remove(&self.device, held);
        taken.add(&self.device, counted(bytes));
    }
}

impl Drop for SpaceReservation {
    fn drop(&mut self) {
        if self.counted > 0 {
            self.usage.taken.lock().remove(&self.device, self.counted);
        }
    }
}
