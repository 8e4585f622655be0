//! What goes into a guest and what comes of it: how it is set up, an event for it, and the verdict and effects of that event.

use std::time::Duration;

use bytes::Bytes;

use super::{grants::EffectiveGrants, limits::Limits};
use switchbox_model::{CallResult, DeviceName, DeviceNum, Effect, Event, PluginName, limits::LimitName};

/// What makes a component a plugin.
#[derive(Debug, Clone)]
pub struct Setup {
    pub name: PluginName,
    /// JSON.
    pub settings: String,
    pub limits: Limits,
    pub grants: EffectiveGrants,
}

/// One event for a guest.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub event: &'a Event,
    /// Whom the event came from.
    pub device: Option<&'a DeviceName>,
    /// From 1.
    pub attempt: u32,
}

/// How the guest handled the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// The guest wants the event again, later.
    Retry(String),
    /// The guest does not want the event.
    Reject(String),
    /// A trap or a limit; the instance is poisoned. Names the limit and holds the guest's last words.
    GuestFailed(String),
    /// The host itself panicked in one of the guest's calls; the instance is poisoned.
    HostPanicked(String),
}

/// A write to the plugin's own state, in the order of the writes. A write's revision is that of the value before it
/// plus one, 1 for a key that was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvChange {
    pub key: String,
    /// None: deleted.
    pub value: Option<Bytes>,
    /// The revision that had to be in force before this write, 0 = no such key. Already compared with the state as it
    /// was while the guest ran.
    pub expected: Option<u64>,
}

/// A method that the guest called. It happened, whatever the verdict is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    pub device: DeviceNum,
    pub method: String,
    /// The beginning of the request's payload.
    pub request: Bytes,
    /// When it began, milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub took: Duration,
    pub result: CallResult,
}

/// What came of one event. Unless the verdict is `Done` there are no effects and no changes.
#[derive(Debug)]
pub struct Execution {
    pub verdict: Verdict,
    pub effects: Vec<Effect>,
    pub kv: Vec<KvChange>,
    pub calls: Vec<Called>,
    /// Each begins with its level, or with `stdout` or `stderr`.
    pub logs: Vec<String>,
    /// What the guest computed, host functions included.
    pub guest_time: Duration,
    /// What it waited for devices and slept.
    pub awaited: Duration,
    /// The names of the limits that were hit, each once.
    pub limits_hit: Vec<LimitName>,
}
