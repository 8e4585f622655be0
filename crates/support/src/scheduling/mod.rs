//! Who is served first when there is not enough for all: those who ask for little, and behind them those who keep the host
//! busy and those whom nobody knows yet. Says who is which, and has the threads for the second kind. Knows no connections.
//!
//! The background's threads are as many as the foreground's and do the same, so that one who is alone has the whole machine;
//! but the system's scheduler interrupts them as soon as a thread of the foreground, the writer or another program has something
//! to do: they take long turns, all others short ones. So do the threads that bring the store's files in order. That holds
//! however long a piece of work is, and wherever it is done; and where pieces are many, [`yield_if_due`] between them makes up for
//! the scheduler's ticks.

mod cpu_budget;
mod priority;
mod reactor;
mod yielding;

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

pub use self::{
    cpu_budget::{CpuBudget, CpuBudgets, Metered, PriorityClass},
    priority::{request_long_slices, request_short_slices},
    reactor::{move_listener_here, move_stream_here},
    yielding::{YieldBetweenPolls, has_foreground, yield_if_due, yield_if_due_at},
};

/// How much less of a busy processor a thread of the background gets: about a third of what one of the foreground does, so that
/// it goes on.
const NICE: i32 = 5;

/// Threads for what may wait. They end with this value, and what is on them.
#[derive(Debug)]
pub struct Background {
    handle: Handle,
    /// None: it has ended.
    runtime: Option<Runtime>,
}

impl Background {
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("background")
            .on_thread_start(|| priority::yield_to_others(NICE))
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Waiting is not allowed where this may be dropped: on a thread that serves others.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
