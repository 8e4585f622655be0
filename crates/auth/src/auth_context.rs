//! The identity and the credential of an admitted client, so that they can be checked again when something changes. Pure except for the device
//! that it holds.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::access::Access;
use switchbox_core::registry::Device;
use switchbox_model::{
    registry::{Credential, PasswordHash},
    symmetric::{SymmetricKey, SymmetricKeys},
};
use switchbox_store::ServiceDoc;

/// Who a client turned out to be.
#[derive(Debug, Clone)]
pub enum Principal {
    Device(Arc<Device>),
    /// A program with an account, as the account was when the program was admitted.
    Service(Arc<ServiceDoc>),
    /// A client that is not a device: only ordinary topics.
    Client,
}

impl Principal {
    /// `None` if it is not a device.
    #[must_use]
    pub fn device(&self) -> Option<&Arc<Device>> {
        match self {
            Self::Device(device) => Some(device),
            Self::Service(_) | Self::Client => None,
        }
    }
}

/// What a client proved itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing was asked for.
    None,
    /// A key or a certificate of the device: the digest of its text.
    Credential([u8; 32]),
    /// A certificate by the authority with this digest.
    Authority([u8; 32]),
    /// The password whose hash this is.
    Password(Option<PasswordHash>),
    /// What one of its own symmetric keys signed: the key's digest.
    OwnKey([u8; 32]),
    /// What one of the two access keys of its registry with this name signed: the key's digest.
    AccessKey(String, [u8; 32]),
}

/// When something runs out, milliseconds since the Unix epoch; none = never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessExpiry(pub Option<u64>);

impl AccessExpiry {
    fn or_sooner(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }
}

impl Proof {
    /// What a proof by a symmetric key is known by.
    pub(super) fn digest(key: &SymmetricKey) -> [u8; 32] {
        Sha256::digest(key.0.as_bytes()).into()
    }

    pub(super) fn of(credential: &Credential) -> Self {
        Self::Credential(Sha256::digest(&credential.key).into())
    }

    /// When the credential of this list that the client used expires. `None` when the list has none such any more, or it has expired.
    fn until(&self, credentials: &[Credential], password: Option<&PasswordHash>, now_ms: u64) -> Option<AccessExpiry> {
        let counts = |credential: &&Credential| credential.expires_ms.is_none_or(|expires| expires > now_ms);
        match self {
            Self::None => Some(AccessExpiry::default()),
            Self::Credential(_) => {
                let mut found = credentials.iter().filter(counts).filter(|credential| Self::of(credential) == *self);
                found.next().map(|credential| AccessExpiry(credential.expires_ms))
            }
            Self::Authority(_) | Self::OwnKey(_) | Self::AccessKey(..) => None,
            Self::Password(hash) => (hash.as_ref() == password).then(AccessExpiry::default),
        }
    }
}

fn is_one_of(keys: Option<&SymmetricKeys>, digest: &[u8; 32]) -> bool {
    keys.is_some_and(|keys| keys.both().into_iter().any(|key| Proof::digest(key) == *digest))
}

/// What a client is, what it may do, and until when.
#[derive(Debug, Clone)]
pub struct AuthContext {
    pub principal: Principal,
    pub access: Access,
    pub(super) proof: Proof,
    /// When its token, key or certificate expires, as known when the client was admitted.
    pub(super) end: AccessExpiry,
}

impl AuthContext {
    /// Accepted without credentials.
    #[must_use]
    pub fn open(principal: Principal) -> Self {
        Self { principal, access: Access::Open, proof: Proof::None, end: AccessExpiry::default() }
    }

    #[must_use]
    pub fn end(&self) -> AccessExpiry {
        self.end
    }

    /// Until when; the error says why it does not.
    pub(super) fn device_holds(
        &self,
        device: &Device,
        authorities: &dyn Fn(&Device) -> Vec<[u8; 32]>,
        access_key: &dyn Fn(&str) -> Option<SymmetricKeys>,
        now_ms: u64,
    ) -> Result<AccessExpiry, String> {
        if device.is_deleted() {
            return Err(format!("device {} was deleted", device.name));
        }
        let spec = device.spec();
        if spec.blocked {
            return Err(format!("device {} is blocked", device.name));
        }
        let end = match &self.proof {
            Proof::Authority(digest) => authorities(device).contains(digest).then(AccessExpiry::default),
            Proof::OwnKey(digest) => is_one_of(spec.symmetric_keys.as_deref(), digest).then(AccessExpiry::default),
            Proof::AccessKey(name, digest) => is_one_of(access_key(name).as_ref(), digest).then(AccessExpiry::default),
            proof => proof.until(&spec.credentials, device.password().as_ref(), now_ms),
        };
        let end = end.ok_or_else(|| format!("the credential of {} was taken away or replaced", device.name))?;
        Ok(self.end.or_sooner(end))
    }

    /// `now`: the account as it is now. Returns until when the password is valid; the error says why it is not.
    pub(super) fn service_holds(
        &self,
        then: &ServiceDoc,
        now: Option<&ServiceDoc>,
        now_ms: u64,
    ) -> Result<AccessExpiry, String> {
        let name = &then.name;
        let Some(now) = now else { return Err(format!("service account {name} was deleted")) };
        if now.spec.disabled {
            return Err(format!("service account {name} is disabled"));
        }
        if (&now.spec.publish, &now.spec.subscribe) != (&then.spec.publish, &then.spec.subscribe) {
            return Err(format!("the lists of service account {name} have changed"));
        }
        let end = self.proof.until(&now.spec.credentials, now.password.as_ref(), now_ms);
        let end = end.ok_or_else(|| format!("the credential of service account {name} was taken away or replaced"))?;
        Ok(self.end.or_sooner(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::registry::KeyFormat;

    #[test]
    fn a_proof_counts_while_it_is_there_and_until_its_key_expires() {
        const NOW: u64 = 1_000;
        let key = |key: &str, expires_ms| Credential { format: KeyFormat::Es256Pem, key: key.into(), expires_ms };
        let hash = |text: &str| PasswordHash(text.into());
        let (lasting, brief) = (key("a", None), key("a", Some(NOW + 5)));
        let by_key = Proof::of(&lasting);
        for (proof, credentials, password, expect) in [
            (Proof::None, vec![], None, Some(AccessExpiry(None))),
            (by_key.clone(), vec![key("b", None), lasting], None, Some(AccessExpiry(None))),
            (by_key.clone(), vec![brief], None, Some(AccessExpiry(Some(NOW + 5)))),
            (by_key.clone(), vec![key("a", Some(NOW))], None, None),
            (by_key, vec![key("b", None)], None, None),
            (Proof::Password(Some(hash("x"))), vec![], Some(hash("x")), Some(AccessExpiry(None))),
            (Proof::Password(Some(hash("x"))), vec![], Some(hash("y")), None),
            (Proof::Password(Some(hash("x"))), vec![], None, None),
        ] {
            assert_eq!(proof.until(&credentials, password.as_ref(), NOW), expect, "{proof:?} {credentials:?}");
        }
        for (one, other, expect) in [(None, None, None), (Some(1), None, Some(1)), (Some(2), Some(1), Some(1))] {
            assert_eq!(AccessExpiry(one).or_sooner(AccessExpiry(other)), AccessExpiry(expect));
        }
    }
}
