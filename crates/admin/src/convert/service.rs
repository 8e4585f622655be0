//! Service accounts between the API's JSON and the model.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Mask,
    device::{CredentialIn, credential, credential_out},
    enums::EnumStyle,
};
use crate::error::Error;
use switchbox_auth::{Action, access};
use switchbox_model::{limits::fields, patch::ServicePatch, registry::ServiceSpec};
use switchbox_mqtt_session::topics;
use switchbox_store::ServiceDoc;
use switchbox_support::clock;

/// A service account as a caller writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServiceIn {
    /// Bounded by `fields::ID`.
    id: Option<String>,
    #[serde(default)]
    disabled: bool,
    /// Bounded by `fields::CREDENTIALS`.
    #[serde(default)]
    credentials: Vec<CredentialIn>,
    /// Bounded by `fields::SERVICE_FILTERS`, each by `fields::SERVICE_FILTER`.
    #[serde(default)]
    publish: Vec<String>,
    /// Bounded by the same as `publish`: `fields::SERVICE_FILTERS`.
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(rename = "createTime")]
    _create_time: Option<Value>,
    #[serde(rename = "warnings")]
    _warnings: Option<Value>,
}

impl ServiceIn {
    pub(crate) fn id(&self) -> Result<&str, Error> {
        self.id.as_deref().ok_or_else(|| Error::invalid("id is missing"))
    }

    pub(crate) fn spec(self) -> Result<ServiceSpec, Error> {
        check("publish", &self.publish, Action::Publish)?;
        check("subscribe", &self.subscribe, Action::Subscribe)?;
        Ok(ServiceSpec {
            disabled: self.disabled,
            credentials: self.credentials.into_iter().map(credential).collect::<Result<_, _>>()?,
            publish: self.publish,
            subscribe: self.subscribe,
        })
    }
}

/// Refuses what is no filter and what would never allow anything, so that it is found now and not by the program.
fn check(list: &str, filters: &[String], action: Action) -> Result<(), Error> {
    fields::SERVICE_FILTERS.check_len(list, filters.len()).map_err(|error| Error::from(error).of_field(list))?;
    for (index, filter) in filters.iter().enumerate() {
        let field = format!("{list}[{index}]");
        let short = fields::SERVICE_FILTER.check_len(&field, filter.len());
        short.map_err(|error| Error::from(error).of_field(&field))?;
        let refused = |why: String| Error::invalid(format!("{field}: {filter:?} {why}")).of_field(&field);
        topics::check_filter(filter).map_err(|error| refused(format!("is no topic filter: {error}")))?;
        if let Some(why) = access::useless(action, filter) {
            return Err(refused(format!("would never allow anything: {why}")));
        }
    }
    Ok(())
}

/// What the mask names, with its values in `new`.
pub(crate) fn service_patch(new: ServiceSpec, mask: &Mask) -> Result<ServicePatch, Error> {
    let ServiceSpec { disabled, credentials, publish, subscribe } = new;
    let mut patch = ServicePatch::default();
    for path in mask.paths() {
        match path {
            "disabled" => patch.disabled = Some(disabled),
            "credentials" => patch.credentials = Some(credentials.clone()),
            "publish" => patch.publish = Some(publish.clone()),
            "subscribe" => patch.subscribe = Some(subscribe.clone()),
            other => {
                return Err(Error::invalid(format!(
                    "updateMask names {other:?}; what can be changed is disabled, credentials, publish, subscribe"
                )));
            }
        }
    }
    Ok(patch)
}

pub(crate) fn service(service: &ServiceDoc, style: EnumStyle) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_can_never_work_is_refused_by_its_place() {
        let read = |text: Value| serde_json::from_value::<ServiceIn>(text).unwrap().spec();
        assert!(read(json!({"publish": ["alerts/#"], "subscribe": ["registries/+/devices/+/#"]})).is_ok());
        for (written, field) in [
            (json!({"publish": ["alerts/#", "/devices/lamp-1/commands"]}), "publish[1]"),
            (json!({"publish": ["registries/#"]}), "publish[0]"),
            (json!({"subscribe": ["/devices/+/events"]}), "subscribe[0]"),
            (json!({"subscribe": ["a#"]}), "subscribe[0]"),
        ] {
            let error = read(written).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{error}");
        }
    }
}
