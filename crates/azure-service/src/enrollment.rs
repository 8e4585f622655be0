//! Enrolments in the format of the provisioning service: an individual enrolment is for one device, an enrolment group for many. A
//! registry is the only hub of its enrolments.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use twox_hash::XxHash3_64;

use crate::{
    app::App,
    authentication::KeysIn,
    error::ServiceError,
    members::{self, Members},
    tags,
};
use switchbox_auth::provisioning;
use switchbox_model::{
    DeviceId, RegistryName,
    enrollment::{Attestation, Enrollment},
};
use switchbox_support::clock;

/// What a caller sets. Fields that the host sets, and how often devices are assigned to a hub, are accepted and ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrollmentIn {
    pub(crate) registration_id: Option<String>,
    pub(crate) enrollment_group_id: Option<String>,
    device_id: Option<String>,
    attestation: Option<AttestationIn>,
    provisioning_status: Option<String>,
    iot_hub_host_name: Option<String>,
    iot_hubs: Option<Vec<String>>,
    initial_twin: Option<TwinIn>,
    allocation_policy: Option<String>,
    capabilities: Option<CapabilitiesIn>,
    pub(crate) etag: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapabilitiesIn {
    iot_edge: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationIn {
    #[serde(rename = "type")]
    kind: Option<String>,
    symmetric_key: Option<KeysIn>,
    x509: Option<X509In>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct X509In {
    client_certificates: Option<CertificatesIn>,
    signing_certificates: Option<CertificatesIn>,
    ca_references: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct CertificatesIn {
    primary: Option<CertificateIn>,
    secondary: Option<CertificateIn>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct CertificateIn {
    certificate: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct TwinIn {
    tags: Option<Members>,
    properties: Option<PropertiesIn>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct PropertiesIn {
    desired: Option<Members>,
}

/// Whether an enrolment is for one device or for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Device,
    Group,
}

impl Kind {
    pub(crate) fn of(is_group: bool) -> Self {
        if is_group { Self::Group } else { Self::Device }
    }

    pub(crate) fn is_of(self, enrollment: &Enrollment) -> bool {
        (self == Self::Device) == enrollment.registration_id.is_some()
    }
}

impl EnrollmentIn {
    /// The enrolment that takes the place of `before`, or a new one with this id.
    pub(crate) fn enrollment(
        &self,
        app: &App,
        registry: &RegistryName,
        (kind, id): (Kind, &str),
        before: Option<&Enrollment>,
    ) -> Result<Enrollment, ServiceError> {
        self.check(app, registry)?;
        let checked = |text: &str| DeviceId::new(text).map_err(|error| ServiceError::invalid(error.to_string()));
        checked(id)?;
        let twin = self.initial_twin.clone().unwrap_or_default();
        let desired = twin.properties.and_then(|properties| properties.desired);
        let mut metadata = before.map(|before| before.metadata.clone()).unwrap_or_default();
        metadata.remove(tags::KEY);
        let text = |members: &Members| {
            members::text(members).map_err(|problem| ServiceError::invalid(format!("initialTwin: {problem}")))
        };
        let tags = twin.tags.as_ref().map(text).transpose()?;
        metadata.extend(tags.map(|tags| (tags::KEY.to_owned(), tags)));
        Ok(Enrollment {
            registration_id: (kind == Kind::Device).then(|| id.to_owned()),
            device_id: self.device_id(kind)?.map(checked).transpose()?,
            attestation: self.attestation(kind, before)?,
            disabled: self.is_disabled()?,
            payload: before.and_then(|before| before.payload.clone()),
            config: desired.map(without_metadata).as_ref().map(text).transpose()?,
            metadata,
            created_ms: before.map_or_else(clock::now_ms, |before| before.created_ms),
        })
    }

    /// Refuses what this host does not have.
    fn check(&self, app: &App, registry: &RegistryName) -> Result<(), ServiceError> {
        if self.capabilities.as_ref().and_then(|capabilities| capabilities.iot_edge) == Some(true) {
            return Err(ServiceError::not_supported("capabilities.iotEdge"));
        }
        if self.allocation_policy.as_ref().is_some_and(|policy| policy.eq_ignore_ascii_case("custom")) {
            return Err(ServiceError::not_supported("allocationPolicy custom"));
        }
        let hubs = self.iot_hub_host_name.iter().chain(self.iot_hubs.iter().flatten()).filter(|hub| !hub.is_empty());
        for hub in hubs {
            if app.hubs.registry(hub) != *registry {
                let text = format!("devices of this hub's enrolments are assigned to this hub only, not to {hub:?}");
                return Err(ServiceError::invalid(text));
            }
        }
        Ok(())
    }

    fn device_id(&self, kind: Kind) -> Result<Option<&str>, ServiceError> {
        match self.device_id.as_deref().filter(|id| !id.is_empty()) {
            Some(_) if kind == Kind::Group => Err(ServiceError::invalid("deviceId is for an individual enrolment")),
            id => Ok(id),
        }
    }

    fn is_disabled(&self) -> Result<bool, ServiceError> {
        match self.provisioning_status.as_deref() {
            None => Ok(false),
            Some(status) if status.eq_ignore_ascii_case("enabled") => Ok(false),
            Some(status) if status.eq_ignore_ascii_case("disabled") => Ok(true),
            Some(other) => {
                Err(ServiceError::invalid(format!("provisioningStatus is enabled or disabled, not {other:?}")))
            }
        }
    }

    /// Keys that are not given are those of `before`, or new ones.
    fn attestation(&self, kind: Kind, before: Option<&Enrollment>) -> Result<Attestation, ServiceError> {
        let attestation_in =
            self.attestation.as_ref().ok_or_else(|| ServiceError::invalid("attestation is missing"))?;
        match attestation_in.kind.as_deref().unwrap_or("symmetricKey") {
            "symmetricKey" => {
                let before = before.and_then(|before| match &before.attestation {
                    Attestation::Keys(keys) => Some(keys),
                    Attestation::Certificate(_) => None,
                });
                Ok(Attestation::Keys(attestation_in.symmetric_key.clone().unwrap_or_default().complete(before)?))
            }
            "x509" => {
                let x509 = attestation_in.x509.as_ref();
                match x509.and_then(|x509| x509.certificate(kind).transpose()).transpose()? {
                    Some(pem) => provisioning::of_certificate(pem, kind == Kind::Device).map_err(ServiceError::invalid),
                    // What `GET` answered is written back.
                    None => match before.map(|before| &before.attestation) {
                        Some(same @ Attestation::Certificate(_)) => Ok(same.clone()),
                        _ => Err(ServiceError::invalid(
                            "x509.clientCertificates.primary.certificate (of a group: x509.signingCertificates) is missing",
                        )),
                    },
                }
            }
            other => Err(ServiceError::not_supported(&format!("attestation {other:?} (symmetricKey and x509 are)"))),
        }
    }
}

impl X509In {
    /// The certificate as PEM, from PEM or from base64 of the DER.
    fn certificate(&self, kind: Kind) -> Result<Option<String>, ServiceError> {
        if self.ca_references.as_ref().is_some_and(|references| !references.is_null()) {
            return Err(ServiceError::not_supported("x509.caReferences"));
        }
        let certificates = match kind {
            Kind::Device => &self.client_certificates,
            Kind::Group => &self.signing_certificates,
        };
        let text = |certificate: &Option<CertificateIn>| certificate.as_ref().and_then(|one| one.certificate.clone());
        let Some(certificates) = certificates else { return Ok(None) };
        if text(&certificates.secondary).is_some() {
            return Err(ServiceError::not_supported("a secondary certificate"));
        }
        let as_pem = |text: String| match text.contains("-----BEGIN") {
            true => text,
            false => format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", text.trim()),
        };
        Ok(text(&certificates.primary).map(as_pem))
    }
}

fn without_metadata(mut desired: Members) -> Members {
    desired.retain(|name, _| !name.starts_with('$'));
    desired
}

/// The ETag of its content, as callers give it back.
pub(crate) fn etag(enrollment: &Enrollment) -> String {
    let text = serde_json::to_vec(enrollment).unwrap_or_default();
    STANDARD.encode(XxHash3_64::oneshot(&text).to_be_bytes())
}

/// An enrolment for a caller. The values of its twin keep their text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrollmentOut {
    #[serde(flatten)]
    fields: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_twin: Option<TwinIn>,
}

/// Omits the keys, unless they are to be shown.
pub(crate) fn to_json(id: &str, enrollment: &Enrollment, with_keys: bool) -> EnrollmentOut {
    let time = clock::rfc3339(enrollment.created_ms);
    let desired = enrollment.config.as_ref().map(|config| members::of_text(config.as_bytes()));
    let tags = enrollment.metadata.get(tags::KEY).map(|tags| members::of_text(tags.as_bytes()));
    let mut shown = json!({
        "attestation": attestation_json(enrollment, with_keys),
        "provisioningStatus": if enrollment.disabled { "disabled" } else { "enabled" },
        "etag": etag(enrollment),
        "createdDateTimeUtc": time,
        "lastUpdatedDateTimeUtc": time,
        "allocationPolicy": "static",
        "reprovisionPolicy": { "updateHubAssignment": true, "migrateDeviceData": true },
        "capabilities": { "iotEdge": false },
    });
    if let Some(fields) = shown.as_object_mut() {
        match &enrollment.registration_id {
            Some(registration_id) => {
                fields.insert("registrationId".into(), registration_id.as_str().into());
                fields.extend(enrollment.device_id.as_ref().map(|id| ("deviceId".to_owned(), id.as_str().into())));
            }
            None => drop(fields.insert("enrollmentGroupId".into(), id.into())),
        }
    }
    let initial_twin = (desired.is_some() || tags.is_some()).then(|| TwinIn {
        tags: Some(tags.unwrap_or_default()),
        properties: Some(PropertiesIn { desired: Some(desired.unwrap_or_default()) }),
    });
    EnrollmentOut { fields: shown, initial_twin }
}

pub(crate) fn attestation_json(enrollment: &Enrollment, with_keys: bool) -> Value {
    match &enrollment.attestation {
        Attestation::Keys(keys) if with_keys => json!({
            "type": "symmetricKey",
            "symmetricKey": { "primaryKey": &*keys.primary.0, "secondaryKey": &*keys.secondary.0 },
        }),
        Attestation::Keys(_) => json!({ "type": "symmetricKey" }),
        Attestation::Certificate(pem) => {
            let is_of_device = enrollment.registration_id.is_some();
            let certificates = if is_of_device { "clientCertificates" } else { "signingCertificates" };
            json!({ "type": "x509", "x509": { certificates: { "primary": { "certificate": pem } } } })
        }
    }
}
