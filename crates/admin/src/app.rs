//! The state of all handlers: the parts of the host that they use, and the API's own state.

use std::{
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{
    answers, audit, authors::Authors, error::Error, folder, followers, plugins::Plugins, rate, series, tokens,
};
use switchbox_admin_api::Listeners;
use switchbox_auth as auth;
use switchbox_azure::Hubs;
use switchbox_core::{explain, ingest, journal, outbox, registry};
use switchbox_delivery as delivery;
use switchbox_files as files;
use switchbox_model::{DeviceName, DeviceNum, PayloadLimits};
use switchbox_pubsub::Topics;
use switchbox_store as store;
use switchbox_support::{exposition::Exposition, log_limit::LogLimits, metrics::Metrics, tasks::Tasks};

/// The handles of the host that the API uses.
#[derive(Clone)]
pub struct HostHandles {
    pub registry: registry::Handle,
    pub outbox: outbox::Handle,
    pub delivery: delivery::Handle,
    pub store: store::Handle,
    pub journal: journal::Handle,
    pub explain: explain::Handle,
    pub plugins: Arc<dyn Plugins>,
    /// Records the callers that write plugins' files.
    pub authors: Arc<Authors>,
    /// For devices that use HTTP.
    pub auth: auth::Handle,
    pub files: files::Handle,
    pub ingest: ingest::Handle,
    pub topics: Topics,
    pub counters: Metrics,
    /// The essential tasks.
    pub tasks: Tasks,
    pub listeners: Listeners,
    /// The counters as text.
    pub metrics: Arc<dyn Fn(Exposition) -> String + Send + Sync>,
}

/// The state of every handler. Each layer that a call passes takes a clone, which costs one count.
#[derive(Clone)]
pub(super) struct App(Arc<AppState>);

pub(super) struct AppState {
    pub(super) handles: HostHandles,
    pub(super) folder: folder::Folder,
    /// `None` when callers need no token.
    pub(super) tokens: Option<tokens::Tokens>,
    pub(super) rates: rate::Rates,
    pub(super) answers: answers::LargeAnswers,
    pub(super) audit: audit::Audit,
    pub(super) cors_origins: Arc<[String]>,
    pub(super) payloads: PayloadLimits,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) followers: followers::Followers,
    pub(super) hubs: Arc<Hubs>,
    pub(super) series: series::Series,
    /// When the host started, milliseconds since the Unix epoch.
    pub(super) started_ms: u64,
    /// Limits the log lines about devices that are refused over HTTP.
    pub(super) bridge_log_limit: Arc<LogLimits<IpAddr>>,
    /// Limits the log lines of calls beyond a token's scope, by the token's name.
    pub(super) scope_log_limit: Arc<LogLimits<String>>,
    /// Ends the streams that have no end of their own.
    pub(super) stopping: CancellationToken,
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl App {
    pub(super) fn new(state: AppState) -> Self {
        Self(Arc::new(state))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The error of a call for a device that does not exist. If its registry does not exist either, the error names the registry.
    pub(super) fn no_device(&self, name: &DeviceName) -> Error {
        match self.handles.registry.registry(&name.registry) {
            Some(_) => Error::not_found(format!("device {name}")),
            None => Error::not_found(format!("registry {}", name.registry)),
        }
    }

    /// The name of a device in past events; `None` if it was deleted.
    pub(super) fn name_of(&self, num: DeviceNum) -> Option<DeviceName> {
        self.handles.registry.get(num).map(|device| device.name.clone())
    }
}
