//! The parts of the host that the MQTT server calls.

use switchbox_auth as auth;
use switchbox_core::ingest;
use switchbox_delivery as delivery;

/// Authentication, the way of events to the journal, and the deliveries to devices. Cheap to clone.
#[derive(Clone)]
pub struct HostParts {
    pub auth: auth::Handle,
    pub ingest: ingest::Handle,
    pub delivery: delivery::Handle,
}
