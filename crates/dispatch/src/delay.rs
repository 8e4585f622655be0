//! Holds an event's effects back while its targets may get no more: the event's lane waits, its worker and all other lanes go
//! on. What is held back is bounded in bytes; past it the worker itself waits.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    cycles::Node,
    guard::{Admission, LONGEST_DELAY, Slow},
    outcome::{self, Next, Pending, Settled},
    queue::{Job, Work},
    runner::{Runner, Version},
    worker,
};
use switchbox_model::{Effect, EventData};
use switchbox_plugin_runtime::limits::names;

/// Bytes of effects of one plugin that are held back at the same time.
pub(super) const DELAYED_BYTES: usize = 16 * 1024 * 1024;
/// Permits are for so many bytes.
const UNIT_BYTES: usize = 1_024;
pub(super) const DELAYED_UNITS: usize = DELAYED_BYTES / UNIT_BYTES;
/// Of the text that explains what was held back, characters: it has the target's name in it.
const WHY_CHARS: usize = 300;

impl Runner {
    /// Whether the event's effects may happen now, later or never; notes who feeds whom.
    pub(super) fn admit(&self, version: &Version, job: &Job, effects: &[Effect], now: Instant) -> Admission {
        if effects.is_empty() {
            return Admission::Now;
        }
        let mut busy = Vec::new();
        let now = now.saturating_duration_since(self.context.began);
        let ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let admission = self.guard.lock().admit(effects, &version.paces, ns, &mut |place| busy.push(place));
        for place in busy {
            if let (Some(from), Some(to)) = (self.source(job), effects.get(place).and_then(|e| self.target(e))) {
                self.note_edge(now, from, to, job);
            }
        }
        admission
    }

    fn source(&self, job: &Job) -> Option<Node> {
        match (&job.device, &job.event.data) {
            (Some(device), _) => Some(Node::Device(device.num, device.name.id.as_str().into())),
            (None, EventData::Topic { topic, .. }) => Some(Node::Topic(topic.as_str().into())),
            _ => None,
        }
    }

    fn target(&self, effect: &Effect) -> Option<Node> {
        match effect {
            Effect::Config { device, .. }
            | Effect::ConfigForced { device, .. }
            | Effect::PatchDesired { device, .. }
            | Effect::Command { device, .. } => {
                let found = self.context.registry.get(*device)?;
                Some(Node::Device(*device, found.name.id.as_str().into()))
            }
            Effect::Publish { topic, .. } => Some(Node::Topic(topic.as_str().into())),
            Effect::Kv(_) | Effect::TimerSet(_) | Effect::TimerCancel { .. } => None,
        }
    }

    fn note_edge(&self, now: Duration, from: Node, to: Node, job: &Job) {
        let inside = matches!(job.event.data, EventData::Topic { .. } | EventData::CommandSettled { .. });
        let Some(cycle) = self.context.cycles.lock().note(now, from, &self.name, to, inside) else { return };
        if cycle.expected {
            tracing::info!(plugin = %self.name, "a device and a plugin feed each other: {cycle}");
            return;
        }
        tracing::warn!("plugins feed each other: {cycle}; limits.rate-per-target holds the rate");
        for plugin in cycle.plugins() {
            if let Some(runner) = self.context.runner(plugin) {
                runner.counters.warn(format!("feeds itself: {cycle}"));
            }
        }
    }

    /// What the limit is about, for people.
    fn slow_text(&self, version: &Version, slow: Slow, effects: &[Effect]) -> String {
        let limits = &version.setup.limits;
        let target = effects.get(slow.effect).and_then(|effect| self.target(effect));
        match (slow.limit, target) {
            (names::RATE_PER_TARGET, Some(target)) => {
                let rate = match target {
                    Node::Device(..) => limits.rate_per_device(),
                    Node::Topic(_) => limits.rate_per_topic(),
                };
                format!("{target} gets more than {rate} from this plugin")
            }
            _ => format!("more than {} effects a second", limits.effects_per_second),
        }
    }

    /// Counts it, and now and then says so in the log. Returns the limit and what reached it, for people.
    pub(super) fn note_delay(&self, version: &Version, slow: Slow, wait: Duration, effects: &[Effect]) -> String {
        self.counters.limit(slow.limit);
        let text = self.slow_text(version, slow, effects);
        if let Some(more) = self.log_limits.note("delay", Instant::now()) {
            tracing::warn!(plugin = %self.name, limit = %slow.limit, wait = ?wait, "effects are held back: {text}{more}");
        }
        format!("limits.{}: {text}", slow.limit).chars().take(WHY_CHARS).collect()
    }

    /// The text of a dead letter.
    pub(super) fn too_long(&self, version: &Version, slow: Slow, wait: Duration, effects: &[Effect]) -> String {
        self.counters.limit(slow.limit);
        let text = self.slow_text(version, slow, effects);
        format!(
            "the limit \"{}\" is reached: {text}, and the effects of this event would have to wait {wait:.1?}, longer than {LONGEST_DELAY:?}",
            slow.limit
        )
    }
}

/// Takes over an event whose effects must wait, and what else was taken of its lane.
pub(super) async fn hold(runner: &Arc<Runner>, pending: Box<Pending>, wait: Duration, rest: Work) {
    let began = tokio::time::Instant::now();
    let until = began + wait;
    let units = (pending.bytes() / UNIT_BYTES + 1).min(DELAYED_UNITS);
    if runner.delayed.available_permits() < units {
        runner.counters.limit(names::DELAYED_BYTES);
    }
    let permits = runner.delayed.clone().acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
    let permit = tokio::select! {
        permit = permits => permit.ok(),
        () = runner.ending.cancelled() => None,
    };
    let lane = rest.lane;
    runner.put_back_behind(pending.job.event.seq, rest);
    let held = Held(runner.clone());
    runner.context.spawn(async move {
        let _permit: Option<OwnedSemaphorePermit> = permit;
        tokio::select! {
            () = tokio::time::sleep_until(until) => release(&held.0, *pending, began.elapsed(), lane).await,
            // The event is in the journal and comes again.
            () = held.0.ending.cancelled() => {}
        }
        drop(held);
    });
}

/// An event whose effects are held back. Dropped when they are released, also by a panic.
struct Held(Arc<Runner>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.released();
    }
}

async fn release(runner: &Arc<Runner>, mut pending: Pending, held: Duration, lane: super::queue::QueueKey) {
    let mut settled = Settled::new(runner);
    settled.add_held_back(&mut pending, held);
    let next = outcome::finish(&mut settled, pending).await;
    settled.submit().await;
    match next {
        Next::Again(job) => worker::retry(runner, *job, Work { lane, jobs: VecDeque::new() }),
        Next::Handled | Next::Later(..) => runner.finish(lane),
    }
}
