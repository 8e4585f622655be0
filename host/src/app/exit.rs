//! How the process ends: the signals that ask for it, how long it may take, and the code and the line that say why. The thread that
//! waits for signals has a runtime of its own, so it answers while every other thread hangs.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use switchbox_store as store;
use switchbox_support::terminal;

/// How long a stop may take, from the signal or the failure that began it. Then the process ends as it is, which is what a crash
/// looks like to the next start.
pub const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How long the last line may take to be written: standard error may be what hangs.
const LAST_LINE: Duration = Duration::from_millis(500);

/// What the process ends with, apart from 0 (all is well), 1 (it could not start, or a command failed) and 2 (wrong arguments).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The data folder is damaged, or parts of it are missing.
    Damaged = 3,
    /// Another host uses the data folder.
    InUse = 4,
    /// The disk could no longer be written.
    DiskFailed = 5,
    /// The stop took longer than [`STOP_DEADLINE`].
    NotInTime = 6,
    /// A second signal came while the host was stopping.
    SecondSignal = 7,
}

/// Why the host stopped without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the host had to stop: {0}; what was acknowledged is kept, what was not is lost")]
    Store(String),
    #[error("the store did not end in time; the next start completes its work")]
    StoreHangs,
}

/// The code for an error with which the host ended.
#[must_use]
pub fn code(error: &anyhow::Error) -> u8 {
    let of_store = |error: &store::Error| match error {
        store::Error::Damaged(_) => Some(ExitStatus::Damaged),
        store::Error::Locked { .. } => Some(ExitStatus::InUse),
        _ => None,
    };
    let of_failure = |failure: &Failure| match failure {
        Failure::Store(_) => ExitStatus::DiskFailed,
        Failure::StoreHangs => ExitStatus::NotInTime,
    };
    let found = error
        .chain()
        .find_map(|cause| cause.downcast_ref().and_then(of_store).or_else(|| cause.downcast_ref().map(of_failure)));
    found.map_or(1, |status| status as u8)
}

/// A cheap clone.
#[derive(Debug, Clone)]
pub(super) struct Ending(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Cancelled by the first signal.
    stop_requested: CancellationToken,
    /// Cancelled when the stop has begun, whatever made it begin.
    begun: CancellationToken,
    /// What the stop waits for.
    phase: Mutex<&'static str>,
}

impl Ending {
    /// Takes signals from now on.
    pub(super) fn watch() -> io::Result<Self> {
        let inner = Inner {
            stop_requested: CancellationToken::new(),
            begun: CancellationToken::new(),
            phase: Mutex::new("the start to end"),
        };
        let ending = Self(Arc::new(inner));
        let (ready, is_ready) = mpsc::sync_channel(1);
        let watching = ending.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Supervision: `Tasks` does not exist yet; after a panic here the host stops, as nothing could ask it to any more.
        thread::Builder::new().name("signals".into()).spawn(move || {
            let stop_requested = watching.0.stop_requested.clone();
            let run = AssertUnwindSafe(|| runtime.block_on(watching.run(&ready)));
            if catch_unwind(run).is_err() {
                stop_unwatched(&stop_requested, STOP_DEADLINE);
            }
        })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(ending)
    }

    /// Returns when a signal asks the process to end.
    pub(super) async fn stop_requested(&self) {
        self.0.stop_requested.cancelled().await;
    }

    /// The stop begins now, and has [`STOP_DEADLINE`].
    pub(super) fn begin(&self) {
        self.0.begun.cancel();
    }

    /// What the stop waits for from now on.
    pub(super) fn phase(&self, phase: &'static str) {
        *self.0.phase.lock() = phase;
    }

    async fn run(self, ready: &mpsc::SyncSender<io::Result<()>>) {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        tokio::select! {
            name = signals.next() => {
                self.0.stop_requested.cancel();
                tracing::info!(signal = name, "stopping");
            }
            () = self.0.begun.cancelled() => {}
        }
        let (status, why) = tokio::select! {
            name = signals.next() => (ExitStatus::SecondSignal, format!("ended by a second signal ({name})")),
            () = tokio::time::sleep(STOP_DEADLINE) => {
                (ExitStatus::NotInTime, format!("did not stop within {} s", STOP_DEADLINE.as_secs()))
            }
        };
        let phase = *self.0.phase.lock();
        end_now(status, format!("switchbox: {why} while it waited for {phase}; the next start takes up what was left"));
    }
}

/// Stops the host after the signal thread has panicked, within the same time.
fn stop_unwatched(stop_requested: &CancellationToken, deadline: Duration) -> ! {
    stop_requested.cancel();
    tracing::error!("the signal thread panicked; the host stops, start it again");
    thread::sleep(deadline);
    let line =
        format!("switchbox: did not stop within {} s; the next start takes up what was left", deadline.as_secs());
    end_now(ExitStatus::NotInTime, line)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Of a file that got larger than allowed (`ulimit -f`): writing it fails, and the process does not end by it.
    _file_size: Option<Signal>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let file_size = signal(SignalKind::from_raw(libc::SIGXFSZ)).ok();
        #[cfg(not(target_os = "linux"))]
        let file_size = None;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _file_size: file_size,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Ends the process without waiting for any of its threads.
fn end_now(status: ExitStatus, line: String) -> ! {
    let (written, is_written) = mpsc::sync_channel(1);
    let write = move || {
        let _ = terminal::print_error(&line);
        let _ = written.send(());
    };
    // Supervision: the process ends, whatever happens to this thread.
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = is_written.recv_timeout(LAST_LINE);
    }
    #[allow(
        unsafe_code,
        reason = "`std::process::exit` runs what other libraries left for the end, which may wait for a thread"
    )]
    // SAFETY: the process ends in this call; nothing of it is used afterwards.
    unsafe {
        libc::_exit(i32::from(status as u8))
    }
}
