//! When a timer is due for the first time, and when a cron expression is due. Pure: the time is given.

mod cron;

use jiff::Timestamp;

use self::cron::Expression;
use super::{calls, limits::TIMER_MIN_INTERVAL_MS};

/// 9999-12-31, milliseconds since the Unix epoch: no later time can be written down.
pub const LAST_MS: u64 = 253_402_214_400_000;

/// What a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedSchedule {
    AfterMs(u64),
    AtMs(u64),
    EveryMs(u64),
    Cron { expression: String, time_zone: String },
}

impl RequestedSchedule {
    /// The first time of a timer that is set at `now_ms`, milliseconds since the Unix epoch. A single time is never sooner than the
    /// smallest interval from now. The error says what to do.
    pub fn first_ms(&self, now_ms: u64) -> Result<u64, String> {
        let due_ms = match self {
            Self::AfterMs(ms) => now_ms.saturating_add((*ms).max(TIMER_MIN_INTERVAL_MS)),
            Self::AtMs(ms) => (*ms).max(now_ms.saturating_add(TIMER_MIN_INTERVAL_MS)),
            Self::EveryMs(period_ms) => {
                calls::timer_period(*period_ms).map_err(|refusal| refusal.to_string())?;
                now_ms.saturating_add(*period_ms)
            }
            Self::Cron { expression, time_zone } => after(expression, time_zone, now_ms)?,
        };
        if due_ms > LAST_MS {
            return Err("a timer must be due before the year 9999; times are milliseconds since 1970".into());
        }
        Ok(due_ms)
    }
}

/// The first time of the expression after this moment, milliseconds since the Unix epoch.
pub fn after(expression: &str, time_zone: &str, now_ms: u64) -> Result<u64, String> {
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX)).map_err(|e| e.to_string())?;
    let found = Expression::parse(expression, time_zone)?.after(now);
    let never = || {
        let short: String = expression.chars().take(80).collect();
        format!("cron expression {short:?} names a time that never comes")
    };
    u64::try_from(found.ok_or_else(never)?.as_millisecond()).map_err(|e| e.to_string())
}
