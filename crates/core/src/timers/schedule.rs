//! When a timer is due, and when it is due again. Pure: the time is given.

use switchbox_model::{limits::TIMER_MIN_INTERVAL_MS, timer::Schedule};
use switchbox_rules::schedule::{LAST_MS, RequestedSchedule, after};

/// The schedule and its first time, for a timer that is set at `now_ms`. The error says what to do.
pub fn first(requested: RequestedSchedule, now_ms: u64) -> Result<(Schedule, u64), String> {
    let due_ms = requested.first_ms(now_ms)?;
    let schedule = match requested {
        RequestedSchedule::AfterMs(ms) => Schedule::After { delay_ms: ms.max(TIMER_MIN_INTERVAL_MS) },
        RequestedSchedule::AtMs(_) => Schedule::Once,
        RequestedSchedule::EveryMs(period_ms) => Schedule::Every { period_ms },
        RequestedSchedule::Cron { expression, time_zone } => Schedule::Cron { expression, time_zone },
    };
    Ok((schedule, due_ms))
}

/// When a timer that was due at `due_ms` and fired at `now_ms` fires again: at its next regular time after now, so that times that were
/// missed are fired once. Returns `None` if it does not fire again.
#[must_use]
pub fn next(schedule: &Schedule, due_ms: u64, now_ms: u64) -> Option<u64> {
    let next = match schedule {
        Schedule::Once | Schedule::After { .. } => return None,
        Schedule::Start => LAST_MS,
        Schedule::Every { period_ms } => {
            let missed = now_ms.saturating_sub(due_ms) / (*period_ms).max(1);
            due_ms.saturating_add((missed + 1).saturating_mul(*period_ms))
        }
        // The schedule was checked when the timer was set.
        Schedule::Cron { expression, time_zone } => after(expression, time_zone, now_ms.max(due_ms)).ok()?,
    };
    (next <= LAST_MS).then_some(next)
}

/// Whether a timer with this schedule fires more than once.
pub(super) fn is_repeating(schedule: &Schedule) -> bool {
    match schedule {
        Schedule::Every { .. } | Schedule::Cron { .. } | Schedule::Start => true,
        Schedule::Once | Schedule::After { .. } => false,
    }
}

/// Smaller corrections of the clock do not change a cron timer, so that no time is repeated that has just come. If the timer is due later than its
/// expression gives from this much after now, its time comes from a wall clock that was ahead.
const CRON_TOLERANCE_MS: u64 = 60_000;

/// When the timer is due after the wall clock was set to `now_ms`: not later than if the timer were set now. An `At` timer names a moment
/// of the wall clock and keeps it. `None` when the due time does not change.
#[must_use]
pub(super) fn realigned(schedule: &Schedule, due_ms: u64, now_ms: u64) -> Option<u64> {
    let due = match schedule {
        Schedule::Once => return None,
        Schedule::After { delay_ms } => now_ms.saturating_add(*delay_ms),
        Schedule::Every { period_ms } => {
            let period_ms = (*period_ms).max(1);
            // A multiple of the period before `due_ms`, so that the times stay in step.
            let ahead = due_ms.saturating_sub(now_ms.saturating_add(period_ms));
            due_ms.saturating_sub(ahead.div_ceil(period_ms).saturating_mul(period_ms))
        }
        Schedule::Start if due_ms >= LAST_MS => return None,
        Schedule::Start => now_ms,
        Schedule::Cron { expression, time_zone } => {
            let tolerated = after(expression, time_zone, now_ms.saturating_add(CRON_TOLERANCE_MS)).ok()?;
            if due_ms <= tolerated {
                return None;
            }
            after(expression, time_zone, now_ms).ok()?
        }
    };
    (due < due_ms).then_some(due)
}

#[cfg(test)]
mod tests;
