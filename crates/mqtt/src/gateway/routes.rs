//! The gateway connection of each attached device. A change of the device makes that connection check its authorisation.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::mailbox::Mailbox;
use switchbox_model::DeviceNum;
use switchbox_mqtt_session::topics::Subscriber as _;

/// The mailbox of each attached device's gateway.
#[derive(Debug, Default)]
pub(crate) struct GatewayRoutes(Mutex<HashMap<DeviceNum, Arc<Mailbox>>>);

impl GatewayRoutes {
    pub(crate) fn add(&self, device: DeviceNum, gateway: &Arc<Mailbox>) {
        self.0.lock().insert(device, gateway.clone());
    }

    /// Removes the route, unless another gateway has the device by now.
    pub(crate) fn remove(&self, device: DeviceNum, gateway: &Mailbox) {
        if let Entry::Occupied(route) = self.0.lock().entry(device)
            && route.get().id() == gateway.id()
        {
            route.remove();
        }
    }

    /// Makes the gateway of this device, if it has one, check its authorisation again.
    pub(crate) fn revalidate(&self, device: DeviceNum) {
        if let Some(gateway) = self.0.lock().get(&device) {
            gateway.request_revalidation();
        }
    }
}
