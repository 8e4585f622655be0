//! When a timer is due, and when it is due again. Pure: the time is given.

use jiff::Timestamp;

use super::cron::Expression;
use switchbox_model::{limits::TIMER_MIN_INTERVAL_MS, timer::Schedule};

/// 9999-12-31: past it no time can be written down.
pub(super) const LAST_MS: u64 = 253_402_214_400_000;

/// What a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    AfterMs(u64),
    AtMs(u64),
    EveryMs(u64),
    Cron { expression: String, time_zone: String },
}

/// The schedule and its first time, for a timer that is set at `now_ms`. A single time is never sooner than the smallest
/// interval from now. The error says what to do.
pub fn first(wanted: Wanted, now_ms: u64) -> Result<(Schedule, u64), String> {
    let soonest = now_ms.saturating_add(TIMER_MIN_INTERVAL_MS);
    let (schedule, due_ms) = match wanted {
        Wanted::AfterMs(ms) => {
            let delay_ms = ms.max(TIMER_MIN_INTERVAL_MS);
            (Schedule::After { delay_ms }, now_ms.saturating_add(delay_ms))
        }
        Wanted::AtMs(ms) => (Schedule::Once, ms.max(soonest)),
        Wanted::EveryMs(period_ms) if period_ms < TIMER_MIN_INTERVAL_MS => {
            return Err(format!(
                "every {period_ms} ms is too often: a timer may come every {TIMER_MIN_INTERVAL_MS} ms at most"
            ));
        }
        Wanted::EveryMs(period_ms) => (Schedule::Every { period_ms }, now_ms.saturating_add(period_ms)),
        Wanted::Cron { expression, time_zone } => {
            let due_ms = after(&expression, &time_zone, now_ms)?;
            (Schedule::Cron { expression, time_zone }, due_ms)
        }
    };
    if due_ms > LAST_MS {
        return Err("a timer must be due before the year 9999; times are milliseconds since 1970".into());
    }
    Ok((schedule, due_ms))
}

/// When a timer that was due at `due_ms` and fired at `now_ms` comes again: at its next regular time after now, so that what
/// was missed comes once.
#[must_use]
pub(super) fn next(schedule: &Schedule, due_ms: u64, now_ms: u64) -> Option<u64> {
    let next = match schedule {
        Schedule::Once | Schedule::After { .. } => return None,
        Schedule::Start => LAST_MS,
        Schedule::Every { period_ms } => {
            let missed = now_ms.saturating_sub(due_ms) / (*period_ms).max(1);
            due_ms.saturating_add((missed + 1).saturating_mul(*period_ms))
        }
        // It was checked when the timer was set.
        Schedule::Cron { expression, time_zone } => after(expression, time_zone, now_ms.max(due_ms)).ok()?,
    };
    (next <= LAST_MS).then_some(next)
}

/// It fires more than once.
pub(super) fn comes_again(schedule: &Schedule) -> bool {
    match schedule {
        Schedule::Every { .. } | Schedule::Cron { .. } | Schedule::Start => true,
        Schedule::Once | Schedule::After { .. } => false,
    }
}

/// A cron timer that is due later than an expression evaluated so much later would be is due too late: its time comes from a
/// wall clock that was ahead. Smaller corrections of the clock repeat no time that has just come.
const CRON_TOLERANCE_MS: u64 = 60_000;

/// When the timer is due if the wall clock says `now_ms`: no later than if it were set now. Only `At` timers name a moment of
/// the wall clock and keep it. `None`: it is due when it says.
#[must_use]
pub(super) fn realigned(schedule: &Schedule, due_ms: u64, now_ms: u64) -> Option<u64> {
    let due = match schedule {
        Schedule::Once => return None,
        Schedule::After { delay_ms } => now_ms.saturating_add(*delay_ms),
        Schedule::Every { period_ms } => {
            let period_ms = (*period_ms).max(1);
            // In step with the times before.
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

/// The first time of the expression after this moment.
pub(super) fn after(expression: &str, time_zone: &str, now_ms: u64) -> Result<u64, String> {
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX)).map_err(|e| e.to_string())?;
    let found = Expression::parse(expression, time_zone)?.after(now);
    let never = || {
        let short: String = expression.chars().take(80).collect();
        format!("cron expression {short:?} names a time that never comes")
    };
    u64::try_from(found.ok_or_else(never)?.as_millisecond()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
