//! Service accounts between the API's JSON and the model.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Mask,
    device::{CredentialIn, credential, credential_out},
    enums::EnumStyle,
};
use crate::{admin::error::Error, clock, model::registry::ServiceSpec, store::ServiceDoc, topics};

/// A service account as a caller writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin) struct ServiceIn {
    id: Option<String>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    credentials: Vec<CredentialIn>,
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(rename = "createTime")]
    _create_time: Option<Value>,
}

impl ServiceIn {
    pub(in crate::admin) fn id(&self) -> Result<&str, Error> {
        self.id.as_deref().ok_or_else(|| Error::invalid("id is missing"))
    }

    pub(in crate::admin) fn spec(self) -> Result<ServiceSpec, Error> {
        for filter in self.publish.iter().chain(&self.subscribe) {
            topics::check_filter(filter).map_err(|e| Error::invalid(format!("{filter:?} is no topic filter: {e}")))?;
        }
        Ok(ServiceSpec {
            disabled: self.disabled,
            credentials: self.credentials.into_iter().map(credential).collect::<Result<_, _>>()?,
            publish: self.publish,
            subscribe: self.subscribe,
        })
    }
}

/// The account's spec with the fields that the mask names taken from `new`.
pub(in crate::admin) fn apply_service_mask(
    old: &ServiceSpec,
    new: ServiceSpec,
    mask: &Mask,
) -> Result<ServiceSpec, Error> {
    let mut spec = old.clone();
    for path in mask.paths() {
        match path {
            "disabled" => spec.disabled = new.disabled,
            "credentials" => spec.credentials.clone_from(&new.credentials),
            "publish" => spec.publish.clone_from(&new.publish),
            "subscribe" => spec.subscribe.clone_from(&new.subscribe),
            other => {
                return Err(Error::invalid(format!(
                    "updateMask names {other:?}; what can be changed is disabled, credentials, publish, subscribe"
                )));
            }
        }
    }
    Ok(spec)
}

pub(in crate::admin) fn service(service: &ServiceDoc, style: EnumStyle) -> Value {
    let ServiceDoc { name, spec, created_ms, .. } = service;
    json!({
        "id": name.as_str(),
        "disabled": spec.disabled,
        "credentials": spec.credentials.iter().map(|credential| credential_out(credential, style)).collect::<Vec<_>>(),
        "publish": spec.publish,
        "subscribe": spec.subscribe,
        "createTime": clock::rfc3339(*created_ms),
    })
}
