//! The sandbox of one instance: the data of its wasmtime store, its memory bound, and how a call into the guest is prepared and ended.
//! Knows no events and no effects.

use std::{sync::Arc, time::Duration};

use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    call_state::{CallState, Phase},
    execution::Setup,
    failure::{Failure, LimitHit, explain},
    host::HostCalls,
    limits::{Limits, Line, names},
    meter::Meter,
    output::Output,
};
use switchbox_model::limits::{GUEST_CALL_BYTES, MIGRATION_TIME};

/// Elements of all tables of an instance.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Streams and timers that an instance may hold open.
pub(super) const MAX_HANDLES: usize = 1_000;

/// Handles of resources of all kinds in an instance, the component's own included.
const MAX_COMPONENT_HANDLES: usize = 10_000;

/// The data of a wasmtime store, which host functions use.
pub(super) struct StoreData {
    pub(super) setup: Arc<Setup>,
    /// Is `None` during `describe`.
    pub(super) host: Option<Arc<dyn HostCalls>>,
    pub(super) call: CallState,
    pub(super) output: Output,
    pub(super) meter: Arc<Meter>,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    bounds: Bounds,
}

impl StoreData {
    pub(super) fn memory_bytes(&self) -> usize {
        self.bounds.memory
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A new store for one instance.
pub(super) fn store(
    engine: &Engine,
    setup: Arc<Setup>,
    host: Option<Arc<dyn HostCalls>>,
    time_ms: u64,
) -> Store<StoreData> {
    let meter = Arc::new(Meter::new());
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_HANDLES);
    let phase = if host.is_some() { Phase::Start } else { Phase::Describe };
    let state = StoreData {
        call: CallState::new(phase, time_ms),
        output: Output::new(&setup.limits),
        meter: Arc::clone(&meter),
        table,
        wasi: WasiCtx::builder().build(),
        bounds: Bounds { memory: 0, setup: Arc::clone(&setup), elements: 0 },
        setup,
        host,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.bounds);
    store.set_hostcall_fuel(GUEST_CALL_BYTES);
    store.set_max_component_handles(MAX_COMPONENT_HANDLES);
    store.epoch_deadline_callback(move |_| {
        if meter.remaining().is_zero() {
            return Err(out_of_time().into());
        }
        // A running guest yields to other tasks at every tick.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

pub(super) fn out_of_time() -> LimitHit {
    LimitHit { limit: names::DEADLINE, text: "the guest took too long".into() }
}

/// Prepares the store for a call of at most `deadline` guest time.
pub(super) fn arm(store: &mut Store<StoreData>, deadline: Duration) {
    store.data().meter.begin(deadline);
    store.set_epoch_deadline(1);
}

/// The error text of a call that failed.
pub(super) fn failure(state: &StoreData, error: &wasmtime::Error) -> Failure {
    let mut failure = explain(error, &state.output.stderr_tail());
    if failure.limit == Some(names::DEADLINE) {
        let limits = &state.setup.limits;
        let (limit, deadline, more) = match state.call.phase {
            Phase::Event => (names::DEADLINE, limits.deadline, limits.raise(Line::Deadline)),
            Phase::Describe | Phase::Start => {
                (names::START_DEADLINE, limits.start_deadline, limits.raise(Line::StartDeadline))
            }
            // The same for all plugins.
            Phase::Migration => (names::MIGRATION_TIME, MIGRATION_TIME, String::new()),
        };
        failure.limit = Some(limit);
        failure.text = failure.text.replacen(names::DEADLINE.as_str(), limit.as_str(), 1);
        failure.text = failure.text.replacen("too long", &format!("longer than {deadline:?}{more}"), 1);
    }
    failure
}

/// The size of the guest's memories and tables together.
struct Bounds {
    memory: usize,
    setup: Arc<Setup>,
    elements: usize,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.setup.limits.memory.bytes() {
            let Limits { memory: allowed, .. } = &self.setup.limits;
            let more = self.setup.limits.raise(Line::Memory);
            let text = format!("the guest wants {total} bytes of memory, {allowed} are allowed{more}");
            return Err(LimitHit { limit: names::MEMORY, text }.into());
        }
        self.memory = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(LimitHit { limit: names::MEMORY, text: format!("no more memory can be had: {error}") }.into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        if total > MAX_TABLE_ELEMENTS {
            let text = format!("the guest wants {total} table elements, {MAX_TABLE_ELEMENTS} are allowed");
            return Err(LimitHit { limit: names::TABLES, text }.into());
        }
        self.elements = total;
        Ok(true)
    }
}
