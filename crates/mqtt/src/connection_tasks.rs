//! Owns the connection tasks and chooses the runtime that they run on. Unauthenticated connections run on the low-priority runtime,
//! authenticated ones on the runtime that their CPU budget selects. A connection that changes runtime is returned by its task and
//! spawned again on the other one.

use tokio::{
    runtime::Handle,
    task::{JoinError, JoinSet},
};

use super::{connection::Migration, cpu_budget::PriorityClass};
use switchbox_support::threads::YieldBetweenPolls;

pub(super) struct ConnectionTasks {
    tasks: JoinSet<Migration>,
    foreground: Handle,
    background: Handle,
}

impl ConnectionTasks {
    /// The caller's runtime is the background, and also the foreground if none is given.
    pub(super) fn new(foreground: Option<Handle>) -> Self {
        let background = Handle::current();
        Self { tasks: JoinSet::new(), foreground: foreground.unwrap_or_else(|| background.clone()), background }
    }

    /// Spawns the task of an unauthenticated connection.
    pub(super) fn spawn_pending(&mut self, served: impl Future<Output = Migration> + Send + 'static) {
        self.tasks.spawn_on(YieldBetweenPolls::new(served), &self.background);
    }

    /// Waits until a connection has ended. Returns `None` if there are no connections.
    pub(super) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        loop {
            match self.tasks.join_next().await? {
                Ok(Some(moving)) => {
                    let threads = match moving.class {
                        PriorityClass::Foreground => &self.foreground,
                        PriorityClass::Background => &self.background,
                    };
                    self.tasks.spawn_on(moving.resume_here(), threads);
                }
                Ok(None) => return Some(Ok(())),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}
