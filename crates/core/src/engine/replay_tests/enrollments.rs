//! Enrolments, about few devices, so that they meet.

use std::collections::BTreeMap;

use proptest::{option::of, prelude::*};

use switchbox_model::{
    RegistryName,
    enrollment::{Attestation, Enrollment},
    registry_change::RegistryChange,
    symmetric::SymmetricKeys,
};

pub(super) fn change(
    name: BoxedStrategy<RegistryName>,
    keys: BoxedStrategy<SymmetricKeys>,
    pem: BoxedStrategy<String>,
) -> impl Strategy<Value = RegistryChange> {
    let new = move || enrollment(keys.clone(), pem.clone()).prop_map(Box::new);
    (name, id(), new(), new(), 0..5_u8).prop_map(|(name, id, before, enrollment, kind)| match kind {
        0 => RegistryChange::EnrollmentDeleted { name, id },
        1 => RegistryChange::EnrollmentDeletedIf { name, id, before },
        2 => RegistryChange::EnrollmentReplaced { name, id, before, enrollment },
        _ => RegistryChange::EnrollmentCreated { name, id, enrollment },
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![Just("hall".to_owned()), Just("cellar".to_owned())]
}

fn enrollment(
    keys: impl Strategy<Value = SymmetricKeys>,
    pem: impl Strategy<Value = String>,
) -> impl Strategy<Value = Enrollment> {
    let attestation = prop_oneof![keys.prop_map(Attestation::Keys), pem.prop_map(Attestation::Certificate)];
    let payload = of(Just("{}".to_owned()));
    (of(Just("lamp".to_owned())), attestation, prop::bool::ANY, payload, 0..1_000_000_u64).prop_map(
        |(registration_id, attestation, disabled, payload, created_ms)| Enrollment {
            registration_id,
            device_id: None,
            attestation,
            disabled,
            config: payload.clone(),
            payload,
            metadata: BTreeMap::from([("room".to_owned(), "hall".to_owned())]),
            created_ms,
        },
    )
}
