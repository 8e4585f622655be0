//! The tasks of connections, and whose threads they run on: newcomers in the background, which serves the front itself, and whoever
//! was let in where its share of the processor puts it. A connection that is to change goes on in a new task.

use tokio::{
    runtime::Handle,
    task::{JoinError, JoinSet},
};

use super::{connection::Connection, hub::Hub};
use switchbox_support::fairness::{Breathing, Lane};

/// A connection that goes on in another lane; none when it has ended.
pub(super) type Moving<H> = Option<Box<Connection<H>>>;

pub(super) struct Seats<H: Hub> {
    tasks: JoinSet<Moving<H>>,
    foreground: Handle,
    background: Handle,
}

impl<H: Hub> Seats<H> {
    /// The caller's threads are the background, and the foreground too where there is no other.
    pub(super) fn new(foreground: Option<Handle>) -> Self {
        let background = Handle::current();
        Self { tasks: JoinSet::new(), foreground: foreground.unwrap_or_else(|| background.clone()), background }
    }

    /// Serves a client that nobody knows yet.
    pub(super) fn newcomer(&mut self, served: impl Future<Output = Moving<H>> + Send + 'static) {
        self.tasks.spawn_on(Breathing::new(served), &self.background);
    }

    /// Waits until a connection has ended. None: there is none.
    pub(super) async fn ended(&mut self) -> Option<Result<(), JoinError>> {
        loop {
            match self.tasks.join_next().await? {
                Ok(Some(moving)) => {
                    let threads = match moving.lane {
                        Lane::Foreground => &self.foreground,
                        Lane::Background => &self.background,
                    };
                    self.tasks.spawn_on(moving.go_on(), threads);
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
