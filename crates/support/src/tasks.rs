//! Tasks and threads that must live as long as the host. A panic in one is caught, counted (`switchbox_panics_total`) and shown by
//! `/readyz`, by the task's name; so is one that ends before the host does. Never restarts anything.

use std::{
    any::Any,
    collections::BTreeMap,
    future::{Future, poll_fn},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use parking_lot::Mutex;
use tokio::{runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    log_limit::SiteLimit,
    metrics::{Metrics, Panics},
};

/// A guest may bring about one with each of its events.
static PANICS: SiteLimit = SiteLimit::new(10);

/// Which tasks have ended that must not. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    metrics: Metrics,
    /// By the task's name: how it ended.
    ended: Mutex<BTreeMap<&'static str, String>>,
}

/// The text of a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

impl Panicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Self(text.unwrap_or("a panic without a text").to_owned())
    }
}

/// Runs the future; a panic in one of its polls is its result.
pub async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(payload) => Poll::Ready(Err(Panicked::new(&*payload))),
    })
    .await
}

/// A future that is completed even if nobody waits for it any more: when it is dropped, its rest runs as a task. Until then it runs within
/// its caller's task, so it costs no change of threads. A panic is the caller's.
pub struct Completed<F: Future + Send + 'static>(Option<Pin<Box<F>>>)
where
    F::Output: Send;

impl<F: Future + Send + 'static> Completed<F>
where
    F::Output: Send,
{
    pub fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future + Send + 'static> Future for Completed<F>
where
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out meanwhile: what panicked is not run again.
        let Some(mut future) = self.0.take() else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(future);
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for Completed<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        // Without a runtime the host has ended.
        if let (Some(rest), Ok(runtime)) = (self.0.take(), runtime::Handle::try_current()) {
            // Supervision: the caller is gone, so a panic ends this task alone.
            drop(runtime.spawn(rest));
        }
    }
}

/// Starts a task that may end at any time. Its panic harms one client, device or call alone: it is counted and logged, and the host
/// stays ready.
pub fn spawn_contained(
    panics: Panics,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(contained(panics, name, task))
}

/// Contains panics in a task that is spawned by other means.
pub async fn contained(panics: Panics, name: &'static str, task: impl Future<Output = ()>) {
    if let Err(panic) = caught(task).await {
        count_panic(&panics, name, &panic.0);
    }
}

fn count_panic(panics: &Panics, what: &'static str, panic: &str) {
    panics.count(what);
    if let Some(more) = PANICS.allow() {
        tracing::error!(task = what, "panicked: {panic}; this is a defect of the host, please report it{more}");
    }
}

impl Tasks {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { metrics, ended: Mutex::default() }))
    }

    /// Starts a task that must live until `shutdown` is cancelled.
    pub fn spawn(
        &self,
        name: &'static str,
        shutdown: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.spawn_on(&runtime::Handle::current(), name, shutdown, task)
    }

    /// Spawns a contained task on the threads of this runtime.
    pub fn spawn_on(
        &self,
        runtime: &runtime::Handle,
        name: &'static str,
        shutdown: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        runtime.spawn(self.clone().supervised(name, shutdown.clone(), task))
    }

    /// The task, for a caller that starts it by other means.
    pub async fn supervised(self, name: &'static str, shutdown: CancellationToken, task: impl Future<Output = ()>) {
        match caught(task).await {
            Ok(()) if shutdown.is_cancelled() => {}
            Ok(()) => self.ended(name, "ended before the host did".into()),
            Err(panic) => self.panicked(name, &panic),
        }
    }

    /// Runs a task that may end at any time, but not by a panic.
    pub async fn guard(self, name: &'static str, task: impl Future<Output = ()>) {
        if let Err(panic) = caught(task).await {
            self.panicked(name, &panic);
        }
    }

    /// Starts a thread that must not panic. It may end when its work is over.
    pub fn spawn_thread(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let tasks = self.clone();
        thread::Builder::new().name(name.into()).spawn(move || tasks.run(name, work)).map(drop)
    }

    /// Runs the work of a thread, and contains a panic. Returns `None` if it panicked.
    pub fn run<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        done.map_err(|payload| self.panicked(name, &Panicked::new(&*payload))).ok()
    }

    /// Counts a panic that harms one plugin, device or call alone.
    pub fn count_panic(&self, what: &'static str, panic: &str) {
        count_panic(&self.0.metrics.panics, what, panic);
    }

    fn panicked(&self, name: &'static str, panic: &Panicked) {
        self.count_panic(name, &panic.0);
        self.ended(name, format!("panicked: {panic}"));
    }

    fn ended(&self, name: &'static str, how: String) {
        tracing::error!(task = name, "the task {how}; the host is no longer ready; restart it");
        self.0.ended.lock().insert(name, how);
    }

    /// Each task that has ended and should not have: its name, and how. Is empty if all tasks run as they should.
    #[must_use]
    pub fn failed(&self) -> Vec<(&'static str, String)> {
        self.0.ended.lock().iter().map(|(name, how)| (*name, how.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_too_early_is_named() {
        let tasks = Tasks::default();
        let shutdown = CancellationToken::new();
        tasks.spawn("first", &shutdown, async { panic!("no more") }).await.unwrap();
        tasks.spawn("second", &shutdown, async {}).await.unwrap();
        tasks.clone().guard("third", async {}).await;
        assert_eq!(tasks.run("fourth", || 4), Some(4));
        assert_eq!(tasks.run("fifth", || -> u32 { panic!("{}", 5) }), None);
        let failed: Vec<_> = tasks.failed().into_iter().map(|(name, how)| format!("{name} {how}")).collect();
        assert_eq!(failed, ["fifth panicked: 5", "first panicked: no more", "second ended before the host did"]);
    }

    #[tokio::test]
    async fn a_panic_that_is_contained_is_counted_and_the_host_stays_ready() {
        let metrics = Metrics::default();
        let tasks = Tasks::new(metrics.clone());
        spawn_contained(metrics.panics.clone(), "worker", async { panic!("once") }).await.unwrap();
        assert_eq!(tasks.failed(), []);
        assert_eq!(metrics.panics_of("worker"), 1);
    }

    #[tokio::test]
    async fn a_task_that_ends_with_the_host_is_well() {
        let tasks = Tasks::default();
        let shutdown = CancellationToken::new();
        let ends = shutdown.clone();
        let task = tasks.spawn("timers", &shutdown, async move { ends.cancelled().await });
        assert!(!task.is_finished());
        shutdown.cancel();
        task.await.unwrap();
        assert_eq!(tasks.failed(), []);
    }

    #[tokio::test]
    async fn a_panic_after_a_wait_is_caught_as_well() {
        let waits = async {
            tokio::task::yield_now().await;
            panic!("late")
        };
        assert_eq!(caught(waits).await, Err::<(), _>(Panicked("late".into())));
    }

    #[tokio::test]
    async fn a_future_without_a_caller_is_completed_and_one_that_panicked_is_not_run_again() {
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let (end, ended) = tokio::sync::oneshot::channel();
        let mut left = Completed::new(async move {
            begun.await.unwrap();
            end.send("done").unwrap();
        });
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut left).poll(&mut context).is_pending());
        drop(left);
        begin.send(()).unwrap();
        assert_eq!(ended.await, Ok("done"));
        let mut panics = Completed::new(async { panic!("once") });
        assert!(catch_unwind(AssertUnwindSafe(|| Pin::new(&mut panics).poll(&mut context).is_pending())).is_err());
        assert!(panics.0.is_none());
    }
}
