//! Between the API's JSON and the model: pure, and tested as tables.

mod body;
mod device;
mod enums;
mod explain;
mod history;
mod mask;
mod params;
mod query;
mod registry;
mod scalars;
mod service;
mod symmetric;
mod validity;

pub(super) use body::read;
pub(super) use device::{CredentialIn, DeviceIn, credential, device, device_patch, list_mask, time};
pub(super) use enums::{EnumStyle, command_status, event_kind, gateway_filter};
pub(super) use explain::{branches, step};
pub(super) use history::{command, command_name, config, config_for_device, dead_letter, event, execution, state};
pub(super) use mask::{Mask, camel};
pub(super) use params::{Params, bad_token, token};
pub(super) use query::BodyShape;
pub(super) use registry::{AuthorityIn, RegistryIn, registry, registry_patch};
pub(super) use scalars::{Base64, Int64, Span};
pub(super) use service::{ServiceIn, service, service_patch};
pub(super) use validity::{authority_warnings, key_warnings};
