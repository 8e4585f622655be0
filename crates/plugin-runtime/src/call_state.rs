//! The state of the call that an instance is executing: what it may do, what it has used of its limits, and its effects so far.
//! Cleared in place between calls.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    execution::{Called, KvChange},
    grants::Capability,
};
use switchbox_model::{DeviceName, Effect, PluginName, RegistryName, Seq, limits::LimitName};
use switchbox_rules::calls::Refusal;

/// The exported function that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// May call no host function.
    Describe,
    /// May read.
    Start,
    /// May do what it is granted.
    Event,
    /// May read and write the plugin's own state.
    Migration,
}

/// The last check of the grants that succeeded.
#[derive(Debug)]
pub(super) struct LastGranted {
    pub(super) capability: Capability,
    pub(super) home: RegistryName,
    pub(super) reference: String,
    pub(super) name: DeviceName,
}

#[derive(Debug)]
pub(super) struct CallState {
    pub(super) phase: Phase,
    pub(super) seq: Seq,
    pub(super) attempt: u32,
    /// The event's time, milliseconds since the Unix epoch: the guest's wall clock.
    pub(super) time_ms: u64,
    /// The registry of short device names.
    pub(super) home: RegistryName,
    pub(super) effects: Vec<Effect>,
    pub(super) kv: Vec<KvChange>,
    pub(super) calls: Vec<Called>,
    /// The plugin's keys as changed by `kv`: value (`None` if deleted) and revision.
    pub(super) overlay: BTreeMap<String, (Option<Bytes>, u64)>,
    /// Bytes of the plugin's state with `kv` applied; `None` if not computed yet.
    pub(super) kv_bytes: Option<usize>,
    pub(super) host_calls: u32,
    /// Time spent waiting for devices so far.
    pub(super) awaited: Duration,
    pub(super) limits_hit: Vec<LimitName>,
    /// The guest's monotonic clock, nanoseconds. Never goes back.
    pub(super) monotonic: u64,
    random: Option<Random>,
    /// Not cleared between calls.
    pub(super) granted: Option<LastGranted>,
}

impl CallState {
    pub(super) fn new(phase: Phase, time_ms: u64) -> Self {
        Self {
            phase,
            seq: Seq(0),
            attempt: 0,
            time_ms,
            home: RegistryName::default_registry(),
            effects: Vec::new(),
            kv: Vec::new(),
            calls: Vec::new(),
            overlay: BTreeMap::new(),
            kv_bytes: None,
            host_calls: 0,
            awaited: Duration::ZERO,
            limits_hit: Vec::new(),
            monotonic: 0,
            random: None,
            granted: None,
        }
    }

    /// A new event: clears the state of the one before.
    pub(super) fn begin(&mut self, seq: Seq, attempt: u32, time_ms: u64, home: Option<&RegistryName>) {
        self.phase = Phase::Event;
        self.seq = seq;
        self.attempt = attempt;
        self.time_ms = time_ms;
        match home {
            Some(home) if *home == self.home => {}
            Some(home) => self.home = home.clone(),
            None => self.home = RegistryName::default_registry(),
        }
        self.effects.clear();
        self.kv.clear();
        self.calls.clear();
        self.overlay.clear();
        self.kv_bytes = None;
        self.host_calls = 0;
        self.awaited = Duration::ZERO;
        self.limits_hit.clear();
        self.monotonic = self.monotonic.max(time_ms.saturating_mul(1_000_000));
        self.random = None;
    }

    /// Records that a limit was hit. Returns the text of the error.
    pub(super) fn hit(&mut self, limit: LimitName, text: &str) -> String {
        self.count_limit(limit);
        Refusal::limit_text(limit, text)
    }

    /// Records that a limit was hit.
    pub(super) fn count_limit(&mut self, limit: LimitName) {
        if !self.limits_hit.contains(&limit) {
            self.limits_hit.push(limit);
        }
    }

    /// The writes of a migration: the last one of each key.
    pub(super) fn take_migrated(&mut self) -> Vec<KvChange> {
        let written = std::mem::take(&mut self.overlay).into_iter();
        written.map(|(key, (value, _))| KvChange { key, value, expected: None }).collect()
    }

    pub(super) fn add_effect(&mut self, effect: Effect) {
        if self.effects.is_empty() {
            // Most events have one effect, and the vector is kept for long.
            self.effects.reserve_exact(1);
        }
        self.effects.push(effect);
    }

    /// The execution's random numbers: the same for the same (seq, plugin, attempt).
    pub(super) fn random(&mut self, plugin: &PluginName) -> &mut Random {
        let (seq, attempt) = (self.seq, self.attempt);
        self.random.get_or_insert_with(|| Random::new(seq, plugin, attempt))
    }
}

/// SplitMix64, seeded by a hash of the execution's id. Repeatable by design, so not for cryptographic keys.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    fn new(seq: Seq, plugin: &PluginName, attempt: u32) -> Self {
        let digest = Sha256::digest(format!("{seq}.{plugin}.{attempt}"));
        Self(digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
