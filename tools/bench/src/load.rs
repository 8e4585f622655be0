//! The load client, which is the same for every server. It runs on its own operating system threads, so that its processor time can
//! be measured. It never retries and never hides a fault.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinSet, LocalSet},
    time::timeout,
};

use super::{
    histogram::Histogram,
    link::{Counters, LoadConnection},
    plan::{Plan, RunState},
    streams::Faults,
};

/// Timeout for making all connections.
const CONNECT: Duration = Duration::from_secs(30);
/// How long messages in flight at the end may take to return, unless a test sets less; after that they are lost.
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// How long a thread may take to end after that.
const END: Duration = Duration::from_secs(10);

/// The result of one run.
#[derive(Debug, Default)]
pub(super) struct LoadResult {
    pub(super) faults: Faults,
    pub(super) round_trips: Histogram,
    /// Why connections broke; the first few errors.
    pub(super) errors: Vec<String>,
}

/// A running load. Dropping it ends it.
pub(super) struct Load {
    shared: Arc<RunState>,
    stop: watch::Sender<bool>,
    threads: Vec<oneshot::Receiver<LoadResult>>,
}

impl Load {
    /// Returns when all connections are made and subscribed.
    pub(super) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let shared = Arc::<RunState>::default();
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        let mut ready = Vec::new();
        let count = plan.threads.clamp(1, plan.connections.max(1));
        for index in 0..count {
            let (ready_tx, ready_rx) = oneshot::channel();
            let (result_tx, result_rx) = oneshot::channel();
            let thread = Thread {
                plan: plan.clone(),
                numbers: (1..=plan.connections).filter(|number| number % count == index).collect(),
                shared: shared.clone(),
                stopped: stopped.clone(),
            };
            std::thread::Builder::new()
                .name(format!("load-{index}"))
                .spawn(move || {
                    let _ = result_tx.send(thread.run(ready_tx));
                })
                .context("cannot start a thread for the load client")?;
            ready.push(ready_rx);
            threads.push(result_rx);
        }
        let load = Self { shared, stop, threads };
        for thread in ready {
            thread.await.context("the load client's thread ended")??;
        }
        Ok(load)
    }

    /// Round trips a second over `duration`. Their times are added to the histogram.
    pub(super) async fn measure(&self, duration: Duration) -> f64 {
        let (from, since) = (self.completed(), Instant::now());
        self.shared.recording.store(true, Relaxed);
        tokio::time::sleep(duration).await;
        let (count, took) = (self.completed() - from, since.elapsed());
        self.shared.recording.store(false, Relaxed);
        count as f64 / took.as_secs_f64()
    }

    pub(super) fn completed(&self) -> u64 {
        self.shared.completed.load(Relaxed)
    }

    /// The longest time between two completed round trips since the last call.
    pub(super) fn take_pause(&self) -> Duration {
        Duration::from_nanos(self.shared.pause_ns.swap(0, Relaxed))
    }

    /// Waits for the messages in flight and adds up the results.
    pub(super) async fn finish(self) -> anyhow::Result<LoadResult> {
        self.shared.stop.store(true, Relaxed);
        let _ = self.stop.send(true);
        let mut total = LoadResult::default();
        for thread in self.threads {
            let result = timeout(DRAIN + END, thread).await.context("the load client does not end")??;
            total.faults.add(result.faults);
            total.round_trips.merge(&result.round_trips);
            total.errors.extend(result.errors);
        }
        total.errors.truncate(3);
        Ok(total)
    }
}

/// One thread of the load client.
struct Thread {
    plan: Plan,
    numbers: Vec<usize>,
    shared: Arc<RunState>,
    stopped: watch::Receiver<bool>,
}

impl Thread {
    fn run(self, ready: oneshot::Sender<anyhow::Result<()>>) -> LoadResult {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => LocalSet::new().block_on(&runtime, self.run_connections(ready)),
            Err(error) => {
                let _ = ready.send(Err(error.into()));
                LoadResult::default()
            }
        }
    }

    async fn run_connections(mut self, ready: oneshot::Sender<anyhow::Result<()>>) -> LoadResult {
        let counters = Rc::new(Counters {
            shared: self.shared.clone(),
            round_trips: RefCell::default(),
            last_completion: Cell::new(Instant::now()),
        });
        let opened = timeout(CONNECT, self.open(&counters)).await;
        let connections = match opened.context("the connections are not made in time").and_then(|opened| opened) {
            Ok(connections) => connections,
            Err(error) => {
                let _ = ready.send(Err(error));
                return LoadResult::default();
            }
        };
        counters.last_completion.set(Instant::now());
        let mut tasks = JoinSet::new();
        let faults = Rc::new(RefCell::new(Faults::default()));
        for connection in connections {
            let mut connection = CountsFaults { connection, faults: faults.clone() };
            let plan = self.plan.clone();
            tasks.spawn_local(async move { connection.connection.run(&plan).await });
        }
        let _ = ready.send(Ok(()));
        // An error means that the owner was dropped: stop as well.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
        self.shared.stop.store(true, Relaxed);
        let mut errors = Vec::new();
        let _ = timeout(self.plan.drain, async {
            while let Some(ended) = tasks.join_next().await {
                errors.extend(ended.ok().and_then(Result::err).map(|error| format!("{error:#}")));
            }
        })
        .await;
        tasks.shutdown().await;
        LoadResult { faults: faults.take(), round_trips: counters.round_trips.take(), errors }
    }

    async fn open(&self, counters: &Rc<Counters>) -> anyhow::Result<Vec<LoadConnection>> {
        let mut connections = Vec::with_capacity(self.numbers.len());
        for number in &self.numbers {
            connections.push(LoadConnection::open(&self.plan, *number, counters.clone()).await?);
        }
        Ok(connections)
    }
}

/// Adds a connection's faults to those of the thread when it is dropped.
struct CountsFaults {
    connection: LoadConnection,
    faults: Rc<RefCell<Faults>>,
}

impl Drop for CountsFaults {
    fn drop(&mut self) {
        self.faults.borrow_mut().add(self.connection.faults());
    }
}
