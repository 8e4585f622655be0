//! Threads and their priorities: which of them the system's scheduler interrupts for which. The foreground does what a caller waits for;
//! the background, with as many threads, does the same work for callers that may wait. Knows neither callers nor connections.
//!
//! Background threads run with a higher `nice` value, so the system gives more time to threads of the foreground and to the journal's writer.
//! Between short pieces of work, [`yield_if_due`] gives the processor up before the scheduler's next tick. The store's maintenance threads
//! do that as well: they have the priority of the foreground, because the journal may wait for them.

mod journal_writer;
mod priority;
mod reactor;
mod yielding;

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

pub use self::{
    journal_writer::{as_journal_writer, assert_not_journal_writer},
    reactor::{move_listener_here, move_stream_here},
    yielding::{YieldBetweenPolls, has_foreground, record_foreground_work, yield_if_due, yield_if_due_at},
};

/// The niceness of background threads. On a busy processor such a thread gets about a third of the time of a foreground thread, so that it
/// does not stop.
const NICE: i32 = 5;

/// The niceness of threads whose work may be left undone. Such a thread gets about a tenth.
const NICE_OF_LAST: i32 = 10;

/// Lets the calling thread yield between pieces of its work, without a lower priority. This cannot be undone.
pub fn yield_between_pieces() {
    priority::lower_priority(0);
}

/// Gives the calling thread the lowest priority of the process, below the background: for work that may be skipped if there is no
/// time. This cannot be undone.
pub fn use_lowest_priority() {
    priority::lower_priority(NICE_OF_LAST);
}

/// Threads for what may wait. They end with this value, and what is on them.
#[derive(Debug)]
pub struct Background {
    handle: Handle,
    /// `None` when the thread has ended.
    runtime: Option<Runtime>,
}

impl Background {
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("background")
            .on_thread_start(|| priority::lower_priority(NICE))
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
