//! The rest of the host as the MQTT server uses it.

use switchbox_auth as auth;
use switchbox_core::ingest;
use switchbox_delivery as delivery;

/// Who may come in and stay, where events go, and where deliveries come from. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    pub auth: auth::Handle,
    pub ingest: ingest::Handle,
    pub delivery: delivery::Handle,
}
