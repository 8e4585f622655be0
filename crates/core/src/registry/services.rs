//! Service accounts: programs that are no devices, what they may do, and the calls by which an operator changes them.

use std::sync::Arc;

use super::{Error, Handle};
use switchbox_model::{
    RegistryChange, ServiceName,
    limits::fields,
    registry::{PasswordHash, ServiceSpec},
};
use switchbox_store::ServiceDoc;
use switchbox_support::clock;

impl Handle {
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<Arc<ServiceDoc>> {
        self.maps.read().services.get(name).cloned()
    }

    /// In order of their names.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<ServiceDoc>> {
        self.maps.read().services.values().cloned().collect()
    }

    pub async fn create_service(&self, name: ServiceName, spec: ServiceSpec) -> Result<(), Error> {
        check(&spec)?;
        fields::SERVICES.check_len("service accounts", self.services().len() + 1).map_err(Error::Full)?;
        let what = name.to_string();
        self.change(RegistryChange::ServiceCreated { name, spec, time_ms: clock::now_ms() }, &what).await
    }

    /// Replaces what an operator says of it. Its connections end when its lists are others.
    pub async fn change_service(&self, name: &ServiceName, spec: ServiceSpec) -> Result<(), Error> {
        check(&spec)?;
        self.change(RegistryChange::ServiceChanged { name: name.clone(), spec }, name.as_str()).await
    }

    /// None takes the password away.
    pub async fn set_service_password(&self, name: &ServiceName, hash: Option<PasswordHash>) -> Result<(), Error> {
        self.change(RegistryChange::ServicePassword { name: name.clone(), hash }, name.as_str()).await
    }

    pub async fn delete_service(&self, name: &ServiceName) -> Result<(), Error> {
        self.change(RegistryChange::ServiceDeleted { name: name.clone() }, name.as_str()).await
    }
}

fn check(spec: &ServiceSpec) -> Result<(), Error> {
    fields::CREDENTIALS.check_len("credentials of a service account", spec.credentials.len())?;
    fields::SERVICE_FILTERS.check_len("publish", spec.publish.len())?;
    Ok(fields::SERVICE_FILTERS.check_len("subscribe", spec.subscribe.len())?)
}
