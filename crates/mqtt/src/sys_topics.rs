//! The host's statistics under `$SYS/broker/`, named as mosquitto names them: published while a client subscribes to them, and given to a
//! new subscription as retained messages are. None of them is stored.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{load::Load, server_context::ServerContext};
use switchbox_model::Message;
use switchbox_support::{clock, memory, metrics::Metrics};

/// Makes and publishes the statistics. It does not keep the server alive.
pub(super) struct SysTopics {
    shared: Weak<ServerContext>,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The averages of the counters of [`loads`], in their order. Empty while there are no subscribers.
    loads: Vec<Load>,
    /// When the counters were last read.
    last_read: Option<Instant>,
    /// The largest resident memory, in bytes, that was published.
    max_memory: u64,
}

/// The counters whose averages are published.
fn loads(metrics: &Metrics) -> [(&'static str, u64); 9] {
    [
        ("load/connections", metrics.connects.get()),
        ("load/sockets", metrics.sockets.get()),
        ("load/messages/received", metrics.packets_in.get()),
        ("load/messages/sent", metrics.packets_out.get()),
        ("load/publish/received", metrics.publishes_in.get()),
        ("load/publish/sent", metrics.publishes_out.get()),
        ("load/publish/dropped", metrics.dropped_in_all.get()),
        ("load/bytes/received", metrics.bytes_in.get()),
        ("load/bytes/sent", metrics.bytes_out.get()),
    ]
}

impl SysTopics {
    pub(super) fn new(shared: &Arc<ServerContext>) -> Arc<Self> {
        Arc::new(Self { shared: Arc::downgrade(shared), started: clock::instant(), state: Mutex::default() })
    }

    /// Publishes in each period what has changed, as long as a client subscribes to statistics.
    pub(super) async fn run(self: Arc<Self>, period: Duration, shutdown: CancellationToken) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_published: HashMap<Arc<str>, Bytes> = HashMap::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            let Some(shared) = self.shared.upgrade() else { return };
            if !shared.topics.has_statistics_watchers() {
                last_published.clear();
                *self.state.lock() = State::default();
                continue;
            }
            self.update_loads(&shared.metrics);
            for message in self.messages(&shared) {
                if last_published.insert(message.topic.clone(), message.payload.clone()).as_ref()
                    != Some(&message.payload)
                {
                    shared.topics.publish_host_message(&message, switchbox_pubsub::now());
                }
            }
        }
    }

    /// All statistics with their current values.
    pub(super) fn current_messages(&self) -> Vec<Arc<Message>> {
        self.shared.upgrade().map(|shared| self.messages(&shared)).unwrap_or_default()
    }

    /// Reads the counters again, and adds what was counted since the last call to the averages.
    fn update_loads(&self, metrics: &Metrics) {
        let mut state = self.state.lock();
        let now = clock::instant();
        let elapsed = state.last_read.replace(now).map(|last_read| now.saturating_duration_since(last_read));
        let uptime = now.saturating_duration_since(self.started);
        match elapsed {
            Some(elapsed) => {
                state.loads.iter_mut().zip(loads(metrics)).for_each(|(load, (_, counted))| load.add(counted, elapsed));
            }
            None => state.loads = loads(metrics).map(|(_, counted)| Load::begin(counted, uptime)).into(),
        }
    }

    fn messages(&self, shared: &ServerContext) -> Vec<Arc<Message>> {
        let metrics = &shared.metrics;
        let uptime_secs = clock::instant().saturating_duration_since(self.started).as_secs();
        let sessions = shared.clients.counts();
        let on_topics = shared.topics.counts();
        let waiting = shared.clients.offline_sessions.queued();
        let stored = (on_topics.retained + waiting.messages) as u64;
        let mut messages = vec![
            message("version", format!("switchbox version {}", env!("CARGO_PKG_VERSION"))),
            message("uptime", format!("{uptime_secs} seconds")),
        ];
        let mut number = |name: &str, value: u64| messages.push(message(name, value.to_string()));
        number("clients/total", sessions.all as u64);
        number("clients/connected", sessions.live as u64);
        number("clients/disconnected", sessions.all.saturating_sub(sessions.live) as u64);
        // Older names of the two.
        number("clients/active", sessions.live as u64);
        number("clients/inactive", sessions.all.saturating_sub(sessions.live) as u64);
        number("clients/maximum", sessions.max_live as u64);
        number("clients/expired", sessions.expired);
        number("messages/received", metrics.packets_in.get());
        number("messages/sent", metrics.packets_out.get());
        number("publish/messages/received", metrics.publishes_in.get());
        number("publish/messages/sent", metrics.publishes_out.get());
        number("publish/messages/dropped", metrics.dropped_in_all.get());
        number("publish/bytes/received", metrics.publish_bytes_in.get());
        number("publish/bytes/sent", metrics.publish_bytes_out.get());
        number("bytes/received", metrics.bytes_in.get());
        number("bytes/sent", metrics.bytes_out.get());
        number("retained messages/count", on_topics.retained as u64);
        // An older name of the number behind it.
        number("messages/stored", stored);
        number("store/messages/count", stored);
        number("store/messages/bytes", (on_topics.retained_bytes + waiting.bytes) as u64);
        number("subscriptions/count", on_topics.subscriptions.saturating_sub(on_topics.shared_subscriptions) as u64);
        number("shared_subscriptions/count", on_topics.shared_subscriptions as u64);
        let mut state = self.state.lock();
        if let Some(resident) = memory::resident_bytes() {
            state.max_memory = state.max_memory.max(resident);
            number("heap/current", resident);
            number("heap/maximum", state.max_memory);
        }
        if state.loads.is_empty() {
            drop(state);
            self.update_loads(metrics);
            state = self.state.lock();
        }
        for ((name, _), load) in loads(metrics).into_iter().zip(&state.loads) {
            messages.extend(
                load.averages().map(|(period, average)| message(&format!("{name}/{period}"), format!("{average:.2}"))),
            );
        }
        messages
    }
}

fn message(name: &str, value: String) -> Arc<Message> {
    Arc::new(Message { retain: true, ..Message::new(&format!("$SYS/broker/{name}"), value) })
}
