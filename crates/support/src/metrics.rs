//! The host's counters, shared by all components and read by `/metrics`. Counts; never decides anything.

use std::{ops::Deref, sync::Arc};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};

use super::histogram::Histogram;
use switchbox_model::limits::{self, LimitName};
use switchbox_telemetry::{LimitHits, Tracer};

/// One metric, as `/metrics` and the documentation name it.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Behind `switchbox_`, without the `_total` of a counter.
    pub name: &'static str,
    /// `counter`, `gauge`, `summary` or `histogram`.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    /// One line, without a full stop.
    pub description: &'static str,
}

/// Makes a constant for each metric, and [`ALL`].
macro_rules! metrics {
    ($($constant:ident: $kind:literal, $name:literal, $labels:expr, $description:literal;)*) => {
        $(pub const $constant: Spec = Spec { name: $name, kind: $kind, labels: &$labels, description: $description };)*

        /// Every metric of `/metrics`; docs/metrics.md is made from this table.
        pub const ALL: &[Spec] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO: "gauge", "build_info", ["version"], "Always 1; the label has the program's version";
    START_TIME_SECONDS: "gauge", "start_time_seconds", [], "When the host started, in seconds since 1970";
    RESIDENT_MEMORY_BYTES: "gauge", "resident_memory_bytes", [], "Memory of the process that is in RAM";
    MQTT_CONNECTIONS: "gauge", "mqtt_connections", [], "Connections open now";
    MQTT_CONNECTS: "counter", "mqtt_connects", [], "Connections that were accepted (CONNACK)";
    MQTT_CLOSED: "counter", "mqtt_closed", ["reason"], "Connections that the host ended, by the reason";
    MQTT_REFUSED: "counter", "mqtt_refused", ["reason"], "Requests of clients that were refused: connect, publish, subscribe and others";
    MQTT_DROPPED: "counter", "mqtt_dropped", ["reason"], "Messages that a subscriber did not get, by the reason";
    MQTT_PUBLISHES_IN: "counter", "mqtt_publishes_in", [], "PUBLISH packets received";
    MQTT_PUBLISHES_OUT: "counter", "mqtt_publishes_out", [], "PUBLISH packets sent";
    MQTT_PACKETS_IN: "counter", "mqtt_packets_in", [], "Packets received from accepted clients, except CONNECT";
    MQTT_PACKETS_OUT: "counter", "mqtt_packets_out", [], "Packets sent to accepted clients, except the host's DISCONNECT";
    MQTT_IN_BYTES: "counter", "mqtt_in_bytes", [], "Bytes received after CONNECT, without TLS and WebSocket overhead";
    MQTT_OUT_BYTES: "counter", "mqtt_out_bytes", [], "Bytes sent from CONNACK on, without TLS and WebSocket overhead";
    MQTT_PUBLISH_IN_BYTES: "counter", "mqtt_publish_in_bytes", [], "Bytes of the payloads of PUBLISH packets received";
    MQTT_PUBLISH_OUT_BYTES: "counter", "mqtt_publish_out_bytes", [], "Bytes of the payloads of PUBLISH packets sent";
    MQTT_SOCKETS: "counter", "mqtt_sockets", [], "Connections that listeners of MQTT accepted, before TLS, WebSocket and CONNECT";
    MQTT_CONNECTION_PANICS: "counter", "mqtt_connection_panics", [], "Connection tasks that panicked; each is a defect";
    DEVICES: "gauge", "devices", [], "Devices registered";
    DEVICES_CONNECTED: "gauge", "devices_connected", [], "Devices connected now";
    MQTT_SUBSCRIPTIONS: "gauge", "mqtt_subscriptions", [], "Subscriptions on ordinary topics";
    MQTT_RETAINED_MESSAGES: "gauge", "mqtt_retained_messages", [], "Retained messages";
    COMMANDS_OPEN: "gauge", "commands_open", [], "Commands without a final status";
    COMMANDS_ENDED: "counter", "commands_ended", ["reason"], "Commands that ended, by their final status";
    PROXY_CALLS: "counter", "proxy_calls", ["outcome"], "Method calls over HTTP, by outcome";
    METHOD_LATE_ANSWERS: "counter", "method_late_answers", [], "Answers to method calls that came too late for the caller";
    PLUGIN_EVENTS: "counter", "plugin_events", ["plugin", "outcome"], "Events that were done or became dead letters (done, dead), and executions that were rejected, failed or tried again (rejected, failed, retried)";
    PLUGIN_GUEST_SECONDS: "summary", "plugin_guest_seconds", ["plugin"], "Time that guests computed: sum and count";
    PLUGIN_SECONDS: "histogram", "plugin_seconds", [], "Time that a guest computed for one event";
    PLUGIN_WAIT_SECONDS: "histogram", "plugin_wait_seconds", [], "Time from an event until a plugin's worker takes it, in steps of a millisecond";
    COMMIT_SECONDS: "histogram", "commit_seconds", [], "Time until a durable commit was on the disk";
    DELIVERY_SECONDS: "histogram", "delivery_seconds", [], "Time from a config version to the device's PUBACK, in steps of a millisecond; includes the time while the device is offline";
    PLUGIN_QUEUED: "gauge", "plugin_queued", ["plugin"], "Events that wait in memory for the plugin";
    PLUGIN_LIMIT_HITS: "counter", "plugin_limit_hits", ["plugin", "limit"], "Times the plugin hit a limit, by its name";
    LIMIT_HITS: "counter", "limit_hits", ["limit"], "Times a limit of the host was hit, by its name";
    TRACE_SPANS: "counter", "trace_spans", ["outcome"], "Spans of traces: sent, dropped because too many waited, or dropped because the collector did not accept them";
    DISK_FREE_BYTES: "gauge", "disk_free_bytes", [], "Bytes that are free on the disk of the data folder";
    PANICS: "counter", "panics", ["task"], "Panics that were caught, by the task; each is a defect";
}

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

/// Counts panics by the task. Smaller than [`Metrics`], for tasks of which there are many.
#[derive(Debug, Clone, Default)]
pub struct Panics(Family<Task, Counter>);

impl Panics {
    pub fn count(&self, task: &'static str) {
        self.0.get_or_create(&Task { task }).inc();
    }
}

/// Cheap to clone: every clone counts into the same counters. One pointer, as each connection has one.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Counters>);

impl Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// A limit was hit, by its name.
    limits: Family<Limit, Counter>,
    /// Things refused to clients, by the reason.
    pub refused: Family<Reason, Counter>,
    /// Panics that were caught, by the task; each is a defect.
    pub panics: Panics,
    /// Connections of clients that the host ended, by the reason.
    pub closed: Family<Reason, Counter>,
    /// Connections open now.
    pub connections: Gauge,
    /// CONNECTs that were accepted.
    pub connects: Counter,
    /// Connection tasks that panicked; each is a defect.
    pub connection_panics: Counter,
    /// PUBLISH packets received.
    pub publishes_in: Counter,
    /// PUBLISH packets sent.
    pub publishes_out: Counter,
    /// Packets received behind CONNECT.
    pub packets_in: Counter,
    /// Packets sent, CONNACK included.
    pub packets_out: Counter,
    /// Bytes of those, as MQTT has them.
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    /// Bytes of the payloads of PUBLISH packets.
    pub publish_bytes_in: Counter,
    pub publish_bytes_out: Counter,
    /// Connections that listeners accepted, before any handshake.
    pub sockets: Counter,
    /// Commands that reached a final status, by that status.
    pub commands_ended: Family<Reason, Counter>,
    /// Method calls over HTTP, by outcome.
    pub proxy_calls: Family<Outcome, Counter>,
    /// Guest time of one event.
    pub plugin_time: Histogram,
    /// From an event to the worker that takes it.
    pub plugin_wait: Histogram,
    /// Durable commits.
    pub commit_time: Histogram,
    /// From a config version to the device's PUBACK.
    pub delivery_time: Histogram,
    /// What spans of traces are given to.
    pub traces: Tracer,
    /// Messages that subscribers of ordinary topics did not get because a queue was full or they expired.
    pub dropped: Family<Reason, Counter>,
    /// All of these together, for `$SYS`.
    pub dropped_in_all: Counter,
}

impl Metrics {
    /// With spans for this tracer.
    #[must_use]
    pub fn with_traces(traces: Tracer) -> Self {
        let metrics = Self(Arc::new(Counters { traces, ..Counters::default() }));
        let hits = |limit| metrics.limits.get_or_create(&Limit::of(limit)).clone();
        let names = (limits::names::TRACE_SPANS, limits::names::TRACE_CONTEXTS);
        metrics.traces.count_limits(|| LimitHits { spans: hits(names.0), contexts: hits(names.1) });
        metrics
    }

    /// The histograms, which may have exemplars.
    #[must_use]
    pub fn histograms(&self) -> [(Spec, &Histogram); 4] {
        [
            (PLUGIN_SECONDS, &self.plugin_time),
            (PLUGIN_WAIT_SECONDS, &self.plugin_wait),
            (COMMIT_SECONDS, &self.commit_time),
            (DELIVERY_SECONDS, &self.delivery_time),
        ]
    }

    /// Counts that this limit was hit.
    pub fn limit(&self, limit: LimitName) {
        self.limits.get_or_create(&Limit::of(limit)).inc();
    }

    /// Counts several hits.
    pub fn limit_by(&self, limit: LimitName, times: u64) {
        self.limits.get_or_create(&Limit::of(limit)).inc_by(times);
    }

    /// How often this limit was hit since the start.
    #[must_use]
    pub fn limit_hits(&self, limit: LimitName) -> u64 {
        self.limits.get_or_create(&Limit::of(limit)).get()
    }

    /// How many panics there were in this task.
    #[must_use]
    pub fn panics_of(&self, task: &'static str) -> u64 {
        self.panics.0.get_or_create(&Task { task }).get()
    }

    /// The counters of messages that found a subscriber's queue full, for where these are many.
    #[must_use]
    pub fn queue_full(&self) -> [Counter; 3] {
        let limit = self.limits.get_or_create(&Limit::of(limits::names::SESSION_QUEUE)).clone();
        [limit, self.dropped.get_or_create(&Reason { reason: "queue full" }).clone(), self.dropped_in_all.clone()]
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

    /// Counts several dropped messages.
    pub fn drop_messages(&self, reason: &'static str, count: u64) {
        self.dropped.get_or_create(&Reason { reason }).inc_by(count);
        self.dropped_in_all.inc_by(count);
    }

    /// Counts packets that go to a client, how many of them are PUBLISH, and the bytes of their payloads.
    pub fn sent(&self, packets: u64, (publishes, payload_bytes): (u64, u64)) {
        self.packets_out.inc_by(packets);
        self.publishes_out.inc_by(publishes);
        self.publish_bytes_out.inc_by(payload_bytes);
    }

    /// Counts a method call over HTTP.
    pub fn proxy_call(&self, outcome: &'static str) {
        self.proxy_calls.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        let mut add = Registrar(registry);
        add.register(LIMIT_HITS, self.limits.clone());
        add.register(MQTT_REFUSED, self.refused.clone());
        add.register(PANICS, self.panics.0.clone());
        add.register(MQTT_CLOSED, self.closed.clone());
        add.register(MQTT_CONNECTIONS, self.connections.clone());
        add.register(MQTT_CONNECTS, self.connects.clone());
        add.register(MQTT_CONNECTION_PANICS, self.connection_panics.clone());
        add.register(MQTT_PUBLISHES_IN, self.publishes_in.clone());
        add.register(MQTT_PUBLISHES_OUT, self.publishes_out.clone());
        add.register(MQTT_PACKETS_IN, self.packets_in.clone());
        add.register(MQTT_PACKETS_OUT, self.packets_out.clone());
        add.register(MQTT_IN_BYTES, self.bytes_in.clone());
        add.register(MQTT_OUT_BYTES, self.bytes_out.clone());
        add.register(MQTT_PUBLISH_IN_BYTES, self.publish_bytes_in.clone());
        add.register(MQTT_PUBLISH_OUT_BYTES, self.publish_bytes_out.clone());
        add.register(MQTT_SOCKETS, self.sockets.clone());
        add.register(COMMANDS_ENDED, self.commands_ended.clone());
        add.register(PROXY_CALLS, self.proxy_calls.clone());
        add.register(MQTT_DROPPED, self.dropped.clone());
        for (spec, histogram) in self.histograms() {
            add.register(spec, histogram.clone());
        }
        add.register(TRACE_SPANS, self.traces.counted());
    }
}

struct Registrar<'a>(&'a mut Registry);

impl Registrar<'_> {
    fn register(&mut self, spec: Spec, metric: impl Metric) {
        self.0.register(spec.name, spec.description, metric);
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

    /// Prometheus' conventions: base units, which stand last, and `_total` for counters alone. A label has few values: neither a
    /// device nor a client nor a topic.
    #[test]
    fn names_are_as_prometheus_has_them() {
        let has_end = |name: &str, ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        for Spec { name, kind, labels, description } in ALL {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !name.starts_with('_');
            assert!(plain && !name.contains("__"), "{name}");
            // They are written behind the name: `_total` by its kind.
            assert!(!has_end(name, &["_total", "_sum", "_count", "_bucket", "_created"]), "{name}");
            let other_units = ["_ms", "_us", "_ns", "_minutes", "_hours", "_kib", "_mib", "_percent", "_time", "_size"];
            assert!(!has_end(name, &other_units), "{name}: seconds, bytes or a ratio");
            let has_unit = has_end(name, &["_seconds", "_bytes"]);
            for (unit, words) in [("_seconds", ["Time ", "When "]), ("_bytes", ["Bytes ", "Memory "])] {
                let says = words.iter().any(|word| description.starts_with(word));
                assert_eq!(says, name.ends_with(unit), "{name}: {description}");
            }
            match *kind {
                "counter" => assert!(!name.ends_with("_seconds"), "{name}: a time is a summary or a histogram"),
                "gauge" => assert!(!name.ends_with("_info") || labels.contains(&"version"), "{name}"),
                "summary" | "histogram" => assert!(has_unit, "{name}: what is measured has a unit"),
                kind => panic!("{name}: no kind {kind}"),
            }
            let few = ["reason", "outcome", "plugin", "limit", "task", "version"];
            assert!(labels.iter().all(|label| few.contains(label)), "{name}: {labels:?}");
            assert!(!description.ends_with('.'), "{name}");
        }
        let mut names: Vec<_> = ALL.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len(), "two metrics have one name");
    }
}
