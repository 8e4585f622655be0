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
            let is_same = |known: &Credential| {
                known.expires_ms == credential.expires_ms && is_same_pem(&known.key, &credential.key)
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
        self.update_credentials(owner, docs, |credentials| take(credentials, |known| is_same_pem(&known.key, key)))
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

    /// The other key is the current one, and not the one that the caller has seen.
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
            if spec.authorities.iter().any(|known| is_same_pem(known, &certificate)) {
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
        self.update_registry(name, docs, |spec| take(&mut spec.authorities, |known| is_same_pem(known, certificate)))
    }
}

/// Removes all that are meant: a key that leaked is gone, however often it was registered.
fn take<T>(items: &mut Vec<T>, is_meant: impl Fn(&T) -> bool) -> Result<(), EntryRefusal> {
    let before = items.len();
    items.retain(|item| !is_meant(item));
    if items.len() == before { Err(EntryRefusal::NoSuchCredential) } else { Ok(()) }
}
