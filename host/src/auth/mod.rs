//! Who is it, and may it: decides at CONNECT. Never sees a packet.

use std::sync::Arc;

use crate::{
    model::{DeviceName, RegistryName, registry::DeviceSpec},
    registry::{self, Device},
};

pub use crate::settings::Enroll;

/// What a client shows at CONNECT.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// May be empty (the server assigned one then).
    pub client_id: &'a str,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

/// Who a client turned out to be.
#[derive(Debug, Clone)]
pub enum Principal {
    Device(Arc<Device>),
    /// A client that is no device: only ordinary topics.
    Client,
}

/// Why a client is not let in; `Display` is for the log (and the MQTT 5 reason string).
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// CONNACK "not authorised".
    #[error("not authorised: {0}")]
    NotAuthorised(String),
    /// CONNACK "server unavailable".
    #[error("server unavailable: {0}")]
    Unavailable(String),
}

/// Decides who gets in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    registry: registry::Handle,
    enroll: Enroll,
}

impl Handle {
    #[must_use]
    pub fn new(registry: registry::Handle, enroll: Enroll) -> Self {
        Self { registry, enroll }
    }

    /// Finds the device that the client id names, registering it when enrolment is open. An empty client id, or one that
    /// is no device name, is an ordinary client where enrolment is open.
    pub async fn admit(&self, credentials: Credentials<'_>) -> Result<Principal, Refusal> {
        let Ok(name) = DeviceName::parse(credentials.client_id, &RegistryName::default_registry()) else {
            return match self.enroll {
                Enroll::Open => Ok(Principal::Client),
                Enroll::Closed => Err(Refusal::NotAuthorised("the client id names no device".into())),
            };
        };
        let device = match self.registry.find(&name) {
            Some(device) => device,
            None => self.enroll(name).await?,
        };
        if device.spec().blocked {
            return Err(Refusal::NotAuthorised(format!("device {} is blocked", device.name)));
        }
        Ok(Principal::Device(device))
    }

    async fn enroll(&self, name: DeviceName) -> Result<Arc<Device>, Refusal> {
        if self.enroll == Enroll::Closed {
            return Err(Refusal::NotAuthorised(format!("device {name} is not registered")));
        }
        match self.registry.create(name.clone(), DeviceSpec::default()).await {
            Ok(device) => Ok(device),
            // Somebody else registered it meanwhile.
            Err(registry::Error::Exists(_)) => {
                self.registry.find(&name).ok_or_else(|| Refusal::NotAuthorised(format!("device {name} was deleted")))
            }
            Err(registry::Error::Store(error)) => Err(Refusal::Unavailable(error.to_string())),
            Err(error) => Err(Refusal::NotAuthorised(error.to_string())),
        }
    }
}
