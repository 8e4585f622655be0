//! Devices that are not registered yet: what they prove by an enrolment, and their registration.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Instant};

use rustls::pki_types::CertificateDer;

use super::{
    access::Access,
    attestation::{candidates, derived, pem},
    auth_context::{AccessExpiry, AuthContext, Principal, Proof},
    certificates,
    handle::{Handle, answer},
    refusal::{AuthRefusal, refused},
    symmetric::{self, Signed},
};
use switchbox_core::registry::{self, Device, Registration};
use switchbox_model::{
    Cause, DeviceId, DeviceName, RegistryName,
    enrollment::{Attestation, ENROLLMENT, Enrollment},
    limits::{CHANGE_ATTEMPTS, names},
    patch::{DevicePatch, FirstConfig},
    registry::{Credential, DeviceSpec},
    symmetric::SymmetricKeys,
};
use switchbox_support::clock;

pub use super::attestation::{certificate, of_certificate};

/// The credentials of a device that asks to be registered.
#[derive(Clone, Copy)]
pub struct RegistrationRequest<'a> {
    pub registry: &'a RegistryName,
    pub registration_id: &'a str,
    pub address: IpAddr,
    /// Those of the TLS handshake, its own first, whose key it holds.
    pub certificates: &'a [CertificateDer<'static>],
    /// `None` if the device uses a certificate.
    pub signed: Option<&'a Signed>,
    /// The credential of the device from then on. `None` if it keeps the one that it uses now.
    pub public_key: Option<&'a Credential>,
}

/// A device that has proved that an enrolment is for it.
#[derive(Debug, Clone)]
pub struct Registrant {
    registry: RegistryName,
    registration_id: String,
    enrollment: String,
    /// What the device proves itself with from then on.
    with: RegistrantProof,
    end: AccessExpiry,
}

#[derive(Debug, Clone)]
enum RegistrantProof {
    Keys(Box<SymmetricKeys>),
    /// A certificate or a public key.
    Credential(Box<Credential>),
}

/// A registered device, with the payload of its enrolment.
#[derive(Debug, Clone)]
pub struct Registered {
    pub device: Arc<Device>,
    pub payload: Option<String>,
}

/// Why a device is not registered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    #[error("the enrolment {0} was deleted, disabled or changed")]
    Gone(String),
    #[error("the device id {0:?} cannot be one: {1}")]
    Id(String, String),
    #[error("there is a device {0} that another enrolment or an operator registered")]
    Taken(DeviceId),
    #[error("the device is not registered yet")]
    NotYet,
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

impl RegisterError {
    /// As HTTP says it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Gone(_) => 401,
            Self::Id(..) => 400,
            Self::Taken(_) => 409,
            Self::NotYet => 404,
            Self::Registry(registry::Error::Store(_) | registry::Error::OtherRevision { .. }) => 503,
            Self::Registry(_) => 400,
        }
    }
}

impl Registrant {
    #[must_use]
    pub fn registration_id(&self) -> &str {
        &self.registration_id
    }

    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// The access of its connection: it may only ask for its registration.
    #[must_use]
    pub fn auth_context(&self) -> AuthContext {
        AuthContext { principal: Principal::Client, access: Access::Own, proof: Proof::None, end: self.end }
    }
}

impl Handle {
    /// Finds the enrolment that is for the device, and checks that it is the device.
    pub async fn admit_registrant(&self, request: RegistrationRequest<'_>) -> Result<Registrant, AuthRefusal> {
        let began = Instant::now();
        answer(began, self.prove_registrant(request)).await
    }

    fn prove_registrant(&self, request: RegistrationRequest<'_>) -> Result<Registrant, AuthRefusal> {
        let found = self.registry.registry(request.registry);
        let enrollments = found.map(|registry| registry.enrollments).unwrap_or_default();
        let (proved, end) = match request.signed {
            Some(signed) => self.by_keys(request, &enrollments, signed)?,
            None => by_certificate(request, &enrollments)?,
        };
        let (id, proof) = proved;
        let with = request.public_key.map_or(proof, |key| RegistrantProof::Credential(Box::new(key.clone())));
        match enrollments.get(&id) {
            Some(enrollment) if !enrollment.disabled => {
                let (registry, registration_id) = (request.registry.clone(), request.registration_id.to_owned());
                Ok(Registrant { registry, registration_id, enrollment: id, with, end })
            }
            _ => Err(refused(format!("the enrolment {id} is disabled"))),
        }
    }

    fn by_keys(
        &self,
        request: RegistrationRequest<'_>,
        enrollments: &BTreeMap<String, Enrollment>,
        signed: &Signed,
    ) -> Result<((String, RegistrantProof), AccessExpiry), AuthRefusal> {
        let name = format!("registration {:?} of {}", request.registration_id, request.registry);
        self.prover.may_try(request.address, &name)?;
        let found = candidates(enrollments, request.registration_id).find_map(|(id, enrollment)| {
            let Attestation::Keys(keys) = &enrollment.attestation else { return None };
            let keys = match enrollment.registration_id {
                Some(_) => keys.clone(),
                None => derived(keys, request.registration_id)?,
            };
            symmetric::signer(&keys, signed).is_some().then_some((id, keys))
        });
        let keys = found.as_ref().map(|(_, keys)| keys);
        let (_, end) = self.prover.prove_signed(&name, keys, signed, request.address)?;
        let (id, keys) = found.ok_or_else(|| refused(format!("{name}: no enrolment has such a key")))?;
        Ok(((id.clone(), RegistrantProof::Keys(Box::new(keys))), end))
    }

    /// Registers the device, or gives the registered one what it proves itself with now.
    pub async fn register(&self, registrant: &Registrant) -> Result<Registered, RegisterError> {
        let enrollment = self.enrollment(registrant)?;
        let name = device_name(registrant, &enrollment)?;
        let device = match self.registry.find(&name) {
            Some(device) => self.renew(registrant, device).await?,
            None => match self.registry.create(name.clone(), registration(registrant, &enrollment)).await {
                // Registered by another connection of it meanwhile.
                Err(registry::Error::Exists(_)) => {
                    let device = self.registry.find(&name).ok_or(RegisterError::NotYet)?;
                    self.renew(registrant, device).await?
                }
                created => created?,
            },
        };
        Ok(Registered { device, payload: enrollment.payload })
    }

    /// The device, if it is registered.
    pub fn registered(&self, registrant: &Registrant) -> Result<Registered, RegisterError> {
        let enrollment = self.enrollment(registrant)?;
        let device = self.registry.find(&device_name(registrant, &enrollment)?).ok_or(RegisterError::NotYet)?;
        match is_by(&device.spec(), &registrant.enrollment) {
            true => Ok(Registered { device, payload: enrollment.payload }),
            false => Err(RegisterError::Taken(device.name.id.clone())),
        }
    }

    /// As it is now.
    fn enrollment(&self, registrant: &Registrant) -> Result<Enrollment, RegisterError> {
        let found = self.registry.registry(&registrant.registry);
        let found = found.and_then(|registry| registry.enrollments.get(&registrant.enrollment).cloned());
        found
            .filter(|enrollment| !enrollment.disabled)
            .ok_or_else(|| RegisterError::Gone(registrant.enrollment.clone()))
    }

    /// Whether the device is still the enrolment's is checked again where the entry is applied: by the revision that was read here.
    async fn renew(&self, registrant: &Registrant, device: Arc<Device>) -> Result<Arc<Device>, RegisterError> {
        let mut attempts = 0..CHANGE_ATTEMPTS;
        loop {
            let registry::Registered { spec, revision, .. } = device.registered();
            if !is_by(&spec, &registrant.enrollment) {
                return Err(RegisterError::Taken(device.name.id.clone()));
            }
            let Some(patch) = only_proof(&registrant.with, &spec) else { return Ok(device) };
            match self.registry.patch(&device, patch, Some(revision)).await {
                Err(registry::Error::OtherRevision { .. }) if attempts.next().is_some() => {}
                Err(error @ registry::Error::OtherRevision { .. }) => {
                    self.metrics.limit(names::CHANGE_ATTEMPTS);
                    return Err(error.into());
                }
                done => return done.map(|()| device).map_err(RegisterError::Registry),
            }
        }
    }
}

fn by_certificate(
    request: RegistrationRequest<'_>,
    enrollments: &BTreeMap<String, Enrollment>,
) -> Result<((String, RegistrantProof), AccessExpiry), AuthRefusal> {
    let wrong =
        |error: String| refused(format!("registration {:?} of {}: {error}", request.registration_id, request.registry));
    let own = request.certificates.first().ok_or_else(|| wrong("it shows no signature and no certificate".into()))?;
    let id = DeviceId::new(request.registration_id).map_err(|error| wrong(error.to_string()))?;
    let credential = certificate(&pem(own)).ok_or_else(|| wrong("its certificate cannot be read".into()))?;
    let mut problem = "no enrolment is for its certificate".to_owned();
    for (name, enrollment) in candidates(enrollments, request.registration_id) {
        let Attestation::Certificate(text) = &enrollment.attestation else { continue };
        let (spec, authorities) = match enrollment.registration_id {
            Some(_) => {
                let credentials = certificate(text).into_iter().collect();
                (DeviceSpec { credentials, ..DeviceSpec::default() }, Vec::new())
            }
            None => (DeviceSpec::default(), certificates::authorities(std::slice::from_ref(text))),
        };
        match certificates::prove(request.certificates, &id, &spec, &authorities, clock::now_ms()) {
            Ok((_, expires_ms)) => {
                let with = RegistrantProof::Credential(Box::new(credential));
                return Ok(((name.clone(), with), AccessExpiry(Some(expires_ms))));
            }
            Err(error) => problem = error.to_string(),
        }
    }
    Err(wrong(problem))
}

fn device_name(registrant: &Registrant, enrollment: &Enrollment) -> Result<DeviceName, RegisterError> {
    let id = match &enrollment.device_id {
        Some(id) => id.clone(),
        None => DeviceId::new(&registrant.registration_id)
            .map_err(|error| RegisterError::Id(registrant.registration_id.clone(), error.to_string()))?,
    };
    Ok(DeviceName { registry: registrant.registry.clone(), id })
}

fn registration(registrant: &Registrant, enrollment: &Enrollment) -> Registration {
    let mut spec = DeviceSpec { metadata: enrollment.metadata.clone(), ..DeviceSpec::default() };
    spec.metadata.insert(ENROLLMENT.to_owned(), registrant.enrollment.clone());
    match &registrant.with {
        RegistrantProof::Keys(keys) => spec.symmetric_keys = Some(keys.clone()),
        RegistrantProof::Credential(credential) => spec.credentials.push(credential.as_ref().clone()),
    }
    let cause = Cause::Api { caller: format!("enrolment {}", registrant.enrollment) };
    let config = enrollment.config.as_ref().map(|config| FirstConfig { payload: config.clone().into(), cause });
    Registration { spec, config, ..Registration::default() }
}

/// Makes what the device proves now its only proof: what it proved before, or an operator added, no longer counts. `None` if it has no
/// other.
fn only_proof(with: &RegistrantProof, spec: &DeviceSpec) -> Option<DevicePatch> {
    let (credentials, keys) = match with {
        RegistrantProof::Keys(keys) => (Vec::new(), Some(keys.clone())),
        RegistrantProof::Credential(credential) => (vec![credential.as_ref().clone()], None),
    };
    let changes = spec.credentials != credentials || spec.symmetric_keys != keys;
    changes.then(|| DevicePatch {
        credentials: Some(credentials),
        symmetric_keys: Some(keys),
        ..DevicePatch::default()
    })
}

/// The device was registered by this enrolment.
fn is_by(spec: &DeviceSpec, enrollment: &str) -> bool {
    spec.metadata.get(ENROLLMENT).is_some_and(|by| by == enrollment)
}
