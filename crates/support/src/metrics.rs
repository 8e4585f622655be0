//! The host's counters, shared by every room and read by `/metrics`. Counts; never decides anything.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use switchbox_model::limits::{self, LimitName};

/// The label of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

impl Limit {
    const fn of(name: LimitName) -> Self {
        Self { limit: name.as_str() }
    }
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    pub reason: &'static str,
}

/// A task, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Task {
    task: &'static str,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: &'static str,
}

/// Cheap to clone: every clone counts into the same counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// A limit was hit, by its name.
    limits: Family<Limit, Counter>,
    /// Things refused to clients, by the reason.
    pub refused: Family<Reason, Counter>,
    /// Panics that were caught, by the task; each is a defect.
    panics: Family<Task, Counter>,
    /// Connections of clients that the host ended, by the reason.
    pub closed: Family<Reason, Counter>,
    /// Connections open now.
    pub connections: Gauge,
    /// CONNECTs that were let in.
    pub connects: Counter,
    /// Connection tasks that panicked; each is a defect.
    pub connection_panics: Counter,
    /// PUBLISH packets received.
    pub publishes_in: Counter,
    /// PUBLISH packets sent.
    pub publishes_out: Counter,
    /// Commands that reached a final status, by that status.
    pub commands_ended: Family<Reason, Counter>,
    /// Method calls over HTTP, by how they ended.
    pub proxy_calls: Family<Outcome, Counter>,
    /// Messages that subscribers of ordinary topics did not get because a queue was full or they expired.
    pub dropped: Family<Reason, Counter>,
}

impl Metrics {
    /// Counts that this limit was hit.
    pub fn limit(&self, limit: LimitName) {
        self.limits.get_or_create(&Limit::of(limit)).inc();
    }

    /// Counts that it was hit so many times.
    pub fn limit_by(&self, limit: LimitName, times: u64) {
        self.limits.get_or_create(&Limit::of(limit)).inc_by(times);
    }

    /// How often this limit was hit since the start.
    #[must_use]
    pub fn limit_hits(&self, limit: LimitName) -> u64 {
        self.limits.get_or_create(&Limit::of(limit)).get()
    }

    /// Counts a panic in this task.
    pub fn panic(&self, task: &'static str) {
        self.panics.get_or_create(&Task { task }).inc();
    }

    /// The counters of messages that found a subscriber's queue full, for where these are many.
    #[must_use]
    pub fn queue_full(&self) -> [Counter; 2] {
        let limit = self.limits.get_or_create(&Limit::of(limits::names::SESSION_QUEUE)).clone();
        [limit, self.dropped.get_or_create(&Reason { reason: "queue full" }).clone()]
    }

    /// Counts something refused to a client.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a client's connection that the host ended.
    pub fn close(&self, reason: &'static str) {
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a message that a subscriber will not get.
    pub fn drop_message(&self, reason: &'static str) {
        self.drop_messages(reason, 1);
    }

    /// Counts so many of them.
    pub fn drop_messages(&self, reason: &'static str, count: u64) {
        self.dropped.get_or_create(&Reason { reason }).inc_by(count);
    }

    /// Counts a method call over HTTP.
    pub fn proxy_call(&self, outcome: &'static str) {
        self.proxy_calls.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("limit_hits", "Times a limit was hit", self.limits.clone());
        registry.register("mqtt_refused", "Things refused to clients", self.refused.clone());
        registry.register("panics", "Panics that were caught, by the task", self.panics.clone());
        registry.register("mqtt_closed", "Connections that the host ended", self.closed.clone());
        registry.register("mqtt_connections", "Connections open now", self.connections.clone());
        registry.register("mqtt_connects", "Clients let in", self.connects.clone());
        registry.register("mqtt_connection_panics", "Connection tasks that panicked", self.connection_panics.clone());
        registry.register("mqtt_publishes_in", "PUBLISH packets received", self.publishes_in.clone());
        registry.register("mqtt_publishes_out", "PUBLISH packets sent", self.publishes_out.clone());
        registry.register("commands_ended", "Commands by their final status", self.commands_ended.clone());
        registry.register("proxy_calls", "Method calls over HTTP by how they ended", self.proxy_calls.clone());
        registry.register("mqtt_dropped", "Messages that a subscriber did not get", self.dropped.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_written_with_its_name() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.clone().limit(limits::names::SESSION_QUEUE);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"limit_hits_total{limit="session_queue"} 1"#), "{text}");
    }
}
