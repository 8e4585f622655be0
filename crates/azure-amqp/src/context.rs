//! State that all connections share.

use switchbox_auth as auth;
use switchbox_azure::Hubs;
use switchbox_core::{ingest, outbox, registry};
use switchbox_delivery as delivery;
use switchbox_model::PayloadLimits;
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};
use tokio_util::sync::CancellationToken;

use crate::{feedback_cursor::FeedbackCursors, journal_reads::JournalReads};

/// The handles of the host that the endpoint and the service side over HTTPS use.
#[derive(Clone)]
pub struct HostHandles {
    pub registry: registry::Handle,
    pub ingest: ingest::Handle,
    pub outbox: outbox::Handle,
    pub delivery: delivery::Handle,
    pub store: store::Handle,
    pub auth: auth::Handle,
    pub metrics: Metrics,
    pub tasks: Tasks,
}

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handles: HostHandles,
    pub(crate) journal: JournalReads,
    pub(crate) hubs: Hubs,
    pub(crate) partitions: u16,
    /// Of what devices send.
    pub(crate) payloads: PayloadLimits,
    pub(crate) feedback: FeedbackCursors,
    pub(crate) shutdown: CancellationToken,
}
