//! Makes dead letters of the events that a plugin has not handled when it is switched off. At the end of the host they stay in the journal
//! instead, and the plugin handles them at the next start.

use std::sync::Arc;

use super::{entry_batch::EntryBatch, lifecycle::OffReason, queue::Job, runner::Runner};
use switchbox_model::{
    EventData, Handled, Outcome,
    limits::{self, names},
};
use switchbox_store::OnCommit;
use switchbox_support::clock;

/// Dead letters that are submitted to the journal together.
const TOGETHER: usize = 32;

/// Called when the plugin has stopped, before the entry that switches it off: the dead letters are in the journal before that entry.
pub(super) async fn keep_as_dead_letters(runner: &Arc<Runner>, off: OffReason) {
    let is_behind = runner.backlog.len().1;
    let (jobs, left_out) = kept(runner.take_unhandled());
    let count = jobs.len();
    let digest = runner.version().journaled_as.clone();
    let (error, mut entries) = (off.error(), EntryBatch::new(runner, 0));
    for batch in jobs.chunks(TOGETHER) {
        for job in batch {
            let handled = Handled {
                plugin: runner.name.clone(),
                digest: digest.clone(),
                seq: job.event.seq,
                attempt: job.attempt,
                time_ms: clock::now_ms(),
                took_us: 0,
                logs: Vec::new(),
                outcome: Outcome::Dead { error: error.to_owned(), event: Box::new(job.event.clone()) },
            };
            entries.add(handled, job, OnCommit::Nothing);
        }
        entries.submit().await;
    }
    let name = &runner.name;
    if count > 0 {
        tracing::warn!(
            plugin = %name,
            "{count} events became dead letters: {error}; `switchbox dead-letters redrive --plugin {name}` gives them to it when it runs again"
        );
    }
    if left_out > 0 {
        runner.context.metrics.limit(names::DEAD_LETTERS);
        tracing::warn!(plugin = %name, "{left_out} more events are lost, which are too many for dead letters: {error}");
    }
    if is_behind {
        tracing::warn!(plugin = %name, "events that it had not read from the journal yet are lost: {error}");
    }
}

/// The events that become dead letters, oldest first, and how many are too many. The first of `jobs` are kept. The event of a timer is due again, and that
/// of a dead letter that was redriven has one.
fn kept(mut jobs: Vec<Job>) -> (Vec<Job>, usize) {
    // New dead letters must not push out those that were redriven.
    let most = limits::DEAD_LETTERS.saturating_sub(jobs.iter().filter(|job| job.dead_letter_id.is_some()).count());
    jobs.retain(|job| !matches!(job.event.data, EventData::Timer { .. }) && job.dead_letter_id.is_none());
    let left_out = jobs.len().saturating_sub(most);
    jobs.truncate(most);
    jobs.sort_by_key(|job| job.event.seq);
    (jobs, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::{Event, Seq};

    fn job(seq: u64, data: EventData, dead_letter_id: Option<u64>) -> Job {
        let event = Event { seq: Seq(seq), time_ms: 0, device: None, durable: true, data };
        Job { event, device: None, attempt: 1, dead_letter_id }
    }

    #[test]
    fn events_that_nothing_else_keeps_become_dead_letters_in_order() {
        let jobs = vec![
            job(9, EventData::Connected, None),
            job(4, EventData::Connected, Some(1)),
            job(3, EventData::Connected, None),
        ];
        let (jobs, left_out) = kept(jobs);
        let seqs: Vec<_> = jobs.iter().map(|job| job.event.seq.0).collect();
        assert_eq!((seqs, left_out), (vec![3, 9], 0));
        let many = (0..limits::DEAD_LETTERS as u64 + 5).map(|seq| job(seq, EventData::Connected, None)).collect();
        let (jobs, left_out) = kept(many);
        assert_eq!((jobs.len(), left_out), (limits::DEAD_LETTERS, 5));
    }
}
