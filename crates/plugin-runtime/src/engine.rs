//! The WebAssembly engine of the process: configures compilation, the instance pool, interruption and linking. Runs no guest.

use std::{collections::HashSet, path::PathBuf, sync::Arc, thread, time::Duration};

use tokio::runtime::Handle;
use wasmtime::{
    Config, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, component::Linker,
};

use super::{
    bindings::imports::switchbox::plugin as api, cache::Cache, error::Error, limits::MAX_MEMORY, sandbox::StoreData,
    wasi,
};
use switchbox_model::limits::COMPONENT_INSTANCES;
use switchbox_support::tasks::Tasks;

/// How often a running guest is interrupted.
const TICK: Duration = Duration::from_millis(2);

/// Stack of a guest, bytes: of its WebAssembly frames, and of the fiber that has these and the host's frames.
const GUEST_STACK_BYTES: usize = 512 * 1024;
const FIBER_STACK_BYTES: usize = 1024 * 1024;

/// The range of a 32-bit address. If each memory has this much address space (not memory) to itself, the MMU traps accesses out of
/// bounds, and compiled code has no bounds checks.
const WHOLE_MEMORY: u64 = 1 << 32;

/// A host that can have fewer instances than this does not start.
const MIN_INSTANCES: u32 = 8;

#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for compiled code. Only this host writes it. With `None` components are compiled each time.
    pub cache: Option<PathBuf>,
    /// Instances at the same time.
    pub max_instances: u32,
    /// The runtime whose threads compile. With `None` it is the caller's.
    pub compiles_on: Option<Handle>,
    /// Supervises the thread that interrupts running guests.
    pub tasks: Tasks,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache: None, max_instances: 2_048, compiles_on: None, tasks: Tasks::default() }
    }
}

/// The engine. Cheap to clone. The thread that interrupts guests ends with the last clone and the last component.
#[derive(Clone)]
pub struct WasmEngine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    linker: Linker<StoreData>,
    cache: Option<Cache>,
    reservation: u64,
    compiles_on: Option<Handle>,
}

impl WasmEngine {
    pub fn new(options: Options) -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| Error::Engine(format!("{error:#}"));
        let (engine, reservation) = reserving(WHOLE_MEMORY, options.max_instances).map_err(failed)?;
        let linker = linker(&engine).map_err(failed)?;
        let cache = options.cache.map(|folder| Cache::new(folder, &engine)).transpose()?;
        tick(&options.tasks, increment(engine.weak()))?;
        Ok(Self(Arc::new(Inner { engine, linker, cache, reservation, compiles_on: options.compiles_on })))
    }

    /// Removes all compiled code from the cache but that of components with these digests. Blocks.
    pub fn retain_compiled(&self, digests: &HashSet<String>) {
        if let Some(cache) = &self.0.cache {
            cache.retain(digests);
        }
    }

    /// The runtime on which components are checked and compiled.
    pub(super) fn threads(&self) -> Handle {
        self.0.compiles_on.clone().unwrap_or_else(Handle::current)
    }

    /// Address space of each memory. Compiled code depends on it.
    pub(super) fn reservation(&self) -> u64 {
        self.0.reservation
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(super) fn linker(&self) -> &Linker<StoreData> {
        &self.0.linker
    }

    pub(super) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }
}

/// An engine whose memories reserve this much address space each. If the process has less, they reserve what they need; if it has
/// still less, there are fewer instances. Also returns the reservation of each memory.
fn reserving(reservation: u64, max_instances: u32) -> wasmtime::Result<(wasmtime::Engine, u64)> {
    let engine =
        |instances, reservation| wasmtime::Engine::new(&config(instances, reservation)).map(|made| (made, reservation));
    let error = match engine(max_instances, reservation) {
        Ok(made) => return Ok(made),
        Err(error) => error,
    };
    let mut instances = max_instances;
    loop {
        match engine(instances, MAX_MEMORY) {
            // Half of the instances that fit, because the rest of the process needs address space too.
            Ok(_) if instances < max_instances => break,
            Ok(made) => {
                tracing::info!(%error, "there is little address space (ulimit -v?): plugins run somewhat slower");
                return Ok(made);
            }
            Err(error) if instances <= MIN_INSTANCES => return Err(error),
            Err(_) => instances = (instances / 2).max(MIN_INSTANCES),
        }
    }
    let instances = (instances / 2).max(MIN_INSTANCES);
    tracing::warn!(
        %error,
        instances,
        of = max_instances,
        "there is little address space (ulimit -v, or a processor with 39 bits of it): fewer plugins can run at a time"
    );
    engine(instances, MAX_MEMORY)
}

/// An engine that only compiles, for an engine with this reservation.
pub(super) fn for_compiling(reservation: u64) -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&compiling(reservation))
}

/// The configuration that compiled code depends on.
fn compiling(reservation: u64) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // So that a trap comes with the lines of the source, where the component has them.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .concurrency_support(false)
        .memory_reservation(reservation)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES);
    config
}

/// `reservation`: address space for each memory.
fn config(max_instances: u32, reservation: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    let core_instances = max_instances.saturating_mul(4);
    pool.total_component_instances(max_instances)
        .total_core_instances(core_instances)
        .total_memories(max_instances)
        .total_tables(core_instances)
        .total_stacks(max_instances)
        .max_core_instances_per_component(COMPONENT_INSTANCES)
        .max_memories_per_component(4)
        .max_tables_per_component(COMPONENT_INSTANCES)
        .max_memory_size(usize::try_from(MAX_MEMORY).unwrap_or(usize::MAX));
    let mut config = compiling(reservation);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<StoreData>> {
    use wasmtime::component::HasSelf;
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasi::link(l)?;
    api::types::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::registry::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::config::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::command::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::method::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::twin::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::state::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::timer::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::topic::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    api::log::add_to_linker::<StoreData, HasSelf<StoreData>>(l, |state| state)?;
    Ok(linker)
}

/// Starts the thread that interrupts running guests: without it, a guest that loops would occupy its thread forever. The thread ends
/// when `next` returns false.
fn tick(tasks: &Tasks, mut next: impl FnMut() -> bool + Send + 'static) -> Result<(), Error> {
    let ticking = move || {
        while next() {
            thread::sleep(TICK);
        }
    };
    tasks.spawn_thread("plugin epochs", ticking).map_err(|error| Error::Engine(error.to_string()))
}

/// One tick. Returns false when the engine was dropped.
fn increment(engine: EngineWeak) -> impl FnMut() -> bool {
    move || engine.upgrade().inspect(wasmtime::Engine::increment_epoch).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_panics_is_a_task_that_failed() {
        let tasks = Tasks::default();
        let mut left = 2;
        let next = move || {
            left -= 1;
            assert!(left > 0, "no more ticks");
            true
        };
        tick(&tasks, next).unwrap();
        while tasks.failed().is_empty() {
            thread::yield_now();
        }
        assert_eq!(tasks.failed(), [("plugin epochs", "panicked: no more ticks".to_owned())]);
        // It ends in order with its engine.
        let engine = wasmtime::Engine::default();
        let mut next = increment(engine.weak());
        assert!(next());
        drop(engine);
        assert!(!next());
    }

    #[test]
    fn where_address_space_is_short_the_engine_makes_do_with_less() {
        let (reservation, max_instances) = (1 << 44, 8);
        assert!(wasmtime::Engine::new(&config(max_instances, reservation)).is_err(), "no process has so much");
        reserving(reservation, max_instances).unwrap();
    }

    #[test]
    fn where_even_that_is_too_much_there_are_fewer_instances() {
        // 256 TiB at the least that memories need; x86-64 has 128.
        let (reservation, max_instances) = (1 << 40, 1 << 20);
        assert!(wasmtime::Engine::new(&config(max_instances, MAX_MEMORY)).is_err(), "no process has so much");
        reserving(reservation, max_instances).unwrap();
    }

    #[test]
    fn what_is_compiled_elsewhere_runs_here() {
        for reservation in [WHOLE_MEMORY, MAX_MEMORY] {
            let code = for_compiling(reservation).unwrap().precompile_module(b"\0asm\x01\0\0\0").unwrap();
            let here = wasmtime::Engine::new(&config(8, reservation)).unwrap();
            #[allow(unsafe_code, reason = "compiled in the line above")]
            // SAFETY: see the reason above.
            unsafe { wasmtime::Module::deserialize(&here, code) }.unwrap();
        }
    }
}
