//! A checked and compiled component: loads it, calls its `describe`, starts instances. Does not handle events.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinError;
use wasmtime::component::{
    Component as Compiled, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower,
};

use super::{
    Migrated, Schemas, Step,
    binary::{self, Kind, MAX_COMPONENT_BYTES, digest},
    bindings::{
        exports::{Handling, HandlingIndices},
        migration as migration_wit,
        schema::Field,
    },
    call_state::Phase,
    compile, contents, convert,
    description::Description,
    engine::WasmEngine,
    error::{CallError, LoadError},
    execution::Setup,
    grants::EffectiveGrants,
    host::HostCalls,
    instance::{Instance, OnEvent},
    limits::Limits,
    meter::Metered,
    refused,
    sandbox::{self, StoreData},
    schema,
    surface::{HANDLER, MIGRATION, SETTINGS_SCHEMA, check_exports, check_imports},
    text,
};
use switchbox_model::{PluginName, limits::MIGRATION_TIME};
use switchbox_support::{
    clock,
    tasks::{self, Panicked},
};

/// A component from which any number of instances can be started. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    engine: WasmEngine,
    digest: String,
    size: usize,
    /// The names of the interfaces.
    imports: Vec<String>,
    pre: InstancePre<StoreData>,
    indices: HandlingIndices,
    on_event: ComponentExportIndex,
    /// `fields` of the settings' schema, if the component has one.
    fields: Option<ComponentExportIndex>,
    migration: Option<MigrationExports>,
}

/// The functions of the interface `migration`.
struct MigrationExports {
    describe: ComponentExportIndex,
    up: ComponentExportIndex,
    down: ComponentExportIndex,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("digest", &self.0.digest).field("size", &self.0.size).finish()
    }
}

impl Component {
    /// Checks and compiles a component on the engine's runtime for that, or reads the compiled code from the cache.
    pub async fn load(engine: &WasmEngine, bytes: Bytes) -> Result<Self, LoadError> {
        let (size, on) = (bytes.len(), engine.threads());
        let broken = |error: JoinError| LoadError::Compile(error.to_string());
        let checked = {
            let (engine, bytes) = (engine.clone(), bytes.clone());
            on.spawn_blocking(move || check(&engine, &bytes)).await.map_err(broken)??
        };
        let code = match checked.compiled {
            Some(_) => Vec::new(),
            None => compile::compile(engine, &bytes).await?,
        };
        drop(bytes);
        let engine = engine.clone();
        on.spawn_blocking(move || finish(&engine, checked, &code, size)).await.map_err(broken)?
    }

    /// `sha256:…` of the component's bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The size of the component, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// The interfaces that it imports, in its order.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Calls `describe` with these settings (JSON), in an instance of its own that may call no host function and has the plugin's
    /// limits.
    pub async fn describe(&self, settings: &str, limits: &Limits) -> Result<Description, CallError> {
        let setup = Setup {
            name: PluginName::new("describe").map_err(|error| CallError::Description(error.to_string()))?,
            settings: settings.into(),
            limits: limits.clone(),
            grants: EffectiveGrants::none(),
        };
        let mut store = sandbox::store(self.0.engine.wasmtime(), Arc::new(setup), None, 0);
        let (guest, _, instance) = self.instantiate(&mut store).await?;
        let settings = store.data().setup.settings.clone();
        let meter = Arc::clone(&store.data().meter);
        let call = guest.switchbox_plugin_handler().call_describe(&mut store, &settings);
        let described = tasks::caught(Metered { meter: &meter, call: pin!(call) }).await;
        let described = described.map_err(|panic| panicked("describe", &panic))?;
        let described = described.map_err(|error| self.failed("describe", &store, &error))?;
        let described = convert::description(described).map_err(CallError::Description)?;
        let schema = match self.0.fields {
            None => Vec::new(),
            Some(index) => {
                let what = "fields of settings-schema";
                let (fields,): (Vec<Field>,) = self.call(what, &mut store, &instance, index, ()).await?;
                let fields = fields.into_iter().map(convert::field).collect();
                let fields = schema::read(fields, &described.default_settings);
                fields.map_err(|error| CallError::Description(format!("settings-schema: {error}")))?
            }
        };
        let state = match &self.0.migration {
            None => Schemas::default(),
            Some(exports) => {
                let what = "describe of migration";
                let called = self.call(what, &mut store, &instance, exports.describe, ()).await;
                let (migration_wit::Schemas { current, oldest_down, why },) = called?;
                Schemas::new(current, oldest_down, why)
                    .map_err(|error| CallError::Description(format!("migration: {error}")))?
            }
        };
        Ok(Description { schema, state, ..described })
    }

    /// Brings the plugin's state to another schema, in an instance of its own. `host` is read from and not changed. Returns what is
    /// to be written.
    ///
    /// # Errors
    ///
    /// The guest refuses, traps, or exceeds a limit.
    pub async fn migrate(
        &self,
        setup: Arc<Setup>,
        host: Arc<dyn HostCalls>,
        step: Step,
    ) -> Result<Migrated, CallError> {
        let Some(exports) = &self.0.migration else {
            return Err(CallError::NotMigrated("the component does not export the interface migration".into()));
        };
        let (what, index, schema) = match step {
            Step::Up { from } => ("up of migration", exports.up, from),
            Step::Down { to } => ("down of migration", exports.down, to),
        };
        let mut store = sandbox::store(self.0.engine.wasmtime(), setup, Some(host), clock::now_ms());
        let (_, _, instance) = self.instantiate(&mut store).await?;
        store.data_mut().call.phase = Phase::Migration;
        sandbox::arm(&mut store, MIGRATION_TIME);
        let called = self.call(what, &mut store, &instance, index, (schema,)).await;
        let (migrated,): (Result<(), String>,) = called?;
        migrated.map_err(|text| CallError::NotMigrated(text::cut(text)))?;
        let state = store.data_mut();
        let (logs, _) = state.output.take();
        Ok(Migrated { writes: state.call.take_migrated(), logs })
    }

    /// Calls an exported function. The store is armed.
    async fn call<P, R>(
        &self,
        what: &'static str,
        store: &mut wasmtime::Store<StoreData>,
        instance: &wasmtime::component::Instance,
        index: ComponentExportIndex,
        params: P,
    ) -> Result<R, CallError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let func = instance.get_typed_func::<P, R>(&mut *store, index);
        let func = func.map_err(|error| self.failed(what, store, &error))?;
        let meter = Arc::clone(&store.data().meter);
        let call = func.call_async(&mut *store, params);
        let called = tasks::caught(Metered { meter: &meter, call: pin!(call) }).await;
        called.map_err(|panic| panicked(what, &panic))?.map_err(|error| self.failed(what, store, &error))
    }

    /// A new instance that has been given its settings and may be given events.
    pub async fn start(&self, setup: Arc<Setup>, host: Arc<dyn HostCalls>) -> Result<Instance, CallError> {
        self.start_at(setup, host, clock::now_ms()).await
    }

    /// Starts an instance whose clock has the given time while it starts, milliseconds since the Unix epoch.
    pub async fn start_at(
        &self,
        setup: Arc<Setup>,
        host: Arc<dyn HostCalls>,
        time_ms: u64,
    ) -> Result<Instance, CallError> {
        let mut store = sandbox::store(self.0.engine.wasmtime(), Arc::clone(&setup), Some(host), time_ms);
        let (guest, on_event, _) = self.instantiate(&mut store).await?;
        let meter = Arc::clone(&store.data().meter);
        let call = guest.switchbox_plugin_handler().call_start(&mut store, &setup.settings);
        let started = tasks::caught(Metered { meter: &meter, call: pin!(call) }).await;
        match started.map_err(|panic| panicked("start", &panic))? {
            Ok(Ok(())) => Ok(Instance::new(store, on_event)),
            Ok(Err(text)) => Err(CallError::Refused(text::cut(text))),
            Err(error) => Err(self.failed("start", &store, &error)),
        }
    }

    /// Instantiation and the call after it share one deadline.
    async fn instantiate(
        &self,
        store: &mut wasmtime::Store<StoreData>,
    ) -> Result<(Handling, OnEvent, wasmtime::component::Instance), CallError> {
        let deadline = store.data().setup.limits.start_deadline;
        sandbox::arm(store, deadline);
        let meter = Arc::clone(&store.data().meter);
        let call = self.0.pre.instantiate_async(&mut *store);
        let made = tasks::caught(Metered { meter: &meter, call: pin!(call) }).await;
        let made = made.map_err(|panic| panicked("start", &panic))?;
        let made = made.and_then(|instance| {
            let guest = self.0.indices.load(&mut *store, &instance)?;
            let on_event = instance.get_func(&mut *store, self.0.on_event);
            let on_event = on_event.ok_or_else(|| wasmtime::format_err!("there is no on-event"))?;
            Ok((guest, OnEvent::new(on_event, store)?, instance))
        });
        made.map_err(|error| match error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>() {
            Some(full) => CallError::PoolExhausted(full.to_string()),
            None => self.failed("start", store, &error),
        })
    }

    fn failed(&self, what: &str, store: &wasmtime::Store<StoreData>, error: &wasmtime::Error) -> CallError {
        let failure = sandbox::failure(store.data(), error);
        CallError::Failed { text: format!("{what}: {}", failure.text), limit: failure.limit }
    }
}

fn panicked(what: &'static str, panic: &Panicked) -> CallError {
    CallError::Panicked { what, panic: panic.to_string() }
}

/// A component whose header, contents and names were checked.
struct Checked {
    digest: String,
    /// `None` if it has to be compiled.
    compiled: Option<Compiled>,
}

/// Makes all checks that need no compiled code. Blocks.
fn check(engine: &WasmEngine, bytes: &[u8]) -> Result<Checked, LoadError> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: bytes.len(), limit: MAX_COMPONENT_BYTES });
    }
    match binary::inspect(bytes) {
        Ok(Kind::Component) => {}
        Ok(Kind::CoreModule) => return Err(LoadError::NotAComponent(CORE_MODULE.into())),
        Err(problem) => return Err(LoadError::NotAComponent(problem.to_string())),
    }
    let digest = digest(bytes);
    let compiled = engine.cache().and_then(|cache| cache.get(engine.wasmtime(), &digest));
    if compiled.is_none() {
        let surface = contents::read(bytes)?;
        check_imports(surface.imports.iter().map(String::as_str))?;
        check_exports(&surface.exports)?;
    }
    Ok(Checked { digest, compiled })
}

/// Links a compiled component, and stores it in the cache. It waits for the disk.
fn finish(engine: &WasmEngine, checked: Checked, code: &[u8], size: usize) -> Result<Component, LoadError> {
    let Checked { digest, compiled: known } = checked;
    let is_new = known.is_none();
    let compiled = match known {
        Some(known) => known,
        None => compile::deserialize(engine, code)?,
    };
    let ty = compiled.component_type();
    let imports: Vec<_> = ty.imports(engine.wasmtime()).map(|(name, _)| name.to_owned()).collect();
    check_imports(imports.iter().map(String::as_str))?;
    let linked = link(engine, &compiled).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    let pre = linked.instantiate_pre(&compiled).map_err(|error| LoadError::Import {
        name: "an interface whose types differ from those of this host".into(),
        why: format!("{error:#}"),
    })?;
    let other = |error: wasmtime::Error| LoadError::Export { expected: HANDLER, found: format!("{error:#}") };
    let indices = HandlingIndices::new(&pre).map_err(other)?;
    let handler = compiled.get_export_index(None, HANDLER);
    let on_event = handler.and_then(|handler| compiled.get_export_index(Some(&handler), "on-event"));
    let on_event = on_event.ok_or_else(|| other(wasmtime::format_err!("it has no on-event")))?;
    let schema = compiled.get_export_index(None, SETTINGS_SCHEMA);
    let fields = schema.and_then(|schema| compiled.get_export_index(Some(&schema), "fields"));
    let migration = migration_exports(&compiled)?;
    // A refused component is not stored in the cache.
    if let Some(cache) = engine.cache().filter(|_| is_new) {
        cache.put(&digest, code);
    }
    let engine = engine.clone();
    let inner = Inner { engine, digest, size, imports, pre, indices, on_event, fields, migration };
    Ok(Component(Arc::new(inner)))
}

/// Returns `None` if the component does not export the interface.
fn migration_exports(compiled: &Compiled) -> Result<Option<MigrationExports>, LoadError> {
    let Some(interface) = compiled.get_export_index(None, MIGRATION) else { return Ok(None) };
    let export = |name: &str| {
        let missing = || LoadError::Export { expected: MIGRATION, found: format!("it has no {name}") };
        compiled.get_export_index(Some(&interface), name).ok_or_else(missing)
    };
    Ok(Some(MigrationExports { describe: export("describe")?, up: export("up")?, down: export("down")? }))
}

/// The interfaces of the host, and stubs for the imports that `refused.rs` denies.
fn link(engine: &WasmEngine, compiled: &Compiled) -> wasmtime::Result<Linker<StoreData>> {
    let mut linker = engine.linker().clone();
    refused::link(&mut linker, compiled)?;
    Ok(linker)
}

const CORE_MODULE: &str = "it is a core WebAssembly module. Build it for the target wasm32-wasip2, or make a component of it \
                           with `wasm-tools component new`";
