//! What a client was let in as and by what, so that it can be looked at again when something changes. Pure but for the
//! device that it holds.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::access::Access;
use crate::{
    model::registry::{Credential, PasswordHash},
    registry::Device,
    store::ServiceDoc,
};

/// Who a client turned out to be.
#[derive(Debug, Clone)]
pub enum Principal {
    Device(Arc<Device>),
    /// A program with an account, as it stood when it was let in.
    Service(Arc<ServiceDoc>),
    /// A client that is no device: only ordinary topics.
    Client,
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
}

impl Proof {
    pub(super) fn of(credential: &Credential) -> Self {
        Self::Credential(Sha256::digest(&credential.key).into())
    }

    /// Whether it is one of these, and still counts.
    fn is_among(&self, credentials: &[Credential], password: Option<&PasswordHash>, now_ms: u64) -> bool {
        let counts = |credential: &&Credential| credential.expires_ms.is_none_or(|expires| expires > now_ms);
        match self {
            Self::None => true,
            Self::Credential(_) => credentials.iter().filter(counts).any(|credential| Self::of(credential) == *self),
            Self::Authority(_) => false,
            Self::Password(hash) => hash.as_ref() == password,
        }
    }
}

/// A client's place in the house.
#[derive(Debug, Clone)]
pub struct Standing {
    pub principal: Principal,
    pub access: Access,
    pub(super) proof: Proof,
    /// When its token, key or certificate runs out, milliseconds since the Unix epoch.
    pub(super) runs_out_ms: Option<u64>,
}

impl Standing {
    /// Let in without a proof.
    #[must_use]
    pub fn open(principal: Principal) -> Self {
        Self { principal, access: Access::Open, proof: Proof::None, runs_out_ms: None }
    }

    /// When the connection must end, milliseconds since the Unix epoch.
    #[must_use]
    pub fn runs_out_ms(&self) -> Option<u64> {
        self.runs_out_ms
    }

    /// The error says why it does not.
    pub(super) fn device_holds(
        &self,
        device: &Device,
        authorities: &dyn Fn(&Device) -> Vec<[u8; 32]>,
        now_ms: u64,
    ) -> Result<(), String> {
        if device.deleted() {
            return Err(format!("device {} was deleted", device.name));
        }
        let spec = device.spec();
        if spec.blocked {
            return Err(format!("device {} is blocked", device.name));
        }
        let holds = match &self.proof {
            Proof::Authority(digest) => authorities(device).contains(digest),
            proof => proof.is_among(&spec.credentials, device.password().as_ref(), now_ms),
        };
        if holds { Ok(()) } else { Err(format!("the credential of {} was taken away or replaced", device.name)) }
    }

    /// `now`: the account as it stands now. The error says why it does not.
    pub(super) fn service_holds(&self, then: &ServiceDoc, now: Option<&ServiceDoc>, now_ms: u64) -> Result<(), String> {
        let name = &then.name;
        let Some(now) = now else { return Err(format!("service account {name} was deleted")) };
        if now.spec.disabled {
            return Err(format!("service account {name} is disabled"));
        }
        if (&now.spec.publish, &now.spec.subscribe) != (&then.spec.publish, &then.spec.subscribe) {
            return Err(format!("the lists of service account {name} have changed"));
        }
        let holds = self.proof.is_among(&now.spec.credentials, now.password.as_ref(), now_ms);
        if holds { Ok(()) } else { Err(format!("the credential of service account {name} was taken away or replaced")) }
    }
}
