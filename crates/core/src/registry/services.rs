//! Service accounts of programs that are not devices: their permissions, and the operations of operators on them.

use std::sync::Arc;

use super::{Error, Handle, bounds, operations::full};
use switchbox_model::{
    RegistryChange, ServiceName,
    patch::ServicePatch,
    registry::{PasswordHash, ServiceSpec},
};
use switchbox_store::ServiceDoc;
use switchbox_support::clock;

impl Handle {
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<Arc<ServiceDoc>> {
        self.maps.read().services.get(name).cloned()
    }

    /// All accounts, in the order of their names.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<ServiceDoc>> {
        self.maps.read().services.values().cloned().collect()
    }

    pub async fn create_service(&self, name: ServiceName, spec: ServiceSpec) -> Result<(), Error> {
        bounds::check_service(&spec)?;
        let subject = name.to_string();
        let change = RegistryChange::ServiceCreated { name, spec, time_ms: clock::now_ms() };
        self.change(change, None, &subject).await.map_err(full)
    }

    /// Changes an account. Its connections are revalidated: they end if they are not allowed any more.
    pub async fn patch_service(
        &self,
        name: &ServiceName,
        patch: ServicePatch,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let mut spec = ServiceSpec::default();
        patch.apply(&mut spec);
        bounds::check_service(&spec)?;
        let change = RegistryChange::ServicePatched { name: name.clone(), patch: Box::new(patch) };
        self.change(change, revision, name.as_str()).await
    }

    /// Sets the password, or removes it if `hash` is `None`.
    pub async fn set_service_password(
        &self,
        name: &ServiceName,
        hash: Option<PasswordHash>,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        self.change(RegistryChange::ServicePassword { name: name.clone(), hash }, revision, name.as_str()).await
    }

    pub async fn delete_service(&self, name: &ServiceName, revision: Option<u64>) -> Result<(), Error> {
        self.change(RegistryChange::ServiceDeleted { name: name.clone() }, revision, name.as_str()).await
    }
}
