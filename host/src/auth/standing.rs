//! What a client was let in as and by what, so that it can be looked at again when something changes. Pure but for the
//! device that it holds.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::access::Access;
use crate::{
    model::registry::{Credential, PasswordHash},
    registry::Device,
};

/// Who a client turned out to be.
#[derive(Debug, Clone)]
pub enum Principal {
    Device(Arc<Device>),
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
    pub(super) fn still_holds(
        &self,
        authorities: &dyn Fn(&Device) -> Vec<[u8; 32]>,
        now_ms: u64,
    ) -> Result<(), String> {
        let Principal::Device(device) = &self.principal else { return Ok(()) };
        let spec = device.spec();
        if device.deleted() {
            return Err(format!("device {} was deleted", device.name));
        }
        if spec.blocked {
            return Err(format!("device {} is blocked", device.name));
        }
        let holds = match &self.proof {
            Proof::None => true,
            proof @ Proof::Credential(_) => spec.credentials.iter().any(|credential| {
                credential.expires_ms.is_none_or(|expires| expires > now_ms) && Proof::of(credential) == *proof
            }),
            Proof::Authority(digest) => authorities(device).contains(digest),
            Proof::Password(hash) => device.password() == *hash,
        };
        if holds { Ok(()) } else { Err(format!("the credential of {} was taken away or replaced", device.name)) }
    }
}
