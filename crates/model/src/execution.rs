//! What plugins made of events: single executions as [`Handled`], and as they are stored in the journal as [`HandledRun`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{PluginName, Seq};

use super::{effect::Effect, event::Event};

/// The end of one event for one plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handled {
    pub plugin: PluginName,
    /// That of the component, see [`super::JournaledDigest`].
    pub digest: Arc<str>,
    pub seq: Seq,
    pub attempt: u32,
    /// When it ended, and its effects were no longer held back. Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Guest time, microseconds.
    pub took_us: u32,
    /// The plugin's log lines.
    pub logs: Vec<String>,
    pub outcome: Outcome,
}

/// A limit of a plugin held the effects of an event back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    pub plugin: PluginName,
    pub seq: Seq,
    pub attempt: u32,
    /// For how long, milliseconds.
    pub held_ms: u64,
    /// The limit, and what reached it.
    pub why: String,
}

/// Guest time from which on an execution is slow, microseconds.
const SLOW_US: u32 = 10_000;

impl Handled {
    /// Bytes that its effects bring to devices, topics and timers.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Done { effects } => effects.iter().map(Effect::payload_bytes).sum(),
            Outcome::Dead { .. } => 0,
        }
    }

    /// It failed, was tried more than once, or took long.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        matches!(self.outcome, Outcome::Dead { .. }) || self.attempt > 1 || self.took_us >= SLOW_US
    }

    /// Something happened in it: it has effects or lines in its log, or it is notable.
    #[must_use]
    pub fn is_interesting(&self) -> bool {
        let quiet = matches!(&self.outcome, Outcome::Done { effects } if effects.is_empty());
        !quiet || !self.logs.is_empty() || self.is_notable()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Done {
        effects: Vec<Effect>,
    },
    /// Rejected, or retried too often: to the dead letters.
    Dead {
        error: String,
        event: Box<Event>,
    },
}

/// Events that one plugin handled one after the other, with what they have in common said once: the form of [`Handled`] in the
/// journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandledRun {
    pub plugin: PluginName,
    pub digest: Arc<str>,
    pub time_ms: u64,
    pub events: Vec<HandledInRun>,
}

/// What [`Handled`] says of one event alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandledInRun {
    pub seq: Seq,
    pub attempt: u32,
    pub took_us: u32,
    pub logs: Vec<String>,
    pub outcome: Outcome,
}

impl From<Handled> for HandledRun {
    fn from(handled: Handled) -> Self {
        let Handled { plugin, digest, seq, attempt, time_ms, took_us, logs, outcome } = handled;
        Self { plugin, digest, time_ms, events: vec![HandledInRun { seq, attempt, took_us, logs, outcome }] }
    }
}

impl HandledRun {
    /// One of its events.
    #[must_use]
    pub fn handled(&self, of: &HandledInRun) -> Handled {
        let HandledInRun { seq, attempt, took_us, logs, outcome } = of.clone();
        let (plugin, digest) = (self.plugin.clone(), self.digest.clone());
        Handled { plugin, digest, seq, attempt, time_ms: self.time_ms, took_us, logs, outcome }
    }

    /// One by one.
    pub fn each(self) -> impl Iterator<Item = Handled> {
        let Self { plugin, digest, time_ms, events } = self;
        events.into_iter().map(move |HandledInRun { seq, attempt, took_us, logs, outcome }| Handled {
            plugin: plugin.clone(),
            digest: digest.clone(),
            seq,
            attempt,
            time_ms,
            took_us,
            logs,
            outcome,
        })
    }
}

/// An event that a plugin could not handle, kept for an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Grows by one from 1.
    pub id: u64,
    pub plugin: PluginName,
    pub digest: Arc<str>,
    pub attempt: u32,
    pub time_ms: u64,
    pub error: String,
    pub logs: Vec<String>,
    pub event: Event,
}
