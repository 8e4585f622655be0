//! The partition of a device. It depends on the device's id alone, so each partition has the events of a device in order.

use twox_hash::XxHash3_64;

use switchbox_model::DeviceId;

pub(crate) fn of(device: &DeviceId, partitions: u16) -> u16 {
    let hash = XxHash3_64::oneshot(device.as_str().as_bytes());
    u16::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers must find their positions again after a restart of the host or an upgrade.
    #[test]
    fn a_device_stays_in_its_partition() {
        let partition = |id: &str| of(&DeviceId::new(id).unwrap(), 4);
        assert_eq!(["lamp-1", "lamp-2", "switch-1", "door-7"].map(partition), [2, 2, 3, 0]);
        let spread: std::collections::BTreeSet<_> = (0..100).map(|n| partition(&format!("lamp-{n}"))).collect();
        assert_eq!(spread.len(), 4);
    }
}
