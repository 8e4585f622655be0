//! Which events and executions a caller wants to see. Pure.

use switchbox_model::{CallRecord, Cause, DeviceNum, Event, EventKind, Handled, Outcome, PluginName, Seq};

/// Events and executions are in the journal in the order in which they were written. By their times they may differ from it by this
/// much.
const OUT_OF_ORDER_MS: u64 = 60_000;

/// The events that a caller requests.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub device: Option<DeviceNum>,
    pub kind: Option<EventKind>,
    /// Only those that happened at this time or later, milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
}

impl EventFilter {
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.device.is_none_or(|device| event.device == Some(device))
            && self.kind.is_none_or(|kind| event.data.kind() == kind)
            && self.since_ms.is_none_or(|since| event.time_ms >= since)
    }

    /// Whether all earlier entries of the journal are older than the requested ones.
    pub(super) fn ends_search_at(&self, event: &Event) -> bool {
        is_older(event.time_ms, self.since_ms)
    }
}

/// The executions that a caller requests.
#[derive(Debug, Clone, Default)]
pub struct ExecutionFilter {
    pub plugin: Option<PluginName>,
    pub event: Option<Seq>,
    /// Only those in which something happened; see [`Handled::is_interesting`].
    pub interesting: bool,
    /// Only those that wrote to their log, or failed.
    pub logged: bool,
    /// Only those that ended at this time or later, milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Only those for events of this device, or with an effect on it.
    pub device: Option<DeviceNum>,
}

/// Whether one of the effects is on the device.
pub(super) fn touches(outcome: &Outcome, device: DeviceNum) -> bool {
    match outcome {
        Outcome::Done { effects } => effects.iter().any(|effect| effect.device() == Some(device)),
        Outcome::Dead { .. } => false,
    }
}

impl ExecutionFilter {
    pub(super) fn matches(&self, handled: &Handled) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| handled.plugin == *plugin)
            && self.event.is_none_or(|event| handled.seq == event)
            && (!self.interesting || handled.is_interesting())
            && (!self.logged || !handled.logs.is_empty() || matches!(handled.outcome, Outcome::Dead { .. }))
            && self.since_ms.is_none_or(|since| handled.time_ms >= since)
    }

    /// Whether all earlier entries of the journal are older than the requested ones.
    pub(super) fn ends_search_at(&self, handled: &Handled) -> bool {
        is_older(handled.time_ms, self.since_ms)
    }
}

/// The method calls that a caller requests.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Only those of this device's methods.
    pub device: Option<DeviceNum>,
    /// Only those by this plugin.
    pub plugin: Option<PluginName>,
    /// Only those that began at this time or later, milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
}

impl CallFilter {
    pub(super) fn matches(&self, call: &CallRecord) -> bool {
        let is_by = |requested: &PluginName| matches!(&call.cause, Cause::Plugin { plugin, .. } if plugin == requested);
        self.device.is_none_or(|device| call.device == device)
            && self.plugin.as_ref().is_none_or(is_by)
            && self.since_ms.is_none_or(|since| call.time_ms >= since)
    }

    /// Whether all earlier entries of the journal are older than the requested ones. Calls are recorded when they end.
    pub(super) fn ends_search_at(&self, call: &CallRecord) -> bool {
        is_older(call.time_ms.saturating_add(call.took_ms), self.since_ms)
    }
}

/// Whether entries before one of this time are older than `since_ms`.
fn is_older(time_ms: u64, since_ms: Option<u64>) -> bool {
    since_ms.is_some_and(|since| time_ms.saturating_add(OUT_OF_ORDER_MS) < since)
}
