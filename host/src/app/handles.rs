//! The handles of the parts of a running host, for tasks off the path of an event.

use std::sync::Arc;

use switchbox_auth as auth;
use switchbox_core::{ingest, outbox, registry};
use switchbox_delivery as delivery;
use switchbox_dispatch::Manager;
use switchbox_pubsub::Topics;
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};

#[derive(Clone)]
pub struct HostHandles {
    pub store: store::Handle,
    pub registry: registry::Handle,
    pub outbox: outbox::Handle,
    pub ingest: ingest::Handle,
    pub delivery: delivery::Handle,
    pub plugins: Arc<Manager>,
    pub topics: Topics,
    pub auth: auth::Handle,
    pub files: switchbox_files::Handle,
    pub metrics: Metrics,
    pub tasks: Tasks,
}
