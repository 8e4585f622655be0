//! The one place that wires the rooms together, starts them in order and stops them in the reverse order. Decides nothing.

mod changes;
mod clock_watch;
mod descriptors;
mod ending;
mod folder;
mod housekeeping;
mod listeners;
mod metrics_text;
mod plugin_views;
mod previous;
mod serve;
mod stop;
mod watchers;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use ending::{ExitStatus, Failure, STOP_DEADLINE, code};
pub use listeners::Listeners;
pub use serve::{Damage, serve};

use descriptors::Connections;
use watchers::Watched;

use switchbox_admin as admin;
use switchbox_auth as auth;
use switchbox_core::{
    engine::Engine,
    explain, ingest, journal, outbox,
    registry::{self, Changed},
    timers,
};
use switchbox_delivery as delivery;
use switchbox_dispatch as dispatch;
use switchbox_dispatch::Manager;
use switchbox_model::RegistryName;
use switchbox_mqtt as mqtt;
use switchbox_mqtt_session::topics;
use switchbox_plugin_runtime as plugin;
use switchbox_proxy as proxy;
use switchbox_settings::{Grant, Settings};
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, scheduling::Background, tasks::Tasks};
use switchbox_transport::tls;

/// A host that runs in this process.
pub struct Host {
    /// Where MQTT clients connect.
    pub mqtt: SocketAddr,
    pub listeners: Listeners,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// Where it listens with TLS.
    pub admin_tls: Option<SocketAddr>,
    pub parts: Parts,
    shutdown: CancellationToken,
    ready: Arc<AtomicBool>,
    fatal: Arc<Mutex<Option<String>>>,
    front: JoinHandle<()>,
    api: JoinHandle<()>,
    folder: folder::Service,
    housekeeping: JoinHandle<()>,
    clock_watch: JoinHandle<()>,
    timers: JoinHandle<()>,
    publisher: JoinHandle<()>,
    expiry: JoinHandle<()>,
    dispatch: dispatch::Handle,
    store_service: store::Service,
    background: Background,
}

/// The rooms' handles, for those that stand beside the event path.
#[derive(Clone)]
pub struct Parts {
    pub store: store::Handle,
    pub registry: registry::Handle,
    pub outbox: outbox::Handle,
    pub ingest: ingest::Handle,
    pub delivery: delivery::Handle,
    pub plugins: Arc<Manager>,
    pub topics: topics::Handle,
    pub auth: auth::Handle,
    pub metrics: Metrics,
    pub tasks: Tasks,
}

impl Host {
    /// Opens the store, takes up what was left, loads the plugins, and only then lets clients in.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let connections = descriptors::connections(settings, descriptors::raise())?;
        let background = Background::start().context("the background's threads cannot be started")?;
        let shutdown = CancellationToken::new();
        let fatal = Arc::new(Mutex::new(None));
        let options = store::Options {
            folder: settings.data.clone(),
            queue_bytes: settings.journal_queue_bytes,
            keep_bytes: settings.journal_keep_bytes,
            keep_executions_bytes: settings.journal_keep_executions_bytes,
            reserve_bytes: settings.disk_reserve_bytes,
            warn_free_bytes: settings.disk_warn_free_bytes,
        };
        let mut opened = tokio::task::spawn_blocking(move || store::open(options)).await??;
        let store = opened.handle();
        let registry = registry::Handle::load(store.clone(), &opened.loaded);
        let metrics = Metrics::default();
        let tasks = Tasks::new(metrics.clone());
        let dispatch = dispatch::Handle::new(store.clone(), registry.clone(), tasks.clone());
        let shown = watchers::Shown::default();
        let offer = Watched::new(dispatch.clone(), &shown);
        let ingest = ingest::Handle::new(store.clone(), Arc::new(offer));
        let loaded_queues = std::mem::take(&mut opened.loaded.commands);
        let queues = outbox::Queues::new(loaded_queues, settings.queued_commands);
        let delivery = delivery::Handle::new(delivery::Parts {
            store: store.clone(),
            ingest: ingest.clone(),
            registry: registry.clone(),
            queues: queues.clone(),
            metrics: metrics.clone(),
            runtime: tokio::runtime::Handle::current(),
        });
        delivery.set_proxy(proxy::Handle::new(settings.allowed_hosts.clone(), metrics.clone()));
        dispatch.set_reach(Arc::new(delivery.clone()));
        let sink = Arc::new(Watched::new(delivery.clone(), &shown));
        let mut engine = Engine::new(registry.clone(), queues.clone(), sink, &opened.loaded, metrics.clone());
        opened.replay(&mut engine)?;
        let mut loaded = std::mem::take(&mut opened.loaded);
        delivery.start_publishing(std::mem::take(&mut loaded.outgoing));
        let store_service = opened.start(engine, stop_on_failure(&shutdown, &fatal))?;
        // Where the disk is full, what may go makes room for what comes.
        store.trim(loaded.low_water).await?;

        registry.make_default().await?;
        let engine = plugin::Engine::new(plugin::Options {
            cache: Some(settings.data.join("compiled")),
            background: Some(background.handle().clone()),
            tasks: tasks.clone(),
            ..plugin::Options::default()
        })?;
        let consent = settings.grant == Grant::Consent;
        let plugins = Arc::new(Manager::recover(&dispatch, engine, &mut loaded, consent).await?);
        let timers = timers::run(dispatch.timers(), ingest.clone(), shutdown.child_token());
        let timers = tasks.spawn("timers", &shutdown, timers);
        let folder = folder::start(settings, plugins.clone(), &tasks, shutdown.clone()).await?;
        delivery.close_orphaned_connections().await?;
        delivery.expire_overdue().await?;
        let expiry = tasks.spawn("expiry", &shutdown, keep_time(delivery.clone(), shutdown.child_token()));

        let tls = settings.tls.clone().map(tls::Handle::load).transpose()?;
        let parts = Parts {
            auth: auth::Handle::new(registry.clone(), settings.enroll, tls.clone(), metrics.clone()),
            outbox: outbox::Handle::new(store.clone(), queues),
            topics: topics::Handle::new(metrics.clone(), topics::SessionLog::new(store.clone(), &loaded.broker)),
            store,
            registry,
            ingest,
            delivery,
            plugins,
            metrics,
            tasks,
        };
        let _ = shown.set(parts.topics.clone());
        let front = bind_front(settings, connections, &parts, tls.as_ref()).await?;
        front.restore(std::mem::take(&mut loaded.broker), |num| parts.registry.get(num));
        // Not before those who subscribed are there again.
        let publisher = parts.delivery.publisher(parts.topics.clone());
        let publisher = publisher.run(parts.tasks.clone(), shutdown.child_token());
        let publisher = parts.tasks.spawn("publisher", &shutdown, publisher);
        let listeners = Listeners::of(settings, &front);
        let reach = listeners.reach(settings, tls.as_ref());
        let api = bind_api(settings, connections, &parts, tls.clone(), reach).await?;
        let ready = api.readiness();
        let (admin, admin_tls) = (api.local_addr(), api.tls_addr());
        if let Some(tls) = tls {
            let registry = parts.registry.clone();
            let renewed = move || registry.announce(Changed::Registry(RegistryName::default_registry()));
            let watching = tls.watch(shutdown.child_token(), renewed);
            drop(parts.tasks.spawn("certificates", &shutdown, watching));
        }
        let tasks = &parts.tasks;
        let front = tasks.spawn_on(background.handle(), "mqtt", &shutdown, front.run(shutdown.child_token()));
        let api = tasks.spawn_on(background.handle(), "admin", &shutdown, api.run(shutdown.child_token()));
        let (store, ingest) = (parts.store.clone(), parts.ingest.clone());
        let (plugins, fatal_here) = (parts.plugins.clone(), stop_on_failure(&shutdown, &fatal));
        let shutdown_here = shutdown.child_token();
        let housekeeping = housekeeping::run(store, ingest, dispatch.clone(), plugins, fatal_here, shutdown_here);
        let housekeeping = tasks.spawn("housekeeping", &shutdown, housekeeping);
        let (plugins, registry) = (parts.plugins.clone(), parts.registry.clone());
        let clock_watch = clock_watch::run(plugins, parts.delivery.clone(), registry, shutdown.child_token());
        let clock_watch = tasks.spawn("clock", &shutdown, clock_watch);
        ready.store(true, Ordering::Release);
        Ok(Self {
            mqtt: listeners.mqtt,
            listeners,
            admin,
            admin_tls,
            parts,
            shutdown,
            ready,
            fatal,
            front,
            api,
            folder,
            housekeeping,
            clock_watch,
            timers,
            publisher,
            expiry,
            dispatch,
            store_service,
            background,
        })
    }

    /// Cancelled when the host is to stop, or has to.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }
}

async fn keep_time(delivery: delivery::Handle, shutdown: CancellationToken) {
    delivery.keep_time(shutdown).await;
}

async fn bind_front(
    settings: &Settings,
    connections: Connections,
    parts: &Parts,
    tls: Option<&tls::Handle>,
) -> Result<mqtt::Service<mqtt::Live>, mqtt::Error> {
    let hub = mqtt::Live { auth: parts.auth.clone(), ingest: parts.ingest.clone(), delivery: parts.delivery.clone() };
    let options = mqtt::Options {
        listeners: listeners::listeners(settings, tls),
        connections: connections.mqtt,
        connections_per_address: settings.max_connections_per_address,
        connects_per_second: settings.max_connects_per_second,
        connect_deadline: settings.connect_deadline,
        packet_deadline: settings.packet_deadline,
        payloads: settings.payloads,
        foreground: Some(tokio::runtime::Handle::current()),
        tasks: parts.tasks.clone(),
        ..mqtt::Options::default()
    };
    mqtt::Service::bind(options, hub, parts.topics.clone(), parts.metrics.clone()).await
}

async fn bind_api(
    settings: &Settings,
    connections: Connections,
    parts: &Parts,
    tls: Option<tls::Handle>,
    reach: admin::Reach,
) -> Result<admin::Service, admin::Error> {
    let options = admin::Options {
        listen: settings.admin,
        connections: connections.admin,
        tls: settings.admin_tls.zip(tls),
        auth: settings.admin_auth,
        data: settings.data.clone(),
        plugins: settings.plugins.clone(),
        cors_origins: settings.cors_origins.clone(),
        payloads: settings.payloads,
    };
    let parts = admin::Parts {
        auth: parts.auth.clone(),
        ingest: parts.ingest.clone(),
        counters: parts.metrics.clone(),
        tasks: parts.tasks.clone(),
        reach,
        registry: parts.registry.clone(),
        outbox: parts.outbox.clone(),
        delivery: parts.delivery.clone(),
        store: parts.store.clone(),
        journal: journal::Handle::new(parts.store.clone()),
        explain: explain::Handle::new(parts.store.clone(), parts.registry.clone()),
        plugins: Arc::new(plugin_views::Views::new(parts.plugins.clone(), previous::Previous::new(&settings.data))),
        metrics: metrics_text::render(parts),
    };
    admin::Service::bind(options, parts).await
}

fn stop_on_failure(
    shutdown: &CancellationToken,
    fatal: &Arc<Mutex<Option<String>>>,
) -> impl Fn(&store::Error) + Send + Sync + Clone + 'static {
    let (shutdown, fatal) = (shutdown.clone(), fatal.clone());
    move |error| {
        fatal.lock().get_or_insert_with(|| error.to_string());
        shutdown.cancel();
    }
}
