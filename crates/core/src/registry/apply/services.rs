//! Changes of service accounts.

use std::sync::Arc;

use crate::registry::{bounds, maps::Maps};
use switchbox_model::{ServiceName, limits::fields, patch::ServicePatch};
use switchbox_store::{Doc, EntryRefusal, ServiceDoc};

impl Maps {
    pub(super) fn create_service(&mut self, doc: ServiceDoc, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        if self.services.contains_key(&doc.name) {
            return Err(EntryRefusal::AlreadyExists);
        }
        let checked = fields::SERVICES.check_len("service accounts", self.services.len() + 1);
        checked.map_err(EntryRefusal::TooMuch)?;
        self.put_service(doc, docs);
        Ok(())
    }

    pub(super) fn patch_service(
        &mut self,
        name: &ServiceName,
        patch: &ServicePatch,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        self.update_service(name, docs, |service| {
            patch.apply(&mut service.spec);
            Ok(())
        })
    }

    /// Changes an account. Nothing is changed if `change` refuses or the result exceeds a limit.
    pub(super) fn update_service(
        &mut self,
        name: &ServiceName,
        docs: &mut Vec<Doc>,
        change: impl FnOnce(&mut ServiceDoc) -> Result<(), EntryRefusal>,
    ) -> Result<(), EntryRefusal> {
        let mut doc = self.services.get(name).ok_or(EntryRefusal::NotFound)?.as_ref().clone();
        change(&mut doc)?;
        bounds::check_service(&doc.spec).map_err(EntryRefusal::TooMuch)?;
        self.put_service(doc, docs);
        Ok(())
    }

    pub(super) fn delete_service(&mut self, name: ServiceName, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        self.services.remove(&name).ok_or(EntryRefusal::NotFound)?;
        docs.push(Doc::ServiceGone { name });
        Ok(())
    }

    fn put_service(&mut self, doc: ServiceDoc, docs: &mut Vec<Doc>) {
        let doc = Arc::new(ServiceDoc { revision: self.next_revision(), ..doc });
        docs.push(Doc::Service(doc.clone()));
        self.services.insert(doc.name.clone(), doc);
    }
}
