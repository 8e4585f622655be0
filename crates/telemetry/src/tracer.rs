//! Where the host's parts give what they did: decides whether it belongs to a sampled trace, and queues a span. Never waits; while traces
//! are off, [`Tracer::on`] is one comparison.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::metrics::{counter::Counter, family::Family};
use switchbox_model::{DeviceName, Effect, EffectKey, Event, EventData, HandledRun, PluginName, Seq, event::Property};

use super::{
    context::{Context, PROPERTY, SpanId, TraceId, traceparent},
    ids::Ids,
    key::Key,
    memory::{Filter, Memory},
    operator_effect::OperatorEffect,
    queue::{Counted, Outcome, Queue, SpanQueue},
    span::{Span, SpanKind},
};

/// Events of an entry that its span names, at most.
const LINKS: usize = 128;

/// Off unless it is made with `Tracer::new`, and until [`Tracer::begin`]. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    traces: Option<Arc<Traces>>,
    counted: Counted,
}

/// Traces are on.
#[derive(Debug)]
pub struct Traces {
    pub(crate) ids: Ids,
    live: AtomicBool,
    /// Which events [`Memory`] does not have: it is not read for them.
    filter: Filter,
    memory: Mutex<Memory>,
    queue: Arc<Queue>,
    counted: Counted,
    limits: OnceLock<LimitHits>,
    /// Calls of the API so far.
    pub(crate) calls: AtomicU64,
    pub(crate) now_us: fn() -> u64,
}

/// How often the tracer's limits were hit.
#[derive(Debug, Clone)]
pub struct LimitHits {
    /// Spans that were dropped because too many wait.
    pub spans: Counter,
    /// Traces that were not remembered because too many are.
    pub contexts: Counter,
}

/// What a plugin did with an event.
#[derive(Debug, Clone, Copy)]
pub struct Execution<'a> {
    pub event: &'a Event,
    pub plugin: &'a PluginName,
    /// The digest of its component.
    pub digest: &'a str,
    pub attempt: u32,
    pub took: Duration,
    pub effects: usize,
    /// Why it failed.
    pub error: Option<&'a str>,
}

/// Spans of an entry of the journal.
#[derive(Debug)]
pub struct Spans(pub(crate) Vec<Span>);

/// Whose effect it is.
#[derive(Debug, Clone, Copy)]
pub enum EffectId<'a> {
    Plugin(&'a EffectKey),
    Operator(OperatorEffect<'a>),
}

/// How an effect ended at its device.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    pub effect: EffectId<'a>,
    pub device: &'a DeviceName,
    /// Its version; `None` for a command.
    pub config: Option<u64>,
    /// When it was committed; `None` if that is not known here.
    pub from_ms: Option<u64>,
    pub status: &'static str,
    pub is_error: bool,
}

impl Tracer {
    /// Of the traces that begin here the part `ratio` is sampled. `key`: a random number, of which ids are made. `now_us`: the wall
    /// clock, microseconds. Spans come out at the other end of the queue.
    #[must_use]
    pub fn new(ratio: f64, key: u64, now_us: fn() -> u64) -> (Self, SpanQueue) {
        let (queue, counted) = (Arc::<Queue>::default(), Counted::default());
        let traces = Traces {
            ids: Ids::new(key, ratio),
            live: AtomicBool::new(false),
            filter: Filter::default(),
            memory: Mutex::default(),
            queue: queue.clone(),
            counted: counted.clone(),
            limits: OnceLock::new(),
            calls: AtomicU64::new(0),
            now_us,
        };
        let tracer = Self { traces: Some(Arc::new(traces)), counted: counted.clone() };
        (tracer, SpanQueue::new(queue, format!("{key:016x}"), counted))
    }

    /// Where hits of its limits are counted. To be given once; nothing while traces are off.
    pub fn count_limits(&self, hits: impl FnOnce() -> LimitHits) {
        if let Some(traces) = &self.traces {
            let _ = traces.limits.set(hits());
        }
    }

    /// The journal has been replayed: what happens from now on is new.
    pub fn begin(&self) {
        if let Some(traces) = &self.traces {
            traces.live.store(true, Ordering::Release);
        }
    }

    /// Returns `None` while traces are off.
    #[must_use]
    #[inline]
    pub fn on(&self) -> Option<&Traces> {
        self.traces.as_deref().filter(|traces| traces.live.load(Ordering::Relaxed))
    }

    /// The spans by outcome.
    #[must_use]
    pub fn counted(&self) -> Family<Outcome, Counter> {
        self.counted.clone()
    }
}

impl Traces {
    /// Events of one device, or of none, that some plugin takes.
    pub fn events(&self, device: Option<&DeviceName>, events: &[Event]) {
        for event in events {
            if let Some(context) = self.sampled_context(event) {
                self.send(&self.event(context, device, event));
            }
        }
    }

    fn event(&self, Context { trace, parent, .. }: Context, device: Option<&DeviceName>, event: &Event) -> Span {
        let span = Span {
            trace,
            id: self.ids.event(event.seq),
            parent,
            name: event_name(&event.data).into(),
            kind: SpanKind::Consumer,
            start_us: event.time_ms.saturating_mul(1_000),
            end_us: (self.now_us)(),
            attributes: Vec::with_capacity(2),
            links: Vec::new(),
            error: None,
        };
        let span = span.with("switchbox.explain", event.seq.to_string());
        match device {
            Some(device) => span.with("switchbox.device", device.to_string()),
            None => span,
        }
    }

    /// An execution ended just now. One that failed has a span also where its trace is not sampled. Returns its trace if it has a span.
    pub fn execution(&self, execution: Execution<'_>) -> Option<TraceId> {
        let Execution { event, plugin, digest, attempt, took, effects, error } = execution;
        let context = match error {
            None => self.sampled_context(event)?,
            Some(_) => self.context_of(event),
        };
        if !context.sampled {
            // Its cause, which was not sampled either.
            self.send(&self.event(context, None, event));
        }
        let end_us = (self.now_us)();
        let span = Span {
            trace: context.trace,
            id: self.ids.execution(event.seq, plugin, attempt),
            parent: Some(self.ids.event(event.seq)),
            name: format!("execution {plugin}").into(),
            kind: SpanKind::Internal,
            start_us: end_us.saturating_sub(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            end_us,
            attributes: Vec::with_capacity(5),
            links: Vec::new(),
            error: error.map(str::to_owned),
        };
        let span = span
            .with("switchbox.explain", format!("{}.{plugin}", event.seq))
            .with("switchbox.plugin", plugin.to_string())
            .with("switchbox.plugin.digest", digest.to_owned())
            .with("switchbox.attempt", u64::from(attempt))
            .with("switchbox.effects", effects as u64);
        self.send(&span);
        Some(context.trace)
    }

    /// The trace of an event, if it is sampled.
    #[must_use]
    pub fn sampled(&self, event: &Event) -> Option<TraceId> {
        Some(self.sampled_context(event)?.trace)
    }

    /// The spans of an entry of the journal that is committed and about to be applied, for [`Traces::committed`]: those of its effects. An
    /// entry of several events has a span of its own, with links to their executions.
    #[must_use]
    pub fn handled(&self, run: &HandledRun) -> Spans {
        let mut spans = Vec::new();
        let mut links = Vec::new();
        let mut first = None;
        for handled in &run.events {
            let Some(context) = self.context_if_sampled(handled.seq) else { continue };
            let execution = self.ids.execution(handled.seq, &run.plugin, handled.attempt);
            if links.len() < LINKS {
                links.push((context.trace, execution));
            }
            first.get_or_insert((handled.seq, context.trace, execution));
            let switchbox_model::Outcome::Done { effects } = &handled.outcome else { continue };
            for (index, effect) in (0..).zip(effects) {
                let key = EffectKey { seq: handled.seq, plugin: run.plugin.clone(), index };
                spans.push(self.effect(context.trace, execution, &key, effect, run.time_ms));
            }
        }
        if let Some((seq, trace, parent)) = first.filter(|_| run.events.len() > 1) {
            let entry = Span {
                trace,
                id: self.ids.entry(seq, &run.plugin),
                parent: Some(parent),
                name: "commit".into(),
                kind: SpanKind::Internal,
                start_us: run.time_ms.saturating_mul(1_000),
                end_us: (self.now_us)(),
                attributes: Vec::new(),
                links,
                error: None,
            };
            spans.push(entry.with("switchbox.events", run.events.len() as u64));
        }
        Spans(spans)
    }

    /// What they are about was applied just now.
    pub fn committed(&self, Spans(spans): Spans) {
        if spans.is_empty() {
            return;
        }
        let end_us = (self.now_us)();
        spans.into_iter().for_each(|span| self.send(&Span { end_us, ..span }));
    }

    fn effect(&self, trace: TraceId, parent: SpanId, key: &EffectKey, effect: &Effect, ms: u64) -> Span {
        let span = Span {
            trace,
            id: self.ids.effect(key),
            parent: Some(parent),
            name: effect_name(effect).into(),
            kind: SpanKind::Producer,
            start_us: ms.saturating_mul(1_000),
            end_us: (self.now_us)(),
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        };
        span.with("switchbox.explain", key.to_string())
    }

    /// An effect ended at its device. One that failed has a span also where its trace is not sampled. Returns its trace if it has a
    /// span.
    pub fn ended(&self, ended: Ended<'_>) -> Option<TraceId> {
        let Ended { effect, device, config, from_ms, status, is_error } = ended;
        if let EffectId::Plugin(key) = effect
            && !is_error
            && !self.may_trace(key.seq)
        {
            return None;
        }
        let (context, parent, id) = match effect {
            EffectId::Plugin(key) => (self.context(key.seq), self.ids.effect(key), self.ids.ended(key)),
            EffectId::Operator(operator_effect) => self.of_operator(operator_effect),
        };
        if !context.sampled && !is_error {
            return None;
        }
        let end_us = (self.now_us)();
        let span = Span {
            trace: context.trace,
            id,
            parent: Some(parent),
            name: if config.is_some() { "settlement config" } else { "settlement command" }.into(),
            kind: SpanKind::Internal,
            start_us: from_ms.map_or(end_us, |ms| ms.saturating_mul(1_000)),
            end_us,
            attributes: Vec::with_capacity(3),
            links: Vec::new(),
            error: is_error.then(|| status.to_owned()),
        };
        let explain = match (config, effect) {
            (Some(version), _) => format!("{device}/configVersions/{version}"),
            (None, EffectId::Plugin(key)) => key.to_string(),
            (None, EffectId::Operator(OperatorEffect::Command { id })) => id.to_owned(),
            (None, EffectId::Operator(OperatorEffect::Config { .. })) => device.to_string(),
        };
        let span = span.with("switchbox.explain", explain).with("switchbox.device", device.to_string());
        self.send(&span.with("switchbox.status", status.to_owned()));
        Some(context.trace)
    }

    /// Whether a config, command or message that the event brought about may have a span or a `traceparent`, unless it fails. False for
    /// most events: it costs a few multiplications, no lock, and no key of the effect.
    #[must_use]
    #[inline]
    pub fn may_trace(&self, seq: Seq) -> bool {
        self.ids.samples(seq) || self.filter.may_have(Key::Event(seq))
    }

    /// The same by the id of an effect. True for an operator's.
    #[must_use]
    pub fn may_trace_effect(&self, id: &str) -> bool {
        let seq = id.split_once('.').and_then(|(seq, _)| seq.parse().ok());
        seq.is_none_or(|seq| self.may_trace(Seq(seq)))
    }

    /// What goes out with an effect: `traceparent`, with the effect as the parent. `None` if its trace is not sampled, and no other
    /// program began it.
    #[must_use]
    pub fn traceparent(&self, effect: EffectId<'_>) -> Option<String> {
        let key = match effect {
            EffectId::Plugin(key) => key,
            EffectId::Operator(operator_effect) => {
                let Context { trace, sampled, .. } = self.recall(operator_effect.key())?;
                return Some(traceparent(trace, self.ids.operator_effect(operator_effect.key()), sampled));
            }
        };
        let remembered = self.recall(Key::Event(key.seq));
        let context = remembered.unwrap_or_else(|| self.ids.begun(key.seq));
        let is_sent = context.sampled || remembered.is_some();
        is_sent.then(|| traceparent(context.trace, self.ids.effect(key), context.sampled))
    }

    /// The trace context as a user property of MQTT 5.
    #[must_use]
    pub fn property(&self, key: &EffectKey) -> Option<Property> {
        Some((PROPERTY.to_owned(), self.traceparent(EffectId::Plugin(key))?))
    }

    /// What a sender names among the properties of a message whose event does not keep them.
    #[must_use]
    pub fn named(&self, properties: &[Property]) -> Option<Context> {
        named(properties)
    }

    /// The event belongs to the trace of what brought it about.
    pub fn join(&self, seq: Seq, context: Context) {
        self.remember(Key::Event(seq), context);
    }

    fn context(&self, seq: Seq) -> Context {
        self.recall(Key::Event(seq)).unwrap_or_else(|| self.ids.begun(seq))
    }

    /// `None` for most events at once, as with [`Traces::may_trace`].
    #[inline]
    fn context_if_sampled(&self, seq: Seq) -> Option<Context> {
        if self.may_trace(seq) { Some(self.context(seq)).filter(|context| context.sampled) } else { None }
    }

    /// The same for an event that may name its trace itself.
    #[inline]
    fn sampled_context(&self, event: &Event) -> Option<Context> {
        let names_trace = match &event.data {
            EventData::Telemetry { properties, .. } | EventData::Topic { properties, .. } => !properties.is_empty(),
            EventData::CommandSettled { .. } => true,
            _ => false,
        };
        if names_trace {
            Some(self.context_of(event)).filter(|context| context.sampled)
        } else {
            self.context_if_sampled(event.seq)
        }
    }

    pub(crate) fn recall(&self, key: Key) -> Option<Context> {
        if self.filter.may_have(key) { self.memory.lock().get(key) } else { None }
    }

    pub(crate) fn remember(&self, key: Key, context: Context) {
        if !self.memory.lock().insert(key, context, &self.filter)
            && let Some(hits) = self.limits.get()
        {
            hits.contexts.inc();
        }
    }

    /// Where another brought the event about, its trace is remembered for the effects.
    fn context_of(&self, event: &Event) -> Context {
        let Some(context) = self.continued(event) else { return self.context(event.seq) };
        self.remember(Key::Event(event.seq), context);
        context
    }

    /// The trace that the event belongs to: that of another program, by its property, or that of a command that ended.
    fn continued(&self, event: &Event) -> Option<Context> {
        match &event.data {
            EventData::Telemetry { properties, .. } | EventData::Topic { properties, .. } => named(properties),
            EventData::CommandSettled { id, .. } => match id.parse::<EffectKey>() {
                Ok(key) => Some(Context { parent: Some(self.ids.effect(&key)), ..self.context(key.seq) }),
                Err(_) => {
                    let key = OperatorEffect::Command { id }.key();
                    Some(Context { parent: Some(self.ids.operator_effect(key)), ..self.recall(key)? })
                }
            },
            _ => None,
        }
    }

    /// Never waits for the collector.
    pub(crate) fn send(&self, span: &Span) {
        if !self.queue.push(span) {
            self.counted.get_or_create(&Outcome { outcome: "dropped: queue full" }).inc();
            if let Some(hits) = self.limits.get() {
                hits.spans.inc();
            }
        }
    }
}

fn named(properties: &[Property]) -> Option<Context> {
    let (_, value) = properties.iter().find(|(name, _)| name == PROPERTY)?;
    Context::parse(value)
}

pub(crate) fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Config { .. } | Effect::ConfigForced { .. } => "effect config",
        Effect::Command { .. } => "effect command",
        Effect::Kv(_) => "effect state write",
        Effect::Publish { .. } => "effect publish",
        Effect::PatchDesired { .. } => "effect config patch",
        Effect::TimerSet(_) => "effect timer",
        Effect::TimerCancel { .. } => "effect timer cancel",
    }
}

fn event_name(data: &EventData) -> &'static str {
    match data {
        EventData::Telemetry { .. } => "event telemetry",
        EventData::State { .. } => "event state",
        EventData::Connected => "event connected",
        EventData::Disconnected { .. } => "event disconnected",
        EventData::CommandSettled { .. } => "event command-settled",
        EventData::Timer { .. } => "event timer",
        EventData::Topic { .. } => "event topic",
    }
}
