//! Decides at CONNECT which device or account a client is and what it may do, and again when something changes.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::CertificateDer;
use tokio::sync::broadcast;

use super::{
    access::Access,
    auth_context::{AccessExpiry, AuthContext, Principal, Proof},
    certificates,
    credentials::Credentials,
    proving::{Claimed, Prover},
    refusal::{AuthRefusal, refused, unknown},
    symmetric::{Signed, Signer},
};
use switchbox_core::registry::{self, Changed, Device, Registration};
use switchbox_model::{
    DeviceName, DeviceNum, RegistryName, ServiceName, limits,
    registry::{DeviceError, DeviceSpec, ErrorKind},
    symmetric::SymmetricKeys,
};
use switchbox_settings::Enroll;
use switchbox_store::ServiceDoc;
use switchbox_support::{clock, log_limit::LogLimits, metrics::Metrics};
use switchbox_transport::tls;

/// What the user name of a service account begins with.
const SERVICES: &str = "serviceAccounts/";

/// A refusal is not answered sooner, so that its time does not tell what was wrong.
const REFUSAL_TIME: Duration = Duration::from_millis(250);

/// Authenticates clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) registry: registry::Handle,
    pub(super) enroll: Enroll,
    pub(super) prover: Prover,
    pub(super) metrics: Metrics,
    tls: Option<tls::Handle>,
    full_log_limit: Arc<LogLimits<()>>,
    /// See [`limits::ENROLLED_NEVER_USED`].
    most_enrolled: usize,
}

impl Handle {
    #[must_use]
    pub fn new(registry: registry::Handle, enroll: Enroll, tls: Option<tls::Handle>, metrics: Metrics) -> Self {
        let full_log_limit = Arc::new(LogLimits::new(1));
        Self {
            registry,
            enroll,
            prover: Prover::new(metrics.clone()),
            metrics,
            tls,
            full_log_limit,
            most_enrolled: limits::ENROLLED_NEVER_USED,
        }
    }

    /// With another bound on the devices that enrol by themselves and send nothing.
    #[must_use]
    pub fn with_most_enrolled(self, most_enrolled: usize) -> Self {
        Self { most_enrolled, ..self }
    }

    /// Finds the device that the client id names and checks that it is the device. Where enrolment is open, a device
    /// that is not known is registered, one without any credential needs none, and a client id that is not a device name
    /// is an ordinary client.
    pub async fn admit(&self, credentials: Credentials<'_>) -> Result<AuthContext, AuthRefusal> {
        let began = Instant::now();
        let decided = self.decide(credentials).await;
        answer(began, decided).await
    }

    /// Refuses a client whose credentials its dialect cannot read, after the same time as any other.
    pub async fn refuse(&self, why: impl std::fmt::Display) -> AuthRefusal {
        let refusal = refused(why);
        tokio::time::sleep(REFUSAL_TIME).await;
        refusal
    }

    /// A program of the registry that signed with one of its access keys; what the key's name allows, the caller knows. Returns
    /// until when it counts.
    pub async fn admit_program(
        &self,
        registry: &RegistryName,
        signed: &Signed,
        address: IpAddr,
    ) -> Result<AccessExpiry, AuthRefusal> {
        let began = Instant::now();
        let keys = self.access_key(registry, signed);
        let proved = self.prover.prove_signed(&format!("a program of {registry}"), keys.as_ref(), signed, address);
        answer(began, proved).await.map(|(_, end)| end)
    }

    /// The keys that a program says it signed with.
    fn access_key(&self, registry: &RegistryName, signed: &Signed) -> Option<SymmetricKeys> {
        let Signer::Registry(name) = &signed.signer else { return None };
        self.registry.access_key(registry, name)
    }

    async fn decide(&self, credentials: Credentials<'_>) -> Result<AuthContext, AuthRefusal> {
        let service = credentials.user_name.and_then(|name| name.strip_prefix(SERVICES));
        let auth_context = match service {
            Some(name) => self.decide_service(name, credentials).await?,
            None => self.decide_device(credentials).await?,
        };
        self.still_holds(&auth_context).map_err(refused)?;
        Ok(auth_context)
    }

    async fn decide_device(&self, credentials: Credentials<'_>) -> Result<AuthContext, AuthRefusal> {
        let open = self.enroll == Enroll::Open;
        let by_id = || DeviceName::parse(credentials.client_id, &RegistryName::default_registry()).ok();
        let Some(name) = credentials.device.cloned().or_else(by_id) else {
            return match self.enroll {
                Enroll::Open => Ok(AuthContext::open(Principal::Client)),
                Enroll::Closed => Err(refused("the client id names no device")),
            };
        };
        match self.registry.find(&name) {
            None if open && self.is_full() => {
                self.metrics.limit(limits::names::ENROLLED_NEVER_USED);
                Ok(AuthContext::open(Principal::Client))
            }
            None if open => Ok(AuthContext::open(Principal::Device(self.enroll(name).await?))),
            Some(device) if open && !has_credentials(&device) => Ok(AuthContext::open(Principal::Device(device))),
            device => {
                // A device that is not registered costs as much work as one with a wrong key. The log says which it is.
                let proved = self.prove_device(device.as_deref(), &name, credentials).await;
                let Some(device) = device else { return Err(unknown(self.not_registered(&name), proved.err())) };
                let (proof, end) = proved.inspect_err(|refusal| record_failure(&device, refusal))?;
                let access = if open { Access::Open } else { Access::Own };
                Ok(AuthContext { principal: Principal::Device(device), access, proof, end })
            }
        }
    }

    async fn prove_device(
        &self,
        device: Option<&Device>,
        name: &DeviceName,
        credentials: Credentials<'_>,
    ) -> Result<(Proof, AccessExpiry), AuthRefusal> {
        let spec = device.map(Device::spec).unwrap_or_default();
        if let (Some(_), false) = (device, credentials.certificates.is_empty()) {
            let authorities = self.authorities(&name.registry);
            let proved = certificates::prove(credentials.certificates, &name.id, &spec, &authorities, clock::now_ms());
            match proved {
                Ok((proof, expires_at_ms)) => return Ok((proof, AccessExpiry(Some(expires_at_ms)))),
                Err(error) if credentials.password.is_none() && credentials.signed.is_none() => {
                    return Err(refused(format!("{name}: {error}")));
                }
                // It has another chance.
                Err(_) => {}
            }
        }
        if let Some(signed) = credentials.signed {
            let of_registry = self.access_key(&name.registry, signed);
            let keys =
                if signed.signer == Signer::Device { spec.symmetric_keys.as_deref() } else { of_registry.as_ref() };
            return self.prover.prove_signed(&name.to_string(), keys, signed, credentials.address);
        }
        let claimed = Claimed {
            name: &name.to_string(),
            audience: name.registry.project(),
            keys: &spec.credentials,
            password: device.and_then(Device::password),
        };
        self.prover.prove(claimed, credentials).await
    }

    async fn decide_service(&self, name: &str, credentials: Credentials<'_>) -> Result<AuthContext, AuthRefusal> {
        let service = ServiceName::new(name).ok().and_then(|name| self.registry.service(&name));
        let full: String = format!("{SERVICES}{name}").chars().take(limits::ID_BYTES + SERVICES.len()).collect();
        // The log shows it, and a name may hold whatever a client likes.
        let shown = if service.is_some() { full.clone() } else { format!("{full:?}") };
        let claimed = Claimed {
            name: &shown,
            audience: &full,
            keys: service.as_ref().map(|service| service.spec.credentials.as_slice()).unwrap_or_default(),
            password: service.as_ref().and_then(|service| service.password.clone()),
        };
        let proved = self.prover.prove(claimed, credentials).await;
        let Some(service) = service else { return Err(unknown(format!("{shown} does not exist"), proved.err())) };
        let (proof, end) = proved?;
        let access = Access::Service(Arc::new(service.spec.clone()));
        Ok(AuthContext { principal: Principal::Service(service), access, proof, end })
    }

    fn not_registered(&self, name: &DeviceName) -> String {
        match self.registry.registry(&name.registry) {
            Some(_) => format!("device {name} is not registered; `switchbox device create {name}` registers it"),
            None => format!("device {name} is not registered, and its registry does not exist"),
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

    /// There are so many devices that enrolled by themselves and were never used that no more are made: clients with ids of chance
    /// would fill the host.
    fn is_full(&self) -> bool {
        let limit = self.most_enrolled;
        let is_full = self.registry.device_count() >= limit && self.registry.never_used(None, limit).len() >= limit;
        if is_full && let Some(more) = self.full_log_limit.allow((), Instant::now()) {
            tracing::warn!(
                "{limit} devices enrolled by themselves and were never used: unknown clients are not enrolled now; remove them with \
                 `switchbox device prune --never-used`{more}"
            );
        }
        is_full
    }

    pub(super) async fn enroll(&self, name: DeviceName) -> Result<Arc<Device>, AuthRefusal> {
        let with = Registration { spec: DeviceSpec::enrolled(), ..Registration::default() };
        match self.registry.create(name.clone(), with).await {
            Ok(device) => Ok(device),
            // Another connection has registered it meanwhile.
            Err(registry::Error::Exists(_)) => {
                self.registry.find(&name).ok_or_else(|| refused(format!("device {name} was deleted")))
            }
            Err(registry::Error::Store(error)) => Err(AuthRefusal::Unavailable(error.to_string())),
            Err(error) => Err(refused(error)),
        }
    }

    /// The identity that such a client would have now, if it authenticated.
    #[must_use]
    pub fn auth_context_of(&self, principal: Principal) -> AuthContext {
        let access = match (&principal, self.enroll) {
            (Principal::Service(service), _) => Access::Service(Arc::new(service.spec.clone())),
            (_, Enroll::Open) => Access::Open,
            (_, Enroll::Closed) => Access::Own,
        };
        AuthContext { access, ..AuthContext::open(principal) }
    }

    /// What the host's certificate calls it: names, also with a wildcard, and addresses.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        self.tls.as_ref().map(tls::Handle::names).unwrap_or_default()
    }

    /// Whether the device still exists.
    #[must_use]
    pub fn is_registered(&self, device: DeviceNum) -> bool {
        self.registry.get(device).is_some()
    }

    /// The account as it is now.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<Arc<ServiceDoc>> {
        self.registry.service(name)
    }

    /// Reports changes from now on that can end the right of clients to stay connected.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.registry.changes()
    }

    /// Checks that the identity and credential of an admitted client are still valid, and returns until when. The error says why not.
    pub fn still_holds(&self, auth_context: &AuthContext) -> Result<AccessExpiry, String> {
        let digests =
            |device: &Device| self.authorities(&device.name.registry).iter().map(certificates::digest).collect();
        match &auth_context.principal {
            Principal::Client => Ok(AccessExpiry::default()),
            Principal::Device(device) => {
                let access_key = |name: &str| self.registry.access_key(&device.name.registry, name);
                auth_context.device_holds(device, &digests, &access_key, clock::now_ms())
            }
            Principal::Service(service) => {
                auth_context.service_holds(service, self.registry.service(&service.name).as_deref(), clock::now_ms())
            }
        }
    }
}

/// For the operator of the device.
pub(super) fn record_failure(device: &Device, refusal: &AuthRefusal) {
    if let AuthRefusal::NotAuthorised(why) = refusal {
        let message = format!("access refused: {why}");
        device.record_error(DeviceError { time_ms: clock::now_ms(), kind: ErrorKind::Unauthenticated, message });
    }
}

/// Holds a refusal back.
pub(super) async fn answer<T>(began: Instant, decided: Result<T, AuthRefusal>) -> Result<T, AuthRefusal> {
    if matches!(decided, Err(AuthRefusal::NotAuthorised(_))) {
        tokio::time::sleep_until((began + REFUSAL_TIME).into()).await;
    }
    decided
}

pub(super) fn has_credentials(device: &Device) -> bool {
    let spec = device.spec();
    !spec.credentials.is_empty() || spec.symmetric_keys.is_some() || device.password().is_some()
}
