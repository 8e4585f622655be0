//! The authorisation of a connection: the program or the device that its tokens name, and when it expires.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use crate::{
    context::Context,
    device::{Closing, DeviceConnection},
    sasl::PlainCredentials,
};
use switchbox_auth::{AuthContext, AuthRefusal, Credentials, Principal, Signed, Signer};
use switchbox_azure::{AccessRight, Policy, Sas, sas};
use switchbox_core::registry::{Changed, Device};
use switchbox_model::{DeviceId, DeviceName, RegistryName};
use switchbox_support::clock;

/// A program that has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) registry: RegistryName,
    pub(crate) policy: Policy,
}

/// The newest authorisation.
#[derive(Clone)]
struct Authorization {
    registry: RegistryName,
    /// `None` if the connection belongs to a device that has a key or a certificate of its own.
    policy: Option<Policy>,
    /// The token of a policy, which may be a device's too. `None` for a key that was given by SASL PLAIN.
    token: Option<Arc<Sas>>,
    /// Milliseconds since the Unix epoch. `None` if it does not expire.
    expires_ms: Option<u64>,
}

impl Authorization {
    fn is_valid(&self) -> bool {
        self.expires_ms.is_none_or(|expires_ms| expires_ms > clock::now_ms())
    }
}

/// The authentication state of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectionAuth {
    address: IpAddr,
    tls: Arc<TlsClient>,
    newest: watch::Sender<Option<Authorization>>,
    device: Arc<OnceLock<DeviceConnection>>,
    closing: Arc<Closing>,
}

impl std::fmt::Debug for ConnectionAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionAuth").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the client showed in the TLS handshake.
#[derive(Debug, Default)]
pub(crate) struct TlsClient {
    /// Its own first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// The name by which it calls the host. Empty if it showed none.
    pub(crate) host: String,
}

/// How long a key that was given by SASL PLAIN stays valid.
const PLAIN_VALIDITY: Duration = Duration::from_secs(24 * 3_600);
const NO_TOKEN: &str = "no valid token was sent to $cbs";

impl ConnectionAuth {
    pub(crate) fn new(address: IpAddr, tls: TlsClient) -> Self {
        let newest = watch::Sender::new(None);
        Self { address, tls: Arc::new(tls), newest, device: Arc::default(), closing: Arc::default() }
    }

    /// Of a program with all rights in the default registry.
    #[cfg(test)]
    pub(crate) fn of_owner(address: IpAddr) -> Self {
        let (registry, policy) = (RegistryName::default_registry(), Some(Policy::Owner));
        let auth = Self::new(address, TlsClient::default());
        auth.newest.send_replace(Some(Authorization { registry, policy, token: None, expires_ms: None }));
        auth
    }

    /// The program, if its authorisation has not expired and has the right ServiceConnect.
    pub(crate) fn require_service_connect(&self) -> Result<Program, String> {
        let newest = self.newest.borrow().clone().filter(Authorization::is_valid).ok_or(NO_TOKEN)?;
        let policy = newest.policy.ok_or("a device may use only the addresses under /devices/ that are its own")?;
        if newest.token.is_some_and(|token| is_of_device(resource(&token).1)) {
            return Err("the token's resource (sr) is a device; sign one for the hub".into());
        }
        match policy.allows(AccessRight::ServiceConnect) {
            true => Ok(Program { registry: newest.registry, policy }),
            false => Err(format!("the policy {} does not have the right ServiceConnect", policy.name())),
        }
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.newest.borrow().is_some()
    }

    /// Waits until the connection has authenticated.
    pub(crate) async fn authenticated(&self) {
        // The sender is in self, so the wait cannot fail.
        let _ = self.newest.subscribe().wait_for(Option::is_some).await;
    }

    /// Checks a token that was sent to `$cbs`, or by SASL PLAIN.
    pub(crate) async fn put_token(&self, context: &Context, token: &str) -> Result<(), String> {
        let sas = Sas::parse(token.as_bytes()).map_err(|error| format!("the token cannot be used: {error}"))?;
        let (host, path) = resource(&sas);
        let registry = context.hubs.registry(host);
        let Some(policy) = sas.policy else {
            let device = device_of_path(path)?;
            return self.put_device_token(context, DeviceName { registry, id: device }, &sas).await;
        };
        if self.newest.borrow().as_ref().is_some_and(|newest| newest.policy.is_none()) {
            return Err("this connection belongs to a device; a program needs another one".into());
        }
        // The SDKs of Event Hubs sign with the key's text.
        let signed = signed(&sas, Signer::Registry(policy.name().to_owned())).or_by_text();
        self.authenticate(context, registry, policy, &signed, Some(Arc::new(sas))).await
    }

    async fn put_device_token(&self, context: &Context, name: DeviceName, sas: &Sas) -> Result<(), String> {
        if self.newest.borrow().as_ref().is_some_and(|newest| newest.policy.is_some()) {
            return Err("this connection belongs to a program; a device needs another one".into());
        }
        self.admit_device(context, &name, Some(&signed(sas, Signer::Device))).await
    }

    /// Checks the user name and password of SASL PLAIN: a policy's name and key, which count for the default registry because they
    /// name no host, or a device or a policy with a token.
    pub(crate) async fn sasl_plain(&self, context: &Context, plain: &PlainCredentials) -> Result<(), String> {
        let name = plain.user.split('@').next().unwrap_or_default();
        if sas::is_token(plain.password.as_bytes()) {
            return self.put_token(context, &plain.password).await;
        }
        let policy = Policy::find(name).ok_or("the user name is not a policy, and the password is not a token")?;
        let key = STANDARD.decode(&plain.password).map_err(|_| "the password is not a base64 key")?;
        let text = b"SASL PLAIN".to_vec();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &text).as_ref().to_vec();
        let signer = Signer::Registry(policy.name().to_owned());
        let signed = Signed::new(signer, text, signature, clock::now_ms() / 1_000 + PLAIN_VALIDITY.as_secs());
        self.authenticate(context, RegistryName::default_registry(), policy, &signed, None).await
    }

    async fn authenticate(
        &self,
        context: &Context,
        registry: RegistryName,
        policy: Policy,
        signed: &Signed,
        token: Option<Arc<Sas>>,
    ) -> Result<(), String> {
        let proved = context.handles.auth.admit_program(&registry, signed, self.address).await;
        match proved {
            Ok(_) => {
                let (policy, expires_ms) = (Some(policy), Some(signed.expires_ms));
                self.newest.send_replace(Some(Authorization { registry, policy, token, expires_ms }));
                Ok(())
            }
            Err(AuthRefusal::NotAuthorised(why) | AuthRefusal::Unavailable(why)) => {
                context.handles.metrics.refuse("hub_token");
                Err(why)
            }
        }
    }

    /// The connection's device, for a link to an address of this device. A connection that has none yet becomes the device's, by the
    /// token of a policy or by a certificate.
    pub(crate) async fn require_device(&self, context: &Context, id: &DeviceId) -> Result<DeviceConnection, String> {
        let newest = self.newest.borrow().clone();
        let newest = match newest {
            Some(newest) if newest.is_valid() => newest,
            None if !self.tls.certificates.is_empty() => {
                let registry = context.hubs.registry(&self.tls.host);
                self.admit_device(context, &DeviceName { registry, id: id.clone() }, None).await?;
                return self.own_device(id);
            }
            _ => return Err(NO_TOKEN.into()),
        };
        if self.device.get().is_none()
            && let (Some(policy), Some(token)) = (newest.policy, newest.token)
        {
            if !policy.allows(AccessRight::DeviceConnect) {
                return Err(format!(
                    "the policy {} does not have the right {}",
                    policy.name(),
                    AccessRight::DeviceConnect
                ));
            }
            if !token.covers(resource(&token).0, &format!("devices/{id}")) {
                return Err("the token is for another device".into());
            }
            let name = DeviceName { registry: newest.registry, id: id.clone() };
            let signed = signed(&token, Signer::Registry(policy.name().to_owned()));
            self.admit_device(context, &name, Some(&signed)).await?;
        }
        self.own_device(id)
    }

    fn own_device(&self, id: &DeviceId) -> Result<DeviceConnection, String> {
        match self.device.get() {
            Some(own) if own.device().name.id == *id => Ok(own.clone()),
            Some(own) => Err(format!("this connection belongs to {}; each device needs its own", own.device().name.id)),
            None => Err("this connection belongs to no device".into()),
        }
    }

    /// Authenticates the device. The connection becomes the device's, if it was not before.
    async fn admit_device(&self, context: &Context, name: &DeviceName, signed: Option<&Signed>) -> Result<(), String> {
        let credentials = Credentials {
            client_id: name.id.as_str(),
            user_name: None,
            password: None,
            address: self.address,
            certificates: &self.tls.certificates,
            device: Some(name),
            signed,
        };
        let admitted = context.handles.auth.admit(credentials).await.map_err(|refusal| {
            context.handles.metrics.refuse("hub_token");
            refusal.to_string()
        })?;
        let Principal::Device(device) = admitted.principal.clone() else {
            return Err(format!("{name} is not a device"));
        };
        self.begin_device(context, device, admitted)
    }

    fn begin_device(&self, context: &Context, device: Arc<Device>, admitted: AuthContext) -> Result<(), String> {
        let (num, registry, expires_ms) = (device.num, device.name.registry.clone(), admitted.end().0);
        let own = self.device.get_or_init(|| DeviceConnection::begin(context, device, self.closing.clone()));
        if own.device().num != num {
            return Err(format!("this connection belongs to {}; each device needs its own", own.device().name.id));
        }
        own.admitted(admitted);
        // A policy's own expiry counts for all that it allows.
        self.newest.send_if_modified(|newest| {
            let is_own = newest.as_ref().is_none_or(|newest| newest.policy.is_none());
            if is_own {
                *newest = Some(Authorization { registry, policy: None, token: None, expires_ms });
            }
            is_own
        });
        Ok(())
    }

    /// Waits until the newest authorisation has expired.
    pub(crate) async fn expired(&self) {
        let mut newest = self.newest.subscribe();
        loop {
            let expires_ms = newest.borrow_and_update().as_ref().and_then(|newest| newest.expires_ms);
            let left = expires_ms.map(|at| Duration::from_millis(at.saturating_sub(clock::now_ms())));
            tokio::select! {
                () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => return,
                changed = newest.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Waits until the connection has to end because of its device: the device connected again, or an operator closed it.
    pub(crate) async fn closed(&self) -> String {
        self.closing.requested().await
    }

    /// Checks the device again if the change may end its right to be connected. The error says why it may not stay.
    pub(crate) fn revalidate(&self, context: &Context, changed: Option<&Changed>) -> Result<(), String> {
        let Some(own) = self.device.get() else { return Ok(()) };
        let concerns = match changed {
            Some(Changed::Device(num) | Changed::Deleted(num)) => *num == own.device().num,
            Some(Changed::Registry(name)) => *name == own.device().name.registry,
            Some(Changed::Service(_)) => false,
            // After too many changes at once, all may have changed.
            Some(Changed::Clock) | None => true,
        };
        if !concerns {
            return Ok(());
        }
        let until = own.still_holds(context)?;
        self.newest.send_if_modified(|newest| match newest {
            Some(newest) if newest.policy.is_none() && newest.expires_ms != until.0 => {
                newest.expires_ms = until.0;
                true
            }
            _ => false,
        });
        Ok(())
    }

    /// Disconnects the device with this reason.
    pub(crate) fn end_device(&self, reason: &str) {
        if let Some(own) = self.device.get() {
            own.end(reason);
        }
    }
}

fn signed(sas: &Sas, signer: Signer) -> Signed {
    Signed::new(signer, sas.signed(), sas.signature.clone(), sas.expires_secs)
}

/// The host name and the path of the token's resource.
fn resource(sas: &Sas) -> (&str, &str) {
    let resource = sas.resource();
    let after = resource.split_once("://").map_or(resource, |(_, after)| after);
    let (authority, path) = after.split_once('/').unwrap_or((after, ""));
    (authority.split(':').next().unwrap_or_default(), path)
}

/// Whether the path of a token's resource is that of a device. A token of a policy for a device does not open the hub.
fn is_of_device(path: &str) -> bool {
    path.starts_with("devices/")
}

/// The device that a device's own token names. The path is decoded already, and an id may have `%`.
fn device_of_path(path: &str) -> Result<DeviceId, String> {
    let id =
        path.trim_end_matches('/').strip_prefix("devices/").ok_or("the token names no policy (skn) and no device")?;
    if id.contains('/') {
        return Err("modules are not in this version: register a module as a separate device".into());
    }
    DeviceId::new(id).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_a_hub_and_perhaps_a_device() {
        let read = |resource: &str| Sas::parse(sas::sign(resource, b"key", 1, None).as_bytes()).unwrap();
        for (written, host, device) in [
            ("hub.example/devices/lamp-1", "hub.example", Ok("lamp-1")),
            ("amqps://hub.example:5671/devices/lamp-1/", "hub.example", Ok("lamp-1")),
            ("hub.example/devices/a%41b", "hub.example", Ok("a%41b")),
            ("hub.example", "hub.example", Err("names no policy")),
            ("hub.example/devices/lamp-1/modules/arm", "hub.example", Err("modules")),
            ("hub.example/devices/", "hub.example", Err("names no policy")),
            ("hub.example/devices/a#b", "hub.example", Err("may hold only")),
        ] {
            let sas = read(written);
            let (found, path) = resource(&sas);
            assert_eq!(found, host, "{written}");
            assert_eq!(is_of_device(path), written.contains("/devices/"), "{written}");
            match (device_of_path(path), device) {
                (Ok(id), Ok(expect)) => assert_eq!(id.as_str(), expect),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                (found, _) => panic!("{written}: {found:?}"),
            }
        }
    }
}
