//! Changes of twins and of symmetric keys, about few devices, so that they meet.

use bytes::Bytes;
use proptest::{option::of, prelude::*};

use switchbox_model::{
    Cause, DeviceNum, RegistryChange, RegistryName,
    patch::KeyOwner,
    symmetric::{KeySlot, SymmetricKeys},
    twin_change::{DocumentChange, TagsChange, TwinChange},
};

/// Parts that other entries have as well: a device, a registry, a payload, keys and a time.
type Parts = (
    BoxedStrategy<DeviceNum>,
    BoxedStrategy<RegistryName>,
    BoxedStrategy<Bytes>,
    BoxedStrategy<SymmetricKeys>,
    BoxedStrategy<u64>,
);

pub(super) fn change((device, registry, payload, keys, time): Parts) -> impl Strategy<Value = RegistryChange> {
    let document = (payload, prop::bool::ANY).prop_map(|(bytes, merged)| match merged {
        true => DocumentChange::Merged(bytes),
        false => DocumentChange::Replaced(bytes),
    });
    let tags = document.clone().prop_map(|change| TagsChange { key: "room".into(), change });
    let expected = prop_oneof![3 => Just(None), 1 => (0..4_u64).prop_map(Some)];
    let twin =
        (device.clone(), expected, of(tags), of(document), time).prop_map(|(num, expected, tags, desired, at)| {
            let cause = Cause::Api { caller: "operator".into() };
            RegistryChange::TwinChanged(Box::new(TwinChange { num, expected, tags, desired, cause, time_ms: at }))
        });
    let access_key = registry.prop_map(|registry| KeyOwner::AccessKey { registry, name: "service".into() });
    let owner = prop_oneof![device.prop_map(KeyOwner::Device), access_key];
    let which = prop_oneof![Just(KeySlot::Primary), Just(KeySlot::Secondary)];
    let key = (owner, which, keys).prop_map(|(owner, which, keys)| {
        let key = keys.primary;
        RegistryChange::KeyRenewed { owner, which, key }
    });
    prop_oneof![3 => twin, 1 => key]
}
