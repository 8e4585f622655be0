//! Applies a change to registries, devices and service accounts: as a whole, or not at all if it is refused. It is deterministic, as it
//! depends on earlier entries only.

mod credentials;
mod devices;
mod enrollments;
mod registries;
mod services;
mod twins;

use std::sync::Arc;

use super::maps::Maps;
use switchbox_model::{
    DeviceNum, RegistryChange,
    patch::{CredentialOwner, KeyOwner},
};
use switchbox_store::{Doc, EntryRefusal, RegistryDoc, Reply, ServiceDoc};

impl Maps {
    /// Applies a change. With `revision`, only if the changed object has that one.
    pub(super) fn apply(
        &mut self,
        change: RegistryChange,
        revision: Option<u64>,
        docs: &mut Vec<Doc>,
    ) -> Result<Reply, EntryRefusal> {
        if let (Some(expected), Some(current)) = (revision, self.revision_of(&change))
            && expected != current
        {
            return Err(EntryRefusal::OtherRevision { current });
        }
        if let RegistryChange::DevicesPruned { nums } = change {
            return Ok(Reply::Pruned(self.prune(nums, docs)));
        }
        self.apply_one(change, docs).map(|()| Reply::Done)
    }

    fn apply_one(&mut self, change: RegistryChange, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        match change {
            RegistryChange::RegistryCreated { name, spec, time_ms } => {
                let enrollments = Arc::default();
                let doc = RegistryDoc { name, spec: *spec, enrollments, created_ms: time_ms, revision: 0 };
                self.create_registry(doc, docs)
            }
            RegistryChange::RegistryPatched { name, patch } => self.patch_registry(&name, &patch, docs),
            RegistryChange::RegistryDeleted { name } => self.delete_registry(name, docs),
            RegistryChange::DeviceCreated(new) => self.create_device(*new, docs),
            RegistryChange::DevicePatched { num, patch } => self.patch_device(num, *patch, docs),
            RegistryChange::DevicePassword { num, hash } => {
                self.update_device(num, docs, |device| device.password = hash)
            }
            RegistryChange::Bound { gateway, device } => self.bind(gateway, device, docs),
            RegistryChange::Unbound { gateway, device } => self.unbind(gateway, device, docs),
            RegistryChange::ServiceCreated { name, spec, time_ms } => {
                let doc = ServiceDoc { name, spec, password: None, created_ms: time_ms, revision: 0 };
                self.create_service(doc, docs)
            }
            RegistryChange::ServicePatched { name, patch } => self.patch_service(&name, &patch, docs),
            RegistryChange::ServicePassword { name, hash } => self.update_service(&name, docs, |service| {
                service.password = hash;
                Ok(())
            }),
            RegistryChange::ServiceDeleted { name } => self.delete_service(name, docs),
            RegistryChange::CredentialAdded { owner, credential } => self.add_credential(&owner, credential, docs),
            RegistryChange::CredentialRemoved { owner, key } => self.remove_credential(&owner, &key, docs),
            RegistryChange::AuthorityAdded { name, certificate } => self.add_authority(&name, certificate, docs),
            RegistryChange::AuthorityRemoved { name, certificate } => self.remove_authority(&name, &certificate, docs),
            RegistryChange::EnrollmentCreated { name, id, enrollment } => {
                self.create_enrollment(&name, id, *enrollment, docs)
            }
            RegistryChange::EnrollmentDeleted { name, id } => self.delete_enrollment(&name, &id, None, docs),
            RegistryChange::EnrollmentDeletedIf { name, id, before } => {
                self.delete_enrollment(&name, &id, Some(&before), docs)
            }
            RegistryChange::EnrollmentReplaced { name, id, before, enrollment } => {
                self.replace_enrollment(&name, &id, &before, *enrollment, docs)
            }
            RegistryChange::KeyRenewed { owner, which, key } => self.renew_key(&owner, which, key, docs),
            RegistryChange::TwinChanged(change) => self.change_tags(*change, docs),
            // `apply` has done it.
            RegistryChange::DevicesPruned { .. } => Ok(()),
        }
    }

    /// The revision of the object that is changed. Returns `None` if it does not exist, if the change has several objects or a new
    /// one, or if it is of an enrolment: such a change contains the enrolment that it expects.
    fn revision_of(&self, change: &RegistryChange) -> Option<u64> {
        let service = |name| self.services.get(name).map(|service| service.revision);
        match change {
            RegistryChange::RegistryDeleted { name }
            | RegistryChange::RegistryPatched { name, .. }
            | RegistryChange::AuthorityAdded { name, .. }
            | RegistryChange::AuthorityRemoved { name, .. } => self.registry(name).map(|registry| registry.revision),
            RegistryChange::DevicePatched { num, .. } | RegistryChange::DevicePassword { num, .. } => {
                self.device_revision(*num)
            }
            RegistryChange::TwinChanged(change) => self.device_revision(change.num),
            RegistryChange::KeyRenewed { owner, .. } => match owner {
                KeyOwner::Device(num) => self.device_revision(*num),
                KeyOwner::AccessKey { registry, .. } => self.registry(registry).map(|registry| registry.revision),
            },
            RegistryChange::ServicePatched { name, .. }
            | RegistryChange::ServicePassword { name, .. }
            | RegistryChange::ServiceDeleted { name } => service(name),
            RegistryChange::CredentialAdded { owner, .. } | RegistryChange::CredentialRemoved { owner, .. } => {
                match owner {
                    CredentialOwner::Device(num) => self.device_revision(*num),
                    CredentialOwner::Service(name) => service(name),
                }
            }
            RegistryChange::RegistryCreated { .. }
            | RegistryChange::DeviceCreated(_)
            | RegistryChange::DevicesPruned { .. }
            | RegistryChange::ServiceCreated { .. }
            | RegistryChange::Bound { .. }
            | RegistryChange::EnrollmentCreated { .. }
            | RegistryChange::EnrollmentDeleted { .. }
            | RegistryChange::EnrollmentDeletedIf { .. }
            | RegistryChange::EnrollmentReplaced { .. }
            | RegistryChange::Unbound { .. } => None,
        }
    }

    fn device_revision(&self, num: DeviceNum) -> Option<u64> {
        self.get(num).map(|device| device.registered().revision)
    }

    /// Deletes a device; with `revision`, only if it has that one.
    pub(in crate::registry) fn apply_deletion(
        &mut self,
        num: DeviceNum,
        revision: Option<u64>,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        if let (Some(expected), Some(current)) = (revision, self.device_revision(num))
            && expected != current
        {
            return Err(EntryRefusal::OtherRevision { current });
        }
        self.delete_device(num, docs)
    }
}
