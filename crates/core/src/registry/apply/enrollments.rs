//! Changes of a registry's enrolments.

use std::sync::Arc;

use crate::registry::{bounds, maps::Maps};
use switchbox_model::{RegistryName, enrollment::Enrollment, limits::fields};
use switchbox_store::{Doc, EntryRefusal};

impl Maps {
    pub(super) fn create_enrollment(
        &mut self,
        name: &RegistryName,
        id: String,
        enrollment: Enrollment,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        let doc = self.registry(name).ok_or(EntryRefusal::NotFound)?;
        let is_same =
            |other: &Enrollment| other.registration_id.is_some() && other.registration_id == enrollment.registration_id;
        if doc.enrollments.contains_key(&id) || doc.enrollments.values().any(is_same) {
            return Err(EntryRefusal::AlreadyExists);
        }
        let count = doc.enrollments.len() + 1;
        fields::ENROLLMENTS.check_len("enrolments of a registry", count).map_err(EntryRefusal::TooMuch)?;
        bounds::check_enrollment(&enrollment).map_err(EntryRefusal::TooMuch)?;
        let mut doc = doc.clone();
        Arc::make_mut(&mut doc.enrollments).insert(id, enrollment);
        doc.revision = self.next_revision();
        self.put_registry(doc, docs);
        Ok(())
    }

    /// With `expected`, only if the enrolment is equal to that.
    pub(super) fn delete_enrollment(
        &mut self,
        name: &RegistryName,
        id: &str,
        expected: Option<&Enrollment>,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        let mut doc = self.registry(name).ok_or(EntryRefusal::NotFound)?.clone();
        let deleted = Arc::make_mut(&mut doc.enrollments).remove(id).ok_or(EntryRefusal::NotFound)?;
        if expected.is_some_and(|expected| *expected != deleted) {
            return Err(EntryRefusal::OtherRevision { current: doc.revision });
        }
        doc.revision = self.next_revision();
        self.put_registry(doc, docs);
        Ok(())
    }

    pub(super) fn replace_enrollment(
        &mut self,
        name: &RegistryName,
        id: &str,
        expected: &Enrollment,
        enrollment: Enrollment,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        bounds::check_enrollment(&enrollment).map_err(EntryRefusal::TooMuch)?;
        let mut doc = self.registry(name).ok_or(EntryRefusal::NotFound)?.clone();
        let current = doc.revision;
        let stored = Arc::make_mut(&mut doc.enrollments).get_mut(id).ok_or(EntryRefusal::NotFound)?;
        if *stored != *expected {
            return Err(EntryRefusal::OtherRevision { current });
        }
        *stored = enrollment;
        doc.revision = self.next_revision();
        self.put_registry(doc, docs);
        Ok(())
    }
}
