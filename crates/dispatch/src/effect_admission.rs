//! Decides with the loop guard whether an event's effects are committed now, held back or refused. Reports limits and cycles in the
//! log and in the plugin's status.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use super::{
    blast_radius::Exceeded,
    cycles::Node,
    loop_guard::{Admission, LONGEST_DELAY, LimitHit},
    queue::Job,
    runner::Runner,
    version::Version,
};
use switchbox_model::{Cause, DeviceNum, Effect, EventData, Target};
use switchbox_plugin_runtime::limits::{Line, names};

/// Characters of the text that says which limit was hit. It contains the target's name.
const WHY_CHARS: usize = 300;

impl Runner {
    /// Decides whether the event's effects are committed now, held back or refused. Adds samples for the detection of cycles.
    pub(super) fn admit(&self, version: &Version, job: &Job, effects: &[Effect], now: Instant) -> Admission {
        if effects.is_empty() {
            return Admission::Now;
        }
        let mut busy_effects = Vec::new();
        let now = now.saturating_duration_since(self.context.started);
        let ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let admission =
            self.loop_guard.lock().admit(effects, &version.token_rates, ns, &mut |index| busy_effects.push(index));
        for index in busy_effects {
            if let (Some(from), Some(to)) = (self.source(job), effects.get(index).and_then(|e| self.target(e))) {
                self.record_edge(now, from, to, job);
            }
        }
        admission
    }

    /// The limit of targets that the effects exceed, together with the devices whose methods the event has called.
    pub(super) fn exceeds(&self, version: &Version, effects: &[Effect], called: &[DeviceNum]) -> Option<Exceeded> {
        let limits = &version.setup.limits;
        if limits.max_targets_per_event.is_none() && limits.max_new_targets_per_minute.is_none() {
            return None;
        }
        let now = self.context.started.elapsed();
        self.blast_radius.lock().admit(effects, called, limits, now, |device| self.was_reached(device))
    }

    /// Counts the device of a method call as a target of the plugin.
    ///
    /// # Errors
    ///
    /// There would be more new targets within a minute than `most`. A call cannot wait for approval, so it must not be made.
    pub(super) fn reach_by_call(&self, device: DeviceNum, most: NonZeroU32) -> Result<(), String> {
        let now = self.context.started.elapsed();
        let refused = self.blast_radius.lock().admit_call(device, most, now, |device| self.was_reached(device));
        refused.map_or(Ok(()), |many| {
            Err(format!(
                "{} new targets within a minute with this device; up to {} need no approval, and a method call cannot wait for it",
                many.new, many.most
            ))
        })
    }

    /// Whether the device's current config was set by this plugin.
    fn was_reached(&self, device: DeviceNum) -> bool {
        let is_of_plugin = |cause: &Cause| matches!(cause, Cause::Plugin { plugin, .. } if *plugin == self.name);
        let device = self.context.registry.get(device);
        device.and_then(|device| device.config()).is_some_and(|config| is_of_plugin(&config.cause))
    }

    /// The node of the graph of [`super::cycles`] that the event comes from.
    fn source(&self, job: &Job) -> Option<Node> {
        match (&job.device, &job.event.data) {
            (Some(device), _) => Some(Node::Device(device.num, device.name.id.as_str().into())),
            (None, EventData::Topic { topic, .. }) => Some(Node::Topic(topic.as_str().into())),
            _ => None,
        }
    }

    /// The node that the effect acts on. `None` if it acts on the plugin alone.
    fn target(&self, effect: &Effect) -> Option<Node> {
        match effect.target()? {
            Target::Device(device) => {
                let doc = self.context.registry.get(device)?;
                Some(Node::Device(device, doc.name.id.as_str().into()))
            }
            Target::Topic(topic) => Some(Node::Topic(topic.into())),
        }
    }

    /// Adds a sample: the plugin answered an event of `from` with an effect on `to`. Logs a cycle that is due to be reported.
    fn record_edge(&self, now: Duration, from: Node, to: Node, job: &Job) {
        let without_device = matches!(job.event.data, EventData::Topic { .. } | EventData::CommandSettled { .. });
        let Some(cycle) = self.context.cycles.lock().add(now, from, &self.name, to, without_device) else { return };
        if cycle.expected {
            tracing::info!(plugin = %self.name, "a device and a plugin feed each other: {cycle}");
            return;
        }
        tracing::warn!("plugins feed each other: {cycle}; limits.rate-per-target holds the rate");
        for plugin in cycle.plugins() {
            self.context.warnings.lock().add(plugin, format!("feeds itself: {cycle}"));
        }
    }

    /// A text that names the limit and its target, and the text of the line that raises the limit.
    fn limit_text(&self, version: &Version, hit: LimitHit, effects: &[Effect]) -> (String, String) {
        let limits = &version.setup.limits;
        let target = effects.get(hit.effect).and_then(|effect| self.target(effect));
        let (text, line) = match (hit.limit, target) {
            (names::RATE_PER_TARGET, Some(target)) => {
                let (rate, line) = match target {
                    Node::Device(..) => (limits.rate_per_device(), Line::RatePerDevice),
                    Node::Topic(_) => (limits.rate_per_topic(), Line::RatePerTopic),
                };
                (format!("{target} gets more than {rate} from this plugin"), line)
            }
            _ => (format!("more than {} effects a second", limits.effects_per_second), Line::EffectsPerSecond),
        };
        // The target's name may be long; the line is never cut.
        (text.chars().take(WHY_CHARS).collect(), limits.raise(line))
    }

    /// Counts the limit that was hit and logs it at a limited rate. Returns a text with the limit and the target.
    pub(super) fn record_delay(&self, version: &Version, hit: LimitHit, wait: Duration, effects: &[Effect]) -> String {
        self.counters.limit(hit.limit);
        let (text, raise_text) = self.limit_text(version, hit, effects);
        if let Some(more) = self.log_limits.allow("delay", Instant::now()) {
            tracing::warn!(plugin = %self.name, limit = %hit.limit, wait = ?wait, "effects are held back: {text}{raise_text}{more}");
        }
        format!("limits.{}: {text}{raise_text}", hit.limit)
    }

    /// Counts the limit. Returns the text of the dead letter.
    pub(super) fn delay_too_long(
        &self,
        version: &Version,
        hit: LimitHit,
        wait: Duration,
        effects: &[Effect],
    ) -> String {
        self.counters.limit(hit.limit);
        let (text, raise_text) = self.limit_text(version, hit, effects);
        format!(
            "the limit \"{}\" is reached: {text}, and the effects of this event would have to wait {wait:.1?}, longer than {LONGEST_DELAY:?}{raise_text}",
            hit.limit
        )
    }
}
