//! Who is it, and may it: decides at CONNECT, and again when something changes. Never sees a packet.
//!
//! A client that is refused is told nothing but that, and after the same time, whatever was wrong; the log says what.

pub mod access;
mod certificates;
pub mod jwt;
pub mod keys;
pub mod password;
pub mod signing;
mod standing;
#[cfg(test)]
mod tests;
mod throttle;

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use password::Checker;
use rustls::pki_types::CertificateDer;
use throttle::Throttle;
use tokio::sync::broadcast;

pub use self::{
    access::{Access, Action, may},
    standing::{Principal, Standing},
};
pub use crate::settings::Enroll;
use crate::{
    clock,
    metrics::Metrics,
    model::{DeviceName, RegistryName, registry::DeviceSpec},
    registry::{self, Changed, Device},
    tls,
};
use standing::Proof;

/// A refusal is not answered sooner, so that its time does not tell what was wrong.
const REFUSAL_TIME: Duration = Duration::from_millis(250);

/// What a client shows at CONNECT.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// May be empty (the server assigned one then).
    pub client_id: &'a str,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    pub address: IpAddr,
    /// Those that the client showed in the TLS handshake, its own first, whose key it holds.
    pub certificates: &'a [CertificateDer<'static>],
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Why a client is not let in; `Display` is for the log, never for the client.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// CONNACK "not authorised".
    #[error("not authorised: {0}")]
    NotAuthorised(String),
    /// CONNACK "server unavailable".
    #[error("server unavailable: {0}")]
    Unavailable(String),
}

fn refused(why: impl fmt::Display) -> Refusal {
    Refusal::NotAuthorised(why.to_string())
}

/// Decides who gets in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    registry: registry::Handle,
    enroll: Enroll,
    checker: Checker,
    throttle: Throttle,
    metrics: Metrics,
    tls: Option<tls::Handle>,
}

impl Handle {
    #[must_use]
    pub fn new(registry: registry::Handle, enroll: Enroll, tls: Option<tls::Handle>, metrics: Metrics) -> Self {
        Self { registry, enroll, checker: Checker::new(), throttle: Throttle::default(), metrics, tls }
    }

    /// Finds the device that the client id names and checks that it is the device. Where enrolment is open, a device
    /// that is not known is registered, one without any credential needs none, and a client id that is no device name
    /// is an ordinary client.
    pub async fn admit(&self, credentials: Credentials<'_>) -> Result<Standing, Refusal> {
        let began = Instant::now();
        let decided = self.decide(credentials).await;
        if matches!(decided, Err(Refusal::NotAuthorised(_))) {
            tokio::time::sleep_until((began + REFUSAL_TIME).into()).await;
        }
        decided
    }

    async fn decide(&self, credentials: Credentials<'_>) -> Result<Standing, Refusal> {
        let open = self.enroll == Enroll::Open;
        let Ok(name) = DeviceName::parse(credentials.client_id, &RegistryName::default_registry()) else {
            return match self.enroll {
                Enroll::Open => Ok(Standing::open(Principal::Client)),
                Enroll::Closed => Err(refused("the client id names no device")),
            };
        };
        let device = self.registry.find(&name);
        let standing = match device {
            None if open => Standing::open(Principal::Device(self.enroll(name).await?)),
            Some(device) if open && !has_credentials(&device) => Standing::open(Principal::Device(device)),
            device => {
                let (proof, runs_out_ms) = self.prove(device.as_ref(), &name, credentials).await?;
                let device = device.ok_or_else(|| refused(format!("device {name} is not registered")))?;
                let access = if open { Access::Open } else { Access::Own };
                Standing { principal: Principal::Device(device), access, proof, runs_out_ms }
            }
        };
        self.still_holds(&standing).map_err(refused)?;
        Ok(standing)
    }

    /// What the client proves itself with, and until when that counts. Does the same work where there is no device.
    async fn prove(
        &self,
        device: Option<&Arc<Device>>,
        name: &DeviceName,
        credentials: Credentials<'_>,
    ) -> Result<(Proof, Option<u64>), Refusal> {
        if let (Some(device), false) = (device, credentials.certificates.is_empty()) {
            let authorities = self.authorities(&name.registry);
            let now_ms = clock::now_ms();
            let proved = certificates::prove(credentials.certificates, &name.id, &device.spec(), &authorities, now_ms);
            match proved {
                Ok((proof, runs_out_ms)) => return Ok((proof, Some(runs_out_ms))),
                Err(error) if credentials.password.is_none() => return Err(refused(format!("{name}: {error}"))),
                // It has another chance.
                Err(_) => {}
            }
        }
        let Some(secret) = credentials.password else {
            return Err(refused(format!("{name} sent no password; it needs a token or its password there")));
        };
        if jwt::is_token(secret) {
            let spec = device.map(|device| device.spec()).unwrap_or_default();
            return prove_by_token(&spec, name, secret);
        }
        let attempt = self.throttle.begin(credentials.address, credentials.client_id, Instant::now());
        let attempt = attempt.map_err(|throttled| {
            self.metrics.limit(throttled.limit());
            refused(throttled)
        })?;
        let hash = device.and_then(|device| device.password());
        match self.checker.check(secret, hash.clone()).await {
            Ok(true) => {
                attempt.succeeded(Instant::now());
                Ok((Proof::Password(hash), None))
            }
            Ok(false) => {
                attempt.failed(Instant::now());
                Err(refused(format!("the password is not that of {name}")))
            }
            Err(error) => {
                self.metrics.limit("password_checks");
                Err(Refusal::Unavailable(error.to_string()))
            }
        }
    }

    /// The authorities whose certificates count in this registry.
    fn authorities(&self, name: &RegistryName) -> Vec<CertificateDer<'static>> {
        let registered = self.registry.registry(name).map(|registry| registry.spec.authorities).unwrap_or_default();
        let mut all = certificates::authorities(&registered);
        if let Some(tls) = self.tls.as_ref().filter(|_| *name == RegistryName::default_registry()) {
            all.extend(tls.client_authorities().iter().cloned());
        }
        all
    }

    async fn enroll(&self, name: DeviceName) -> Result<Arc<Device>, Refusal> {
        match self.registry.create(name.clone(), DeviceSpec::default()).await {
            Ok(device) => Ok(device),
            // Somebody else registered it meanwhile.
            Err(registry::Error::Exists(_)) => {
                self.registry.find(&name).ok_or_else(|| refused(format!("device {name} was deleted")))
            }
            Err(registry::Error::Store(error)) => Err(Refusal::Unavailable(error.to_string())),
            Err(error) => Err(refused(error)),
        }
    }

    /// What changes from now on that decides who may stay.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.registry.changes()
    }

    /// Whether what a client was let in by still counts; the error says why not.
    pub fn still_holds(&self, standing: &Standing) -> Result<(), String> {
        let digests =
            |device: &Device| self.authorities(&device.name.registry).iter().map(certificates::digest).collect();
        standing.still_holds(&digests, clock::now_ms())
    }
}

fn has_credentials(device: &Device) -> bool {
    !device.spec().credentials.is_empty() || device.password().is_some()
}

fn prove_by_token(spec: &DeviceSpec, name: &DeviceName, token: &[u8]) -> Result<(Proof, Option<u64>), Refusal> {
    let now_ms = clock::now_ms();
    let token = std::str::from_utf8(token).map_err(|_| refused(jwt::JwtError::Malformed))?;
    let usable = spec.credentials.iter().filter_map(|credential| {
        let parsed = keys::parse(credential).ok().filter(|parsed| parsed.expires_ms.is_none_or(|at| at > now_ms))?;
        Some((credential, parsed))
    });
    let (credentials, parsed): (Vec<_>, Vec<_>) = usable.unzip();
    let keys = parsed.iter().map(|parsed| &parsed.key);
    let verified =
        jwt::verify(token, keys, name.registry.project(), now_ms).map_err(|e| refused(format!("{name}: {e}")))?;
    let (Some(credential), Some(parsed)) = (credentials.get(verified.key), parsed.get(verified.key)) else {
        return Err(refused(jwt::JwtError::Signature));
    };
    let runs_out_ms = parsed.expires_ms.map_or(verified.runs_out_ms, |expires| expires.min(verified.runs_out_ms));
    Ok((Proof::of(credential), Some(runs_out_ms)))
}
