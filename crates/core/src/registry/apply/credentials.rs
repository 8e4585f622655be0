//! Adds or removes a credential of a device, a service account or a registry, and replaces one of two symmetric keys.

use crate::registry::maps::Maps;
use switchbox_model::{
    RegistryName,
    patch::{CredentialOwner, DevicePatch, KeyOwner, is_same_pem},
    registry::Credential,
    symmetric::{KeySlot, SymmetricKey},
};
use switchbox_store::{Doc, EntryRefusal};

impl Maps {
    pub(super) fn add_credential(
        &mut self,
        owner: &CredentialOwner,
        credential: Credential,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        self.update_credentials(owner, docs, |credentials| {
            let is_same = |existing: &Credential| {
                existing.expires_ms == credential.expires_ms && is_same_pem(&existing.key, &credential.key)
            };
            if credentials.iter().any(is_same) {
                return Err(EntryRefusal::HasCredential);
            }
            credentials.push(credential);
            Ok(())
        })
    }

    pub(super) fn remove_credential(
        &mut self,
        owner: &CredentialOwner,
        key: &str,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        self.update_credentials(owner, docs, |credentials| {
            remove_matching(credentials, |existing| is_same_pem(&existing.key, key))
        })
    }

    fn update_credentials(
        &mut self,
        owner: &CredentialOwner,
        docs: &mut Vec<Doc>,
        change: impl FnOnce(&mut Vec<Credential>) -> Result<(), EntryRefusal>,
    ) -> Result<(), EntryRefusal> {
        match owner {
            CredentialOwner::Device(num) => {
                let mut credentials = self.get(*num).ok_or(EntryRefusal::NotFound)?.spec().credentials.clone();
                change(&mut credentials)?;
                let patch = DevicePatch { credentials: Some(credentials), ..DevicePatch::default() };
                self.patch_device(*num, patch, docs)
            }
            CredentialOwner::Service(name) => {
                self.update_service(name, docs, |service| change(&mut service.spec.credentials))
            }
        }
    }

    /// Replaces one key. The other one stays as it is now, which may differ from what the caller has read.
    pub(super) fn renew_key(
        &mut self,
        owner: &KeyOwner,
        which: KeySlot,
        key: SymmetricKey,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        match owner {
            KeyOwner::Device(num) => {
                let keys = self.get(*num).ok_or(EntryRefusal::NotFound)?.spec().symmetric_keys.clone();
                let mut keys = keys.ok_or(EntryRefusal::NoSuchCredential)?;
                keys.set(which, key);
                let patch = DevicePatch { symmetric_keys: Some(Some(keys)), ..DevicePatch::default() };
                self.patch_device(*num, patch, docs)
            }
            KeyOwner::AccessKey { registry, name } => self.update_registry(registry, docs, |spec| {
                spec.access_keys.get_mut(name).ok_or(EntryRefusal::NoSuchCredential)?.set(which, key);
                Ok(())
            }),
        }
    }

    pub(super) fn add_authority(
        &mut self,
        name: &RegistryName,
        certificate: String,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        self.update_registry(name, docs, |spec| {
            if spec.authorities.iter().any(|existing| is_same_pem(existing, &certificate)) {
                return Err(EntryRefusal::HasCredential);
            }
            spec.authorities.push(certificate);
            Ok(())
        })
    }

    pub(super) fn remove_authority(
        &mut self,
        name: &RegistryName,
        certificate: &str,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        self.update_registry(name, docs, |spec| {
            remove_matching(&mut spec.authorities, |existing| is_same_pem(existing, certificate))
        })
    }
}

/// Removes all matching items, because a key that leaked may be registered several times. Refused if there is none.
fn remove_matching<T>(items: &mut Vec<T>, matches: impl Fn(&T) -> bool) -> Result<(), EntryRefusal> {
    let count_before = items.len();
    items.retain(|item| !matches(item));
    if items.len() == count_before { Err(EntryRefusal::NoSuchCredential) } else { Ok(()) }
}
