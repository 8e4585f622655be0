//! Limits for the content of a device, a registry or a service account. A call's own content is checked before its entry is written. The
//! total is checked when the entry is applied.

use switchbox_model::{
    enrollment::{Attestation, Enrollment},
    limits::{TooMuch, fields},
    registry::{DeviceSpec, RegistrySpec, ServiceSpec},
    symmetric::SymmetricKeys,
};

pub(super) fn check_device(spec: &DeviceSpec) -> Result<(), TooMuch> {
    let bytes = spec.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    fields::METADATA.check_len("metadata", bytes)?;
    spec.symmetric_keys.as_deref().map_or(Ok(()), check_keys)?;
    fields::CREDENTIALS.check_len("credentials of a device", spec.credentials.len())
}

fn check_keys(keys: &SymmetricKeys) -> Result<(), TooMuch> {
    keys.both().into_iter().try_for_each(|key| fields::SYMMETRIC_KEY.check_len("a symmetric key", key.0.len()))
}

pub(super) fn check_registry(spec: &RegistrySpec) -> Result<(), TooMuch> {
    fields::ACCESS_KEYS.check_len("access keys of a registry", spec.access_keys.len())?;
    spec.access_keys.values().try_for_each(check_keys)?;
    fields::AUTHORITIES.check_len("credentials of a registry", spec.authorities.len())
}

pub(super) fn check_service(spec: &ServiceSpec) -> Result<(), TooMuch> {
    fields::CREDENTIALS.check_len("credentials of a service account", spec.credentials.len())?;
    fields::SERVICE_FILTERS.check_len("publish", spec.publish.len())?;
    fields::SERVICE_FILTERS.check_len("subscribe", spec.subscribe.len())
}

pub(super) fn check_enrollment(enrollment: &Enrollment) -> Result<(), TooMuch> {
    match &enrollment.attestation {
        Attestation::Keys(keys) => check_keys(keys)?,
        Attestation::Certificate(pem) => fields::CREDENTIAL.check_len("the certificate", pem.len())?,
    }
    let metadata = enrollment.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    fields::ENROLLMENT.check_len("metadata of an enrolment", metadata)?;
    fields::ENROLLMENT.check_len("payload", enrollment.payload.as_ref().map_or(0, String::len))?;
    fields::CONFIG.check_len("a config", enrollment.config.as_ref().map_or(0, String::len))
}
