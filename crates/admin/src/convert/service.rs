//! Converts service accounts between the API's types and the model.

use super::{
    Mask,
    device::{credential, credential_out},
};
use crate::error::Error;
use switchbox_admin_api::{self as api, Time};
use switchbox_auth::{Action, access};
use switchbox_model::{limits::fields, patch::ServicePatch, registry::ServiceSpec};
use switchbox_mqtt_session::topics;
use switchbox_store::ServiceDoc;

pub(crate) fn service_spec(request: api::ServiceAccount) -> Result<ServiceSpec, Error> {
    check("publish", &request.publish, Action::Publish)?;
    check("subscribe", &request.subscribe, Action::Subscribe)?;
    Ok(ServiceSpec {
        disabled: request.disabled,
        credentials: request.credentials.into_iter().map(credential).collect::<Result<_, _>>()?,
        publish: request.publish,
        subscribe: request.subscribe,
    })
}

/// Refuses invalid filters, and filters that can never allow anything, so that the caller notices them now.
fn check(list: &str, filters: &[String], action: Action) -> Result<(), Error> {
    fields::SERVICE_FILTERS.check_len(list, filters.len()).map_err(|error| Error::from(error).of_field(list))?;
    for (index, filter) in filters.iter().enumerate() {
        let field = format!("{list}[{index}]");
        let short = fields::SERVICE_FILTER.check_len(&field, filter.len());
        short.map_err(|error| Error::from(error).of_field(&field))?;
        let refused = |why: String| Error::invalid(format!("{field}: {filter:?} {why}")).of_field(&field);
        topics::check_filter(filter).map_err(|error| refused(format!("is not a topic filter: {error}")))?;
        if let Some(why) = access::useless(action, filter) {
            return Err(refused(format!("would never allow anything: {why}")));
        }
    }
    Ok(())
}

/// The patch of the fields in the mask, with the values of `new`.
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

pub(crate) fn service(service: &ServiceDoc) -> api::ServiceAccount {
    let ServiceDoc { name, spec, password, created_ms, .. } = service;
    api::ServiceAccount {
        id: Some(name.to_string()),
        disabled: spec.disabled,
        credentials: spec.credentials.iter().map(credential_out).collect(),
        has_password: password.is_some().then_some(true),
        publish: spec.publish.clone(),
        subscribe: spec.subscribe.clone(),
        create_time: Some(Time(*created_ms)),
        warnings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_entry_that_can_never_work_is_refused_by_its_place() {
        let read = |text: Value| service_spec(serde_json::from_value(text).unwrap());
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
