//! State that every call uses: the parts of the host, and the caller.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::Semaphore;

use switchbox_auth as auth;
use switchbox_azure::{Hubs, Policy};
use switchbox_azure_amqp::Endpoint;
use switchbox_core::{
    ingest, outbox,
    registry::{self, Device},
};
use switchbox_delivery as delivery;
use switchbox_files as files;
use switchbox_model::{Cause, DeviceId, DeviceName, DeviceNum, PayloadLimits, RegistryName, limits};
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};
use switchbox_transport::admission;

use crate::error::{Code, ServiceError};

/// The handles of the host that the API uses.
#[derive(Clone)]
pub struct HostHandles {
    pub registry: registry::Handle,
    pub ingest: ingest::Handle,
    pub outbox: outbox::Handle,
    pub delivery: delivery::Handle,
    pub store: store::Handle,
    pub auth: auth::Handle,
    pub files: files::Handle,
    /// For AMQP over WebSocket.
    pub amqp: Endpoint,
    pub metrics: Metrics,
    pub tasks: Tasks,
}

/// Each key has its own rate of calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RateKey {
    Policy(RegistryName, &'static str),
    Device(DeviceNum),
    Address(IpAddr),
}

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) handles: HostHandles,
    pub(crate) hubs: Hubs,
    /// Maximum sizes of what devices send.
    pub(crate) payloads: PayloadLimits,
    pub(crate) rates: Arc<admission::Rates<RateKey>>,
    /// Permits for queries and lists of devices that run at the same time.
    pub(crate) queries: Arc<Semaphore>,
}

/// The hub that a call is for, and the policy that signed its token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) registry: RegistryName,
    pub(crate) policy: Policy,
}

impl Caller {
    /// The cause of the changes that the call makes.
    pub(crate) fn cause(&self) -> Cause {
        Cause::Api { who: self.who() }
    }

    pub(crate) fn who(&self) -> String {
        format!("hub policy {}", self.policy.name())
    }
}

impl App {
    pub(crate) fn new(handles: HostHandles, hubs: Hubs, payloads: PayloadLimits) -> Self {
        let rates = Arc::new(admission::Rates::new(limits::ADMIN_CALLERS));
        Self { handles, hubs, payloads, rates, queries: Arc::new(Semaphore::new(limits::HUB_QUERIES)) }
    }

    pub(crate) fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Device>, ServiceError> {
        let name = self.name(caller, id)?;
        let found = self.handles.registry.find(&name);
        found.ok_or_else(|| ServiceError::new(Code::DeviceNotFound, format!("device {id} is not registered")))
    }

    pub(crate) fn name(&self, caller: &Caller, id: &str) -> Result<DeviceName, ServiceError> {
        let id = DeviceId::new(id).map_err(|error| ServiceError::new(Code::ArgumentInvalid, error.to_string()))?;
        Ok(DeviceName { registry: caller.registry.clone(), id })
    }
}
