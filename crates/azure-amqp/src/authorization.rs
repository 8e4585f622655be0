//! The authorization of a connection: the hub, the policy, and the time when it expires.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use tokio::sync::watch;

use crate::{context::Context, sasl::PlainCredentials};
use switchbox_auth::{AuthRefusal, Signed, Signer};
use switchbox_azure::{Policy, Right, Sas};
use switchbox_model::RegistryName;
use switchbox_support::clock;

/// The newest authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) registry: RegistryName,
    pub(crate) policy: Policy,
    /// Milliseconds since the Unix epoch.
    expires_ms: u64,
}

/// The authentication state of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionAuth {
    address: IpAddr,
    newest: watch::Sender<Option<Authorization>>,
}

/// How long a key that was given by SASL PLAIN stays valid.
const PLAIN_VALIDITY: Duration = Duration::from_secs(24 * 3_600);

impl ConnectionAuth {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address, newest: watch::Sender::new(None) }
    }

    /// The authorization, if it has not expired and has the right ServiceConnect.
    pub(crate) fn require_service_connect(&self) -> Result<Authorization, String> {
        let authorization =
            self.newest.borrow().clone().filter(|authorization| authorization.expires_ms > clock::now_ms());
        let authorization = authorization.ok_or("no token was sent to $cbs (put-token), or it has expired")?;
        match authorization.policy.allows(Right::ServiceConnect) {
            true => Ok(authorization),
            false => Err(format!("the policy {} does not have the right ServiceConnect", authorization.policy.name())),
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

    /// Checks a token that was sent to `$cbs`.
    pub(crate) async fn put_token(&self, context: &Context, token: &str) -> Result<(), String> {
        let sas = Sas::parse(token.as_bytes()).map_err(|error| format!("the token cannot be used: {error}"))?;
        let policy = sas.policy.ok_or("the token names no policy (skn)")?;
        let resource = sas.resource();
        let behind = resource.split_once("://").map_or(resource, |(_, behind)| behind);
        let host = behind.split(['/', ':']).next().unwrap_or_default();
        let signed = Signed {
            text: sas.signed(),
            signature: sas.signature.clone(),
            expires_ms: sas.expires_secs.saturating_mul(1_000),
            signer: Signer::Registry(policy.name().to_owned()),
            // The SDKs of Event Hubs sign with the key's text.
            key_may_be_text: true,
        };
        self.authenticate(context, context.hubs.registry(host), policy, signed).await
    }

    /// Checks a policy's name and key, given as user name and password. They do not name a host, so they count for the default
    /// registry.
    pub(crate) async fn sasl_plain(&self, context: &Context, plain: &PlainCredentials) -> Result<(), String> {
        let name = plain.policy.split('@').next().unwrap_or_default();
        let policy = Policy::find(name).ok_or("the user name is not a policy")?;
        let key = STANDARD.decode(&plain.key).map_err(|_| "the password is not a base64 key")?;
        let text = b"SASL PLAIN".to_vec();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &text).as_ref().to_vec();
        let lasts_ms = u64::try_from(PLAIN_VALIDITY.as_millis()).unwrap_or(u64::MAX);
        let signer = Signer::Registry(policy.name().to_owned());
        let expires_ms = clock::now_ms().saturating_add(lasts_ms);
        let signed = Signed { text, signature, expires_ms, signer, key_may_be_text: false };
        self.authenticate(context, RegistryName::default_registry(), policy, signed).await
    }

    async fn authenticate(
        &self,
        context: &Context,
        registry: RegistryName,
        policy: Policy,
        signed: Signed,
    ) -> Result<(), String> {
        let proved = context.parts.auth.admit_program(&registry, &signed, self.address).await;
        match proved {
            Ok(_) => {
                self.newest.send_replace(Some(Authorization { registry, policy, expires_ms: signed.expires_ms }));
                Ok(())
            }
            Err(AuthRefusal::NotAuthorised(why) | AuthRefusal::Unavailable(why)) => {
                context.parts.metrics.refuse("hub_token");
                Err(why)
            }
        }
    }

    /// Waits until the newest authorization has expired.
    pub(crate) async fn expired(&self) {
        let mut newest = self.newest.subscribe();
        loop {
            let expires_ms = newest.borrow_and_update().as_ref().map(|grant| grant.expires_ms);
            let left = expires_ms.map(|at| Duration::from_millis(at.saturating_sub(clock::now_ms())));
            tokio::select! {
                () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => return,
                changed = newest.changed() => if changed.is_err() { return },
            }
        }
    }
}
