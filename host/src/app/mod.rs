//! The one place that wires the handles together, starts them in order and stops them in the reverse order. Decides nothing.

mod azure;
mod clock_watch;
mod connections;
mod descriptors;
mod dry_runs;
mod exit;
mod handles;
mod housekeeping;
mod journal_recordings;
mod listeners;
mod metrics_text;
mod options;
mod plugin_views;
mod serve;
mod start;
mod stop;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use azure::Listening;
pub use exit::{ExitStatus, Failure, STOP_DEADLINE, code};
pub use handles::HostHandles;
pub use listeners::Listeners;
pub use serve::{Damage, serve};

use switchbox_dispatch as dispatch;
use switchbox_store as store;
use switchbox_support::threads::Background;

/// A host that runs in this process.
pub struct Host {
    /// Where MQTT clients connect.
    pub mqtt: SocketAddr,
    pub listeners: Listeners,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// Where it listens with TLS.
    pub admin_tls: Option<SocketAddr>,
    /// Where programs of Azure IoT Hub call.
    pub azure: azure::Listening,
    pub handles: HostHandles,
    shutdown: CancellationToken,
    ready: Arc<AtomicBool>,
    fatal: Arc<Mutex<Option<String>>>,
    mqtt_server: JoinHandle<()>,
    api: JoinHandle<()>,
    folder: switchbox_plugin_loader::Service,
    housekeeping: JoinHandle<()>,
    clock_watch: JoinHandle<()>,
    windows: JoinHandle<()>,
    timers: JoinHandle<()>,
    publisher: JoinHandle<()>,
    expiry: JoinHandle<()>,
    exporter: Option<JoinHandle<()>>,
    dispatch: dispatch::Handle,
    store_service: store::Service,
    background: Background,
}

impl Host {
    /// Cancelled when the host is to stop, or has to.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }
}
