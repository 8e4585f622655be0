//! A guest's setup, its calls, and the result of a call: verdict, effects and changes of its state.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{grants::EffectiveGrants, limits::Limits};
use switchbox_model::{CallResult, DeviceName, DeviceNum, Effect, Event, PluginName, limits::LimitName};

/// A plugin's name, settings, limits and grants: with these a component is started.
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
    /// The device that the event came from.
    pub device: Option<&'a DeviceName>,
    /// From 1.
    pub attempt: u32,
}

/// How the guest handled the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// The guest asks to get the event again later.
    Retry(String),
    /// The guest does not want the event.
    Reject(String),
    /// A trap or a limit; the instance is poisoned. Names the limit and has the guest's newest standard error.
    GuestFailed(String),
    /// The host itself panicked during the call; the instance is poisoned.
    HostPanicked(String),
}

/// A write to the plugin's own state, in the order of the writes. A write's revision is that of the value before it
/// plus one, 1 for a key that was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvChange {
    pub key: String,
    /// `None` if the key is deleted.
    pub value: Option<Bytes>,
    /// The revision that the key had to have before this write, 0 = no such key. Already compared with the state as it was
    /// while the guest ran.
    pub expected: Option<u64>,
}

/// A method call that the guest made. It happened, whatever the verdict is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    pub device: DeviceNum,
    pub method: String,
    /// The beginning of the request's payload.
    pub request: Bytes,
    /// A hash of the whole payload, the same in one process: two calls are compared by it.
    pub request_hash: u64,
    /// When it started, milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub took: Duration,
    pub result: CallResult,
}

/// The result of one call. Unless the verdict is `Done` there are no effects and no changes.
#[derive(Debug)]
pub struct Execution {
    pub verdict: Verdict,
    pub effects: Vec<Effect>,
    pub kv: Vec<KvChange>,
    pub calls: Vec<Called>,
    /// Each begins with its level, or with `stdout` or `stderr`.
    pub logs: Vec<String>,
    /// The guest's CPU time, host functions included, without the time that it slept.
    pub guest_time: Duration,
    /// The time that it waited for devices or slept.
    pub awaited: Duration,
    /// The names of the limits that were hit, each once.
    pub limits_hit: Vec<LimitName>,
    /// When the guest's call ended. `None` if that is not known, such as after a panic of the host in it.
    pub ended: Option<Instant>,
}

impl Execution {
    /// An execution that took no time and has nothing but its verdict.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            effects: Vec::new(),
            kv: Vec::new(),
            calls: Vec::new(),
            logs: Vec::new(),
            guest_time: Duration::ZERO,
            awaited: Duration::ZERO,
            limits_hit: Vec::new(),
            ended: None,
        }
    }
}
