//! Changes of registries.

use std::collections::BTreeMap;

use crate::registry::{
    bounds,
    maps::{Maps, Registry},
};
use switchbox_model::{RegistryName, patch::RegistryPatch, registry::RegistrySpec};
use switchbox_store::{Doc, EntryRefusal, RegistryDoc};

impl Maps {
    pub(super) fn create_registry(&mut self, doc: RegistryDoc, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        if self.registries.contains_key(&doc.name) {
            return Err(EntryRefusal::AlreadyExists);
        }
        let doc = RegistryDoc { revision: self.next_revision(), ..doc };
        docs.push(Doc::Registry(doc.clone()));
        self.registries.insert(doc.name.clone(), Registry { doc, devices: BTreeMap::new() });
        Ok(())
    }

    pub(super) fn patch_registry(
        &mut self,
        name: &RegistryName,
        patch: &RegistryPatch,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        self.update_registry(name, docs, |spec| {
            patch.apply(spec);
            Ok(())
        })
    }

    /// Changes a registry. Nothing is changed if `change` refuses or the result exceeds a limit.
    pub(super) fn update_registry(
        &mut self,
        name: &RegistryName,
        docs: &mut Vec<Doc>,
        change: impl FnOnce(&mut RegistrySpec) -> Result<(), EntryRefusal>,
    ) -> Result<(), EntryRefusal> {
        let mut doc = self.registry(name).ok_or(EntryRefusal::NotFound)?.clone();
        change(&mut doc.spec)?;
        bounds::check_registry(&doc.spec).map_err(EntryRefusal::TooMuch)?;
        doc.revision = self.next_revision();
        self.put_registry(doc, docs);
        Ok(())
    }

    /// Replaces the registry's document.
    pub(super) fn put_registry(&mut self, doc: RegistryDoc, docs: &mut Vec<Doc>) {
        docs.push(Doc::Registry(doc.clone()));
        if let Some(registry) = self.registries.get_mut(&doc.name) {
            registry.doc = doc;
        }
    }

    pub(super) fn delete_registry(&mut self, name: RegistryName, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        let registry = self.registries.get(&name).ok_or(EntryRefusal::NotFound)?;
        if !registry.devices.is_empty() {
            return Err(EntryRefusal::NotEmpty);
        }
        self.registries.remove(&name);
        docs.push(Doc::RegistryGone { name });
        Ok(())
    }
}
