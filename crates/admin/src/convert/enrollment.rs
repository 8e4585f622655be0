//! Converts enrolments from requests and for answers.

use super::{device::check_metadata, symmetric};
use crate::error::Error;
use switchbox_admin_api as api;
use switchbox_auth::provisioning;
use switchbox_model::{
    DeviceId, RegistryName,
    enrollment::{Attestation, Enrollment},
};
use switchbox_support::clock;

/// The enrolment's id and its content.
pub(crate) fn enrollment(request: api::Enrollment) -> Result<(String, Enrollment), Error> {
    let id = request.id.ok_or_else(|| Error::invalid("id is missing").of_field("id"))?;
    let checked = |field: &str, text: String| match DeviceId::new(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::invalid(error.to_string()).of_field(field)),
    };
    let id = checked("id", id)?;
    check_metadata(&request.metadata)?;
    let registration_id = request.registration_id.map(|text| checked("registrationId", text)).transpose()?;
    if request.device_id.is_some() && registration_id.is_none() {
        return Err(
            Error::invalid("deviceId is for an enrolment of one device, with a registrationId").of_field("deviceId")
        );
    }
    for (field, text) in [("payload", &request.payload), ("config", &request.config)] {
        let is_json = |text: &String| serde_json::from_str::<serde_json::Value>(text).is_ok();
        if field == "payload" && !text.as_ref().is_none_or(is_json) {
            return Err(Error::invalid("payload must be JSON").of_field(field));
        }
    }
    let attestation = match (request.certificate, request.symmetric_keys) {
        (Some(_), Some(_)) => return Err(Error::invalid("symmetricKeys and certificate: give one of them")),
        (Some(pem), None) => provisioning::of_certificate(pem, registration_id.is_some())
            .map_err(|why| Error::invalid(why).of_field("certificate"))?,
        (None, keys) => Attestation::Keys(symmetric::keys(keys.unwrap_or_default())?),
    };
    let enrollment = Enrollment {
        registration_id,
        device_id: request.device_id.map(|id| Ok::<_, Error>(DeviceId::new(&id)?)).transpose()?,
        attestation,
        disabled: request.disabled,
        payload: request.payload,
        config: request.config,
        metadata: request.metadata,
        created_ms: clock::now_ms(),
    };
    Ok((id, enrollment))
}

/// Omits the keys, unless they are to be shown.
pub(crate) fn shown(registry: &RegistryName, id: &str, enrollment: &Enrollment, with_keys: bool) -> api::Enrollment {
    let (keys, certificate) = match &enrollment.attestation {
        Attestation::Keys(keys) => (Some(keys).filter(|_| with_keys), None),
        Attestation::Certificate(pem) => (None, Some(pem.clone())),
    };
    let keys = keys.map(|keys| api::SymmetricKeys {
        primary_key: Some(keys.primary.0.to_string()),
        secondary_key: Some(keys.secondary.0.to_string()),
    });
    api::Enrollment {
        id: Some(id.to_owned()),
        registration_id: enrollment.registration_id.clone(),
        device_id: enrollment.device_id.as_ref().map(DeviceId::to_string),
        symmetric_keys: keys,
        certificate,
        disabled: enrollment.disabled,
        payload: enrollment.payload.clone(),
        config: enrollment.config.clone(),
        metadata: enrollment.metadata.clone(),
        id_scope: Some(registry.id().to_owned()),
        create_time: Some(api::Time(enrollment.created_ms)),
    }
}
