//! Starting a host, in five phases: take the ports, open the store, recover the plugins, restore the sessions, serve. Each phase has
//! what the next one needs; a phase that fails ends the start, and what was acknowledged before is still in the journal.

use std::sync::{Arc, atomic::Ordering};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    Host, Listeners, azure, clock_watch, connections::DeviceConnections, descriptors, handles::HostHandles,
    housekeeping, metrics_text, options, plugin_views,
};
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
use switchbox_files as files;
use switchbox_mirror::{MirrorQueue, Mirrored};
use switchbox_model::{PluginName, RegistryName};
use switchbox_mqtt as mqtt;
use switchbox_plugin_loader::{self as plugin_loader, AuthorOf, Loader};
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_scripts::Scripts;
use switchbox_plugin_versions::History;
use switchbox_proxy as proxy;
use switchbox_pubsub::{SessionJournal, Topics};
use switchbox_settings::{GrantPolicy, Settings};
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks, threads::Background};
use switchbox_trace_export as trace_export;
use switchbox_transport::tls;

impl Host {
    /// Accepts clients when everything else is done; the ports are bound first, so that a host that cannot have them fails before it
    /// touches its data.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let start = Start::new(settings)?;
        let ports = start.bind_ports().await?;
        let mut opened = start.open_store().await?;
        let recovered = start.recover_plugins(&mut opened).await?;
        let restored = start.restore_sessions(ports, &mut opened, &recovered)?;
        Ok(start.serve(opened, recovered, restored))
    }
}

/// What all phases share.
struct Start<'a> {
    settings: &'a Settings,
    background: Background,
    metrics: Metrics,
    tasks: Tasks,
    shutdown: CancellationToken,
    /// Sends the spans of traces. `None` if there are to be none.
    exporter: Option<trace_export::Exporter>,
    /// Why the host has to stop, if it has to.
    fatal: Arc<Mutex<Option<String>>>,
}

/// Ports that are taken but not served yet.
struct BoundPorts {
    tls: Option<tls::Handle>,
    mqtt: (mqtt::Options, mqtt::Ports),
    admin: (admin::Options, admin::Ports),
    azure: azure::Ports,
}

/// The journal is read and takes entries again.
struct Opened {
    store: store::Handle,
    service: store::Service,
    registry: registry::Handle,
    queues: outbox::CommandQueues,
    ingest: ingest::Handle,
    delivery: delivery::Handle,
    dispatch: dispatch::Handle,
    files: files::Handle,
    watched: MirrorQueue,
    /// What of the data folder has not found its place yet.
    loaded: store::Loaded,
}

/// The plugins run that ran before, and those of new files.
struct Recovered {
    plugins: Arc<Manager>,
    history: History,
    authors: Arc<admin::Authors>,
    folder: plugin_loader::Service,
    timers: JoinHandle<()>,
    expiry: JoinHandle<()>,
}

/// Everything that clients left behind is loaded.
struct Restored {
    handles: HostHandles,
    tls: Option<tls::Handle>,
    listeners: Listeners,
    mqtt_server: mqtt::Service,
    api: admin::Service,
    azure: azure::Ports,
    publisher: JoinHandle<()>,
}

impl<'a> Start<'a> {
    fn new(settings: &'a Settings) -> anyhow::Result<Self> {
        let background = Background::start().context("the background's threads cannot be started")?;
        let (traces, exporter) = trace_export::start(settings)?;
        let metrics = Metrics::with_traces(traces);
        let tasks = Tasks::new(metrics.clone());
        let (shutdown, fatal) = (CancellationToken::new(), Arc::default());
        Ok(Self { settings, background, metrics, tasks, shutdown, exporter, fatal })
    }

    async fn bind_ports(&self) -> anyhow::Result<BoundPorts> {
        let connections = descriptors::connections(self.settings, descriptors::raise())?;
        let tls = self.settings.tls.clone().map(tls::Handle::load).transpose()?;
        let mqtt = options::mqtt(self.settings, connections.mqtt, tls.as_ref(), &self.tasks);
        let mqtt_ports = mqtt::bind_ports(&mqtt.listeners).await?;
        let admin = options::admin(self.settings, connections.admin, tls.clone());
        let admin_ports = admin::Ports::bind(&admin).await?;
        let azure = azure::Ports::bind(self.settings, tls.as_ref()).await?;
        Ok(BoundPorts { tls, mqtt: (mqtt, mqtt_ports), admin: (admin, admin_ports), azure })
    }

    /// Reads the journal, replays it, and begins to write.
    async fn open_store(&self) -> anyhow::Result<Opened> {
        let (settings, metrics) = (self.settings, &self.metrics);
        let options = options::store(self.settings, &self.metrics);
        let mut opened = tokio::task::spawn_blocking(move || store::open(options)).await??;
        let store = opened.handle();
        let registry = registry::Handle::load(store.clone(), &opened.loaded);
        let dispatch = dispatch::Handle::new(store.clone(), registry.clone(), self.tasks.clone(), metrics.clone());
        let watched = MirrorQueue::new(metrics.clone());
        let offer = Mirrored::new(dispatch.clone(), &watched);
        let ingest = ingest::Handle::new(store.clone(), Arc::new(offer), metrics.traces.clone());
        let loaded_queues = std::mem::take(&mut opened.loaded.commands);
        let queues = outbox::CommandQueues::new(loaded_queues, opened.loaded.queue_limit);
        let delivery = delivery::Handle::new(delivery::HostHandles {
            store: store.clone(),
            ingest: ingest.clone(),
            registry: registry.clone(),
            queues: queues.clone(),
            metrics: metrics.clone(),
            runtime: tokio::runtime::Handle::current(),
            command_deliveries: settings.command_deliveries,
        });
        delivery.set_proxy(proxy::Handle::new(settings.allowed_hosts.clone(), metrics.clone()));
        dispatch.set_connections(Arc::new(DeviceConnections(delivery.clone())));
        let sink = Arc::new(Mirrored::new(delivery.clone(), &watched));
        let mut engine = Engine::new(registry.clone(), queues.clone(), sink, &opened.loaded, metrics.clone());
        opened.replay(&mut engine)?;
        let mut loaded = std::mem::take(&mut opened.loaded);
        delivery.start_publishing(std::mem::take(&mut loaded.outgoing));
        let service = opened.start(engine, self.stop_on_failure())?;
        // Where the disk is full, what may go makes room for what comes.
        store.trim(loaded.low_water).await?;
        let outbox = outbox::Handle::new(store.clone(), queues.clone(), metrics.traces.clone());
        outbox.limit_queues(settings.queued_commands).await?;
        registry.make_default().await?;
        let options = options::files(settings);
        let files = tokio::task::spawn_blocking(move || files::Handle::open(&options)).await?;
        let files =
            files.with_context(|| format!("the files that devices uploaded, in {}", settings.data.display()))?;
        Ok(Opened { store, service, registry, queues, ingest, delivery, dispatch, files, watched, loaded })
    }

    /// Scans all files of the plugin folder, compiles their components concurrently, and ends what the last stop left open.
    async fn recover_plugins(&self, opened: &mut Opened) -> anyhow::Result<Recovered> {
        let engine = plugin::WasmEngine::new(plugin::Options {
            cache: Some(self.settings.data.join("compiled")),
            compiles_on: Some(self.background.handle().clone()),
            tasks: self.tasks.clone(),
            ..plugin::Options::default()
        })?;
        let consent = self.settings.grant == GrantPolicy::Consent;
        let Opened { dispatch, loaded, ingest, delivery, .. } = opened;
        let recordings = self.settings.data.join("recordings");
        let plugins = Arc::new(Manager::recover(dispatch, engine, loaded, consent, recordings).await?);
        let timers = timers::run(dispatch.timers(), ingest.clone(), self.shutdown.child_token());
        let timers = self.tasks.spawn("timers", &self.shutdown, timers);
        let on = self.background.handle();
        let (history, authors) = (History::new(&self.settings.data), Arc::<admin::Authors>::default());
        let records = history.clone();
        plugins.on_rolled_back(move |name, rolled_back| plugin_loader::record_rolled_back(&records, name, rolled_back));
        let (records, running) = (history.clone(), Arc::downgrade(&plugins));
        plugins.on_canary_ended(move |name, status| plugin_loader::canary_ended(&running, &records, name, status));
        let scripts = Arc::new(Scripts::new(self.settings.js_toolchain.clone(), &self.settings.data));
        let writers = authors.clone();
        let author_of: AuthorOf =
            Arc::new(move |name: &PluginName, component: &[u8], settings: &[u8]| writers.of(name, component, settings));
        let loader = Loader { plugins: plugins.clone(), history: history.clone(), author_of, scripts };
        let folder = &self.settings.plugins;
        let folder = plugin_loader::start(folder, loader, &self.tasks, on, self.shutdown.clone()).await?;
        delivery.close_orphaned_connections().await?;
        delivery.expire_overdue().await?;
        let (delivery, shutdown) = (delivery.clone(), self.shutdown.child_token());
        let expiry = async move { delivery.run_command_expiry(shutdown).await };
        let expiry = self.tasks.spawn("expiry", &self.shutdown, expiry);
        Ok(Recovered { plugins, history, authors, folder, timers, expiry })
    }

    fn restore_sessions(
        &self,
        ports: BoundPorts,
        opened: &mut Opened,
        recovered: &Recovered,
    ) -> anyhow::Result<Restored> {
        let BoundPorts { tls, mqtt: (options, mqtt_ports), admin: (admin_options, admin_ports), azure } = ports;
        let handles = self.handles(opened, recovered, tls.as_ref());
        opened.watched.set_topics(handles.topics.clone());
        let watched = opened.watched.clone().run(self.shutdown.child_token());
        drop(handles.tasks.spawn("watchers", &self.shutdown, watched));
        let host_parts = mqtt::HostParts {
            auth: handles.auth.clone(),
            ingest: handles.ingest.clone(),
            delivery: handles.delivery.clone(),
        };
        let mqtt_server =
            mqtt::Service::new(options, mqtt_ports, host_parts, handles.topics.clone(), handles.metrics.clone());
        mqtt_server.restore(std::mem::take(&mut opened.loaded.broker), |num| handles.registry.get(num));
        // Not before the subscriptions are restored.
        let publisher = handles.delivery.publisher(handles.topics.clone());
        let publisher = publisher.run(handles.tasks.clone(), self.shutdown.child_token());
        let publisher = handles.tasks.spawn("publisher", &self.shutdown, publisher);
        let listeners = Listeners::of(self.settings, &mqtt_server);
        let api_handles = Self::api_handles(&handles, recovered, listeners.announced(self.settings, tls.as_ref()));
        let api = admin::Service::new(admin_options, admin_ports, api_handles)?;
        Ok(Restored { handles, tls, listeners, mqtt_server, api, azure, publisher })
    }

    fn handles(&self, opened: &Opened, recovered: &Recovered, tls: Option<&tls::Handle>) -> HostHandles {
        let (store, registry, metrics) = (opened.store.clone(), opened.registry.clone(), self.metrics.clone());
        let sessions = SessionJournal::new(store.clone(), &opened.loaded.broker);
        HostHandles {
            auth: auth::Handle::new(registry.clone(), self.settings.enroll, tls.cloned(), metrics.clone()),
            outbox: outbox::Handle::new(store.clone(), opened.queues.clone(), metrics.traces.clone()),
            topics: Topics::new(metrics.clone(), sessions),
            files: opened.files.clone(),
            store,
            registry,
            ingest: opened.ingest.clone(),
            delivery: opened.delivery.clone(),
            plugins: recovered.plugins.clone(),
            metrics,
            tasks: self.tasks.clone(),
        }
    }

    fn api_handles(
        handles: &HostHandles,
        recovered: &Recovered,
        listeners: switchbox_admin_api::Listeners,
    ) -> admin::HostHandles {
        admin::HostHandles {
            authors: recovered.authors.clone(),
            auth: handles.auth.clone(),
            files: handles.files.clone(),
            ingest: handles.ingest.clone(),
            topics: handles.topics.clone(),
            counters: handles.metrics.clone(),
            tasks: handles.tasks.clone(),
            listeners,
            registry: handles.registry.clone(),
            outbox: handles.outbox.clone(),
            delivery: handles.delivery.clone(),
            store: handles.store.clone(),
            journal: journal::Handle::new(handles.store.clone()),
            explain: explain::Handle::new(handles.store.clone(), handles.registry.clone()),
            plugins: Arc::new(plugin_views::Views::new(handles.plugins.clone(), recovered.history.clone())),
            metrics: metrics_text::render(handles),
        }
    }

    /// Lets clients in.
    fn serve(self, opened: Opened, recovered: Recovered, restored: Restored) -> Host {
        let Opened { service: store_service, dispatch, .. } = opened;
        let Recovered { folder, timers, expiry, history, .. } = recovered;
        let Restored { handles, tls, listeners, mqtt_server, api, azure, publisher } = restored;
        let (stop, stopping) = (self.stop_on_failure(), || self.shutdown.child_token());
        if let Some(tls) = tls {
            let registry = handles.registry.clone();
            let renewed = move || registry.announce(Changed::Registry(RegistryName::default_registry()));
            drop(self.tasks.spawn("certificates", &self.shutdown, tls.watch(stopping(), renewed)));
        }
        let (ready, admin, admin_tls) = (api.readiness(), api.local_addr(), api.tls_addr());
        let on = self.background.handle();
        let mqtt_server = self.tasks.spawn_on(on, "mqtt", &self.shutdown, mqtt_server.run(stopping()));
        let api = self.tasks.spawn_on(on, "admin", &self.shutdown, api.run(stopping()));
        let azure = azure.serve(&handles, on, &self.shutdown);
        let (store, ingest, plugins) = (handles.store.clone(), handles.ingest.clone(), handles.plugins.clone());
        let housekeeping =
            housekeeping::run(store, ingest, dispatch.clone(), plugins, handles.files.clone(), stop, stopping());
        let housekeeping = self.tasks.spawn("housekeeping", &self.shutdown, housekeeping);
        let (plugins, delivery, registry) =
            (handles.plugins.clone(), handles.delivery.clone(), handles.registry.clone());
        let clock_watch = clock_watch::run(plugins, delivery, registry, stopping());
        let clock_watch = self.tasks.spawn("clock", &self.shutdown, clock_watch);
        let windows = plugin_loader::store_changed_windows(handles.plugins.clone(), history, stopping());
        let windows = self.tasks.spawn("windows of guards", &self.shutdown, windows);
        let run = self.exporter.map(|exporter| exporter.run(self.shutdown.child_token()));
        let exporter = run.map(|run| self.tasks.spawn_on(on, "traces", &self.shutdown, run));
        self.metrics.traces.begin();
        ready.store(true, Ordering::Release);
        let Self { background, shutdown, fatal, .. } = self;
        Host {
            mqtt: listeners.mqtt,
            listeners,
            admin,
            admin_tls,
            handles,
            shutdown,
            ready,
            fatal,
            mqtt_server,
            api,
            azure,
            folder,
            housekeeping,
            clock_watch,
            windows,
            timers,
            publisher,
            expiry,
            exporter,
            dispatch,
            store_service,
            background,
        }
    }

    fn stop_on_failure(&self) -> impl Fn(&store::Error) + Send + Sync + Clone + use<> {
        let (shutdown, fatal) = (self.shutdown.clone(), self.fatal.clone());
        move |error| {
            fatal.lock().get_or_insert_with(|| error.to_string());
            shutdown.cancel();
        }
    }
}
