//! How much a device, a registry or a service account may hold. Asked where an entry is applied, where it is known what is there
//! already, and before an entry is written, of what its call alone brings.

use switchbox_model::{
    limits::{TooMuch, fields},
    registry::{DeviceSpec, RegistrySpec, ServiceSpec},
};

pub(super) fn check_device(spec: &DeviceSpec) -> Result<(), TooMuch> {
    let bytes = spec.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    fields::METADATA.check_len("metadata", bytes)?;
    fields::CREDENTIALS.check_len("credentials of a device", spec.credentials.len())
}

pub(super) fn check_registry(spec: &RegistrySpec) -> Result<(), TooMuch> {
    fields::AUTHORITIES.check_len("credentials of a registry", spec.authorities.len())
}

pub(super) fn check_service(spec: &ServiceSpec) -> Result<(), TooMuch> {
    fields::CREDENTIALS.check_len("credentials of a service account", spec.credentials.len())?;
    fields::SERVICE_FILTERS.check_len("publish", spec.publish.len())?;
    fields::SERVICE_FILTERS.check_len("subscribe", spec.subscribe.len())
}
