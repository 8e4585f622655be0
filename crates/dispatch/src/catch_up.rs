//! Reads a plugin's events from the journal: those for which its queue had no room, and after a start those that were not
//! handled before. Ends when the plugin has caught up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{queue::Job, runner::Runner};
use switchbox_model::{Event, Seq};
use switchbox_store::{Error, JournalPage};

/// Bytes of the journal read at once.
const PAGE_BYTES: usize = 1024 * 1024;
/// How long to wait for events that are offered already but not in the journal yet.
const NOT_WRITTEN_YET: Duration = Duration::from_millis(5);
/// How long to wait when the journal cannot be read.
const NOT_READABLE: Duration = Duration::from_secs(1);

/// Spawns the task that reads from the journal.
pub(super) fn start(runner: &Arc<Runner>) {
    runner.context.spawn(run(runner.clone()));
}

async fn run(runner: Arc<Runner>) {
    let mut row = None;
    while runner.backlog.wait_for_room().await && !runner.context.stopping.is_cancelled() {
        match step(&runner, &mut row).await {
            Ok(Step::CaughtUp) => return,
            Ok(Step::Read) => {}
            Ok(Step::NothingYet) => tokio::time::sleep(NOT_WRITTEN_YET).await,
            Err(Error::Closed) => return,
            Err(error) => {
                if let Some(more) = runner.log_limits.allow("journal", Instant::now()) {
                    tracing::error!(plugin = %runner.name, %error, "the journal cannot be read; trying again{more}");
                }
                tokio::time::sleep(NOT_READABLE).await;
            }
        }
    }
}

enum Step {
    Read,
    NothingYet,
    CaughtUp,
}

async fn step(runner: &Arc<Runner>, row: &mut Option<i64>) -> Result<Step, Error> {
    let Some((cursor, newest)) = runner.backlog.with_catch_up(|catch_up| (catch_up.cursor, catch_up.newest)) else {
        return Ok(Step::CaughtUp);
    };
    if cursor > newest {
        return Ok(if runner.backlog.queue_read(Vec::new(), cursor) { Step::CaughtUp } else { Step::NothingYet });
    }
    let from = match *row {
        Some(row) => row,
        None => match runner.context.store.row_of(cursor).await? {
            Some(found) => *row.insert(found),
            None => return Ok(Step::NothingYet),
        },
    };
    let JournalPage { rows, next } = runner.context.store.journal_page(from, PAGE_BYTES).await?;
    if rows.is_empty() {
        return Ok(Step::NothingYet);
    }
    *row = Some(next);
    let mut reached = cursor;
    let mut jobs = Vec::new();
    for entry in rows.into_iter().flat_map(|row| row.entries) {
        for event in entry.into_events().into_iter().filter(|event| event.seq >= cursor) {
            reached = Seq(event.seq.0 + 1);
            jobs.extend(job(runner, event));
        }
    }
    Ok(if runner.backlog.queue_read(jobs, reached) { Step::CaughtUp } else { Step::Read })
}

/// Returns `None` if the plugin does not have to handle the event.
fn job(runner: &Arc<Runner>, event: Event) -> Option<Job> {
    let before_boot = runner.context.boot.get().is_some_and(|boot| event.seq <= *boot);
    // QoS 0 has no delivery guarantee, and handling an event a second time would be worse.
    if before_boot && !event.durable {
        return None;
    }
    if runner.backlog.with_catch_up(|catch_up| catch_up.handled.remove(&event.seq)).unwrap_or(false) {
        return None;
    }
    let device = match event.device {
        Some(num) => Some(runner.context.registry.get(num)?),
        None => None,
    };
    runner.wants(device.as_ref(), &event).then_some(Job { event, device, attempt: 1, dead_letter_id: None })
}
