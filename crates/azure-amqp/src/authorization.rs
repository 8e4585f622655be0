//! What a connection has proved: with which policy of which hub, and until when.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use tokio::sync::watch;

use crate::{context::Context, sasl::PlainCredentials};
use switchbox_auth::{AuthRefusal, Signed, Signer};
use switchbox_azure::{Policy, Right, Sas};
use switchbox_model::RegistryName;
use switchbox_support::clock;

/// What was proved last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) registry: RegistryName,
    pub(crate) policy: Policy,
    /// Milliseconds since the Unix epoch.
    expires_ms: u64,
}

/// The proofs of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionAuth {
    address: IpAddr,
    newest: watch::Sender<Option<Authorization>>,
}

/// How long the key that a connection was opened with counts.
const PLAIN_VALIDITY: Duration = Duration::from_secs(24 * 3_600);

impl ConnectionAuth {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address, newest: watch::Sender::new(None) }
    }

    /// The authorization, if there is one that counts and allows to read what devices send.
    pub(crate) fn require_service_connect(&self) -> Result<Authorization, String> {
        let authorization =
            self.newest.borrow().clone().filter(|authorization| authorization.expires_ms > clock::now_ms());
        let authorization = authorization.ok_or("no token that counts was put to $cbs")?;
        match authorization.policy.allows(Right::ServiceConnect) {
            true => Ok(authorization),
            false => Err(format!("the policy {} does not have the right ServiceConnect", authorization.policy.name())),
        }
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.newest.borrow().is_some()
    }

    /// Returns when something was proved.
    pub(crate) async fn authenticated(&self) {
        // The sender is in self, so the wait cannot fail.
        let _ = self.newest.subscribe().wait_for(Option::is_some).await;
    }

    /// A token that was put.
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
            // As the SDKs of Event Hubs do.
            key_may_be_text: true,
        };
        self.authenticate(context, context.hubs.registry(host), policy, signed).await
    }

    /// A policy's name with its key, as a user name and a password. It says nothing of a host, so it is the default registry's.
    pub(crate) async fn sasl_plain(&self, context: &Context, plain: &PlainCredentials) -> Result<(), String> {
        let name = plain.policy.split('@').next().unwrap_or_default();
        let policy = Policy::find(name).ok_or("the user name is no policy")?;
        let key = STANDARD.decode(&plain.key).map_err(|_| "the password is no key")?;
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

    /// Returns when what was proved does not count any more, and nothing newer was.
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
