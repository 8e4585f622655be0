//! State that every call uses: the parts of the host, and the caller.

use std::{net::IpAddr, ops::Deref, sync::Arc};

use tokio::sync::Semaphore;

use switchbox_azure::{Hubs, Policy};
use switchbox_azure_amqp::{Endpoint, HostHandles};
use switchbox_core::registry::Device;
use switchbox_files as files;
use switchbox_model::{Cause, DeviceId, DeviceName, DeviceNum, PayloadLimits, RegistryName};
use switchbox_transport::admission;

use crate::error::{Code, ServiceError};

/// Each key has its own rate of calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RateKey {
    Policy(RegistryName, &'static str),
    Device(DeviceNum),
    /// A device that proves itself by an enrolment, with its registration id.
    Registration(RegistryName, String),
    Address(IpAddr),
}

/// The state of every handler. Each layer that a call passes takes a clone, which costs one count.
#[derive(Clone)]
pub(crate) struct App(Arc<AppState>);

pub(crate) struct AppState {
    pub(crate) handles: HostHandles,
    pub(crate) files: files::Handle,
    /// For AMQP over WebSocket.
    pub(crate) amqp: Endpoint,
    pub(crate) hubs: Hubs,
    /// Maximum sizes of what devices send.
    pub(crate) payloads: PayloadLimits,
    pub(crate) rates: admission::Rates<RateKey>,
    /// Permits for queries and lists of devices that run at the same time.
    pub(crate) queries: Arc<Semaphore>,
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
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
        Cause::Api { caller: self.name() }
    }

    /// The caller's name, for the cause of its changes and for the log.
    pub(crate) fn name(&self) -> String {
        format!("hub policy {}", self.policy.name())
    }
}

impl App {
    pub(crate) fn new(state: AppState) -> Self {
        Self(Arc::new(state))
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
