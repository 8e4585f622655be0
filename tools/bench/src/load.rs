//! The load client: the same for every server it measures. Runs on operating system threads of its own, so that it can
//! be seen what it costs; never retries and never hides a fault.

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
    lanes::Faults,
    link::{Circuit, Counters},
    plan::{Plan, RunState},
};

/// How long all connections together may take to be made.
const CONNECT: Duration = Duration::from_secs(30);
/// How long messages that are under way at the end may take to come home, unless a test says less; then they are lost.
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// How long a thread may take to end after that.
const END: Duration = Duration::from_secs(10);

/// What one run has found, when it is over.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) faults: Faults,
    pub(super) round_trips: Histogram,
    /// Why connections broke, the first few.
    pub(super) errors: Vec<String>,
}

/// A run under way. Dropping it ends it.
pub(super) struct Load {
    shared: Arc<RunState>,
    stop: watch::Sender<bool>,
    threads: Vec<oneshot::Receiver<Tally>>,
}

impl Load {
    /// Returns when every connection is made and subscribed.
    pub(super) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let shared = Arc::<RunState>::default();
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        let mut ready = Vec::new();
        let count = plan.threads.clamp(1, plan.connections.max(1));
        for index in 0..count {
            let (ready_tx, ready_rx) = oneshot::channel();
            let (tally_tx, tally_rx) = oneshot::channel();
            let thread = Thread {
                plan: plan.clone(),
                numbers: (1..=plan.connections).filter(|number| number % count == index).collect(),
                shared: shared.clone(),
                stopped: stopped.clone(),
            };
            std::thread::Builder::new()
                .name(format!("load-{index}"))
                .spawn(move || {
                    let _ = tally_tx.send(thread.run(ready_tx));
                })
                .context("cannot start a thread for the load client")?;
            ready.push(ready_rx);
            threads.push(tally_rx);
        }
        let load = Self { shared, stop, threads };
        for thread in ready {
            thread.await.context("the load client's thread ended")??;
        }
        Ok(load)
    }

    /// Round trips a second over `duration`, which are taken into the histogram.
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

    /// The longest time between two completed round trips since this was last asked.
    pub(super) fn take_pause(&self) -> Duration {
        Duration::from_nanos(self.shared.pause_ns.swap(0, Relaxed))
    }

    /// Lets what is under way come home and adds up.
    pub(super) async fn finish(self) -> anyhow::Result<Tally> {
        self.shared.stop.store(true, Relaxed);
        let _ = self.stop.send(true);
        let mut total = Tally::default();
        for thread in self.threads {
            let tally = timeout(DRAIN + END, thread).await.context("the load client does not end")??;
            total.faults.add(tally.faults);
            total.round_trips.merge(&tally.round_trips);
            total.errors.extend(tally.errors);
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
    fn run(self, ready: oneshot::Sender<anyhow::Result<()>>) -> Tally {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => LocalSet::new().block_on(&runtime, self.circulate(ready)),
            Err(error) => {
                let _ = ready.send(Err(error.into()));
                Tally::default()
            }
        }
    }

    async fn circulate(mut self, ready: oneshot::Sender<anyhow::Result<()>>) -> Tally {
        let counters = Rc::new(Counters {
            shared: self.shared.clone(),
            round_trips: RefCell::default(),
            last_completion: Cell::new(Instant::now()),
        });
        let opened = timeout(CONNECT, self.open(&counters)).await;
        let circuits = match opened.context("the connections are not made in time").and_then(|opened| opened) {
            Ok(circuits) => circuits,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Tally::default();
            }
        };
        counters.last_completion.set(Instant::now());
        let mut tasks = JoinSet::new();
        let faults = Rc::new(RefCell::new(Faults::default()));
        for circuit in circuits {
            let mut circuit = Accounted { circuit, faults: faults.clone() };
            let plan = self.plan.clone();
            tasks.spawn_local(async move { circuit.circuit.run(&plan).await });
        }
        let _ = ready.send(Ok(()));
        // An error here means that the owner is gone: stop as well.
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
        Tally { faults: faults.take(), round_trips: counters.round_trips.take(), errors }
    }

    async fn open(&self, counters: &Rc<Counters>) -> anyhow::Result<Vec<Circuit>> {
        let mut circuits = Vec::with_capacity(self.numbers.len());
        for number in &self.numbers {
            circuits.push(Circuit::open(&self.plan, *number, counters.clone()).await?);
        }
        Ok(circuits)
    }
}

/// Adds its faults to the thread's when it ends, however it ends.
struct Accounted {
    circuit: Circuit,
    faults: Rc<RefCell<Faults>>,
}

impl Drop for Accounted {
    fn drop(&mut self) {
        self.faults.borrow_mut().add(self.circuit.faults());
    }
}
