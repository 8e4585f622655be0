//! Which devices are bound to which gateways, looked up both ways. Pure.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use switchbox_model::DeviceNum;

/// The bindings of all registries.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// The devices of each gateway.
    devices: HashMap<DeviceNum, BTreeSet<DeviceNum>>,
    /// The gateways of each device.
    gateways: HashMap<DeviceNum, BTreeSet<DeviceNum>>,
}

impl Bindings {
    pub(super) fn has(&self, gateway: DeviceNum, device: DeviceNum) -> bool {
        self.devices.get(&gateway).is_some_and(|devices| devices.contains(&device))
    }

    /// Binds the device to the gateway. Returns false if they were bound already.
    pub(super) fn insert(&mut self, gateway: DeviceNum, device: DeviceNum) -> bool {
        self.gateways.entry(device).or_default().insert(gateway);
        self.devices.entry(gateway).or_default().insert(device)
    }

    /// Removes the binding. Returns false if there was none.
    pub(super) fn remove(&mut self, gateway: DeviceNum, device: DeviceNum) -> bool {
        remove_from(&mut self.gateways, device, gateway);
        remove_from(&mut self.devices, gateway, device)
    }

    pub(super) fn devices_of(&self, gateway: DeviceNum) -> BTreeSet<DeviceNum> {
        self.devices.get(&gateway).cloned().unwrap_or_default()
    }

    pub(super) fn gateways_of(&self, device: DeviceNum) -> BTreeSet<DeviceNum> {
        self.gateways.get(&device).cloned().unwrap_or_default()
    }

    pub(super) fn has_devices(&self, gateway: DeviceNum) -> bool {
        self.devices.contains_key(&gateway)
    }
}

/// Removes a value from the set of the key, and the set if it is empty. Returns false if the set did not have the value.
fn remove_from(sets: &mut HashMap<DeviceNum, BTreeSet<DeviceNum>>, key: DeviceNum, value: DeviceNum) -> bool {
    let Some(set) = sets.get_mut(&key) else { return false };
    let is_removed = set.remove(&value);
    if set.is_empty() {
        sets.remove(&key);
    }
    is_removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_found_from_both_ends_until_it_is_unbound() {
        let [hub, other, lamp, plug] = [1, 2, 3, 4].map(DeviceNum);
        let mut bindings = Bindings::default();
        assert!(bindings.insert(hub, lamp) && bindings.insert(hub, plug) && bindings.insert(other, lamp));
        assert!(!bindings.insert(hub, lamp), "bound already");
        assert!(bindings.has(hub, lamp) && !bindings.has(lamp, hub) && !bindings.has(other, plug));
        assert_eq!(bindings.devices_of(hub), BTreeSet::from([lamp, plug]));
        assert_eq!(bindings.gateways_of(lamp), BTreeSet::from([hub, other]));
        assert!(bindings.remove(other, lamp) && !bindings.remove(other, lamp));
        assert!(!bindings.has_devices(other) && bindings.has_devices(hub));
        assert_eq!(bindings.gateways_of(lamp), BTreeSet::from([hub]));
    }
}
