//! Conversion between the API's types and the model. Pure; tested with tables.

mod body;
mod device;
mod device_filter;
mod enrollment;
mod enums;
mod explain;
mod history;
mod mask;
mod objects;
mod params;
mod registry;
mod service;
mod symmetric;
mod twin;
mod validity;

#[cfg(fuzzing)]
pub(super) use body::read;
pub(super) use body::read_with;
pub(super) use device::{credential, device, device_patch, device_spec, endpoint, list_mask};
pub(super) use device_filter::DeviceFilter;
pub(super) use enrollment::{enrollment, shown as enrollment_shown};
pub(super) use enums::{command_status, event_kind, gateway_filter};
pub(super) use explain::{branches, call, chain};
pub(super) use history::{command, command_name, config, config_for_device, dead_letter, event, execution, state};
pub(super) use mask::{Mask, camel};
pub(super) use objects::Objects;
pub(super) use params::{Params, bad_token, token};
pub(super) use registry::{authority, registry, registry_patch, registry_spec};
pub(super) use service::{service, service_patch, service_spec};
#[cfg(fuzzing)]
pub(super) use symmetric::keys as symmetric_keys;
pub(super) use twin::twin;
pub(super) use validity::{authority_warnings, key_warnings};
