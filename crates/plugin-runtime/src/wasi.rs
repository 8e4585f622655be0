//! The part of WASI that plugins get: clocks that stand still, repeatable random numbers, captured output, no files and no
//! arguments. What `refused.rs` links does nothing; a component that imports anything else does not load.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliView},
    filesystem::{WasiFilesystem, WasiFilesystemView},
    p2::{
        DynOutputStream, DynPollable, Pollable,
        bindings::{cli, clocks, filesystem, io, random},
        subscribe,
    },
};

use super::{
    failure::LimitHit,
    limits::names,
    meter::Meter,
    output::{Source, Stream},
    sandbox::{MAX_HANDLES, StoreData, out_of_time},
};

/// Most random bytes in one call.
const MAX_RANDOM_BYTES: u64 = 1024 * 1024;

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

type HasStoreData = HasSelf<StoreData>;

/// Links exactly what `WASI_INTERFACES` of `switchbox_plugin_model::surface` lists.
pub(super) fn link(l: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<StoreData, Table>(l, |state| &mut state.table)?;
    io::poll::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    io::streams::add_to_linker::<StoreData, Table>(l, |state| &mut state.table)?;
    clocks::wall_clock::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    clocks::monotonic_clock::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    random::random::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    random::insecure::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    random::insecure_seed::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    cli::environment::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::exit::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::stdin::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::stdout::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    cli::stderr::add_to_linker::<StoreData, HasStoreData>(l, |state| state)?;
    cli::terminal_input::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::terminal_output::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::terminal_stdin::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::terminal_stdout::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    cli::terminal_stderr::add_to_linker::<StoreData, WasiCli>(l, WasiCliView::cli)?;
    filesystem::types::add_to_linker::<StoreData, WasiFilesystem>(l, WasiFilesystemView::filesystem)?;
    filesystem::preopens::add_to_linker::<StoreData, WasiFilesystem>(l, WasiFilesystemView::filesystem)
}

impl clocks::wall_clock::Host for StoreData {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        let time = Duration::from_millis(self.call.time_ms);
        Ok(clocks::wall_clock::Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl clocks::monotonic_clock::Host for StoreData {
    /// The clock advances by a microsecond at every call, so that a guest that polls the clock makes progress.
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.call.monotonic += 1_000;
        Ok(self.call.monotonic + self.meter.passed())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(when.saturating_sub(self.call.monotonic + self.meter.passed()))
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let remaining = Duration::from_nanos(nanoseconds);
        let sleep = self.table.push(Sleep { remaining, ends: None, meter: Arc::clone(&self.meter) })?;
        subscribe(&mut self.table, sleep)
    }
}

/// A sleep of a guest. Its time counts towards the deadline.
struct Sleep {
    /// By the guest's clock.
    remaining: Duration,
    /// By the host's clock; `None` until the guest waits, or if the time cannot be represented.
    ends: Option<Instant>,
    meter: Arc<Meter>,
}

impl Pollable for Sleep {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            let began = Instant::now();
            self.ends = self.ends.or_else(|| began.checked_add(self.remaining));
            let Some(ends) = self.ends else { return std::future::pending().await };
            tokio::time::sleep_until(ends).await;
            self.meter.add_sleep(began.elapsed(), std::mem::take(&mut self.remaining));
        })
    }
}

/// Awaits `waiting` for at most the rest of the guest's budget.
async fn within<T>(remaining: Duration, waiting: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    tokio::time::timeout(remaining, waiting).await.unwrap_or_else(|_| Err(out_of_time().into()))
}

impl io::poll::Host for StoreData {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.len() > MAX_HANDLES {
            let text = format!("{} timers and streams to wait for at once, {MAX_HANDLES} are allowed", pollables.len());
            return Err(LimitHit { limit: names::HANDLES, text }.into());
        }
        within(self.meter.remaining(), io::poll::Host::poll(&mut self.table, pollables)).await
    }
}

impl io::poll::HostPollable for StoreData {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        io::poll::HostPollable::ready(&mut self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        within(self.meter.remaining(), io::poll::HostPollable::block(&mut self.table, pollable)).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        io::poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl random::random::Host for StoreData {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_RANDOM_BYTES {
            let text = format!("{length} random bytes in one call, {MAX_RANDOM_BYTES} are allowed");
            return Err(LimitHit { limit: names::RANDOM_BYTES, text }.into());
        }
        let random = self.call.random(&self.setup.name);
        Ok(random.bytes(usize::try_from(length).unwrap_or_default()))
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.call.random(&self.setup.name).next())
    }
}

impl random::insecure::Host for StoreData {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        random::random::Host::get_random_bytes(self, length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        random::random::Host::get_random_u64(self)
    }
}

impl random::insecure_seed::Host for StoreData {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let random = self.call.random(&self.setup.name);
        Ok((random.next(), random.next()))
    }
}

impl cli::stdout::Host for StoreData {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.stream(Source::Stdout)
    }
}

impl cli::stderr::Host for StoreData {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.stream(Source::Stderr)
    }
}

impl StoreData {
    fn stream(&mut self, source: Source) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(Stream { output: self.output.clone(), source });
        Ok(self.table.push(stream)?)
    }
}
