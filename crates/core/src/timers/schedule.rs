//! When a timer is due, and when it is due again. Pure: knows no clock but what it is told.

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
mod tests {
    use super::*;

    fn ms(time: &str) -> u64 {
        u64::try_from(time.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn text(ms: u64) -> String {
        switchbox_support::clock::rfc3339(ms).replace(".000Z", "Z")
    }

    #[test]
    fn the_first_time_follows_from_what_is_wanted() {
        for (wanted, due) in [
            (Wanted::AfterMs(5_000), Ok(1_005_000)),
            (Wanted::AfterMs(0), Ok(1_000_100)),
            (Wanted::AtMs(2_000_000), Ok(2_000_000)),
            (Wanted::AtMs(7), Ok(1_000_100)),
            (Wanted::EveryMs(100), Ok(1_000_100)),
            (Wanted::EveryMs(99), Err("every 99 ms is too often")),
            (Wanted::AfterMs(u64::MAX), Err("before the year 9999")),
            (Wanted::AtMs(LAST_MS + 1), Err("before the year 9999")),
        ] {
            let found = first(wanted.clone(), 1_000_000).map(|(_, due)| due);
            match (&found, due) {
                (Ok(found), Ok(due)) => assert_eq!(*found, due, "{wanted:?}"),
                (Err(text), Err(part)) => assert!(text.contains(part), "{wanted:?}: {text}"),
                _ => panic!("{wanted:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_was_missed_comes_once_and_then_at_its_regular_times() {
        let every = Schedule::Every { period_ms: 100 };
        for (due, now, next_due) in
            [(1_000, 1_000, 1_100), (1_000, 1_099, 1_100), (1_000, 1_100, 1_200), (1_000, 9_950, 10_000)]
        {
            assert_eq!(next(&every, due, now), Some(next_due), "due {due}, fired {now}");
        }
        assert_eq!(next(&Schedule::Once, 1_000, 1_000), None);
    }

    #[test]
    fn after_the_clock_went_back_nothing_is_due_later_than_if_it_were_set_now() {
        const YEAR: u64 = 365 * 24 * 3_600_000;
        let cron = |text: &str| Schedule::Cron { expression: text.into(), time_zone: "UTC".into() };
        let (now, hour) = (ms("2026-03-01T12:00:30Z"), 3_600_000);
        let every = Schedule::Every { period_ms: 1_000 };
        let after = Schedule::After { delay_ms: 5_000 };
        for (schedule, due, expected) in [
            (every.clone(), now + YEAR + 300, Some(now + 300)),
            (every.clone(), now + 1_000, None),
            (every, now - YEAR, None),
            (after.clone(), now + YEAR, Some(now + 5_000)),
            (after, now + 4_999, None),
            (cron("0 13 * * *"), now + YEAR, Some(ms("2026-03-01T13:00:00Z"))),
            (cron("0 12 * * *"), ms("2026-03-02T12:00:00Z"), None),
            // The clock went back by half a minute over a time that had just come: it does not come twice.
            (cron("1 12 * * *"), ms("2026-03-02T12:01:00Z"), None),
            (cron("1 12 * * *"), ms("2026-03-03T12:01:00Z"), Some(ms("2026-03-01T12:01:00Z"))),
            (Schedule::Once, now + YEAR, None),
            (Schedule::Start, LAST_MS, None),
            (Schedule::Start, now + hour, Some(now)),
        ] {
            assert_eq!(realigned(&schedule, due, now), expected, "{schedule:?} due {due}");
        }
    }

    /// Clocks in Berlin went forward at 01:00 UTC on 2026-03-29 and go back at 01:00 UTC on 2026-10-25.
    #[test]
    fn cron_follows_the_clocks_of_its_zone() {
        for (name, expression, zone, from, expected) in [
            (
                "every day",
                "30 2 * * *",
                "UTC",
                "2026-01-31T03:00:00Z",
                &["2026-02-01T02:30:00Z", "2026-02-02T02:30:00Z"][..],
            ),
            (
                "winter and summer",
                "0 8 * * *",
                "Europe/Berlin",
                "2026-03-28T00:00:00Z",
                &["2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z"],
            ),
            (
                "a time that is skipped",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "a fixed time that comes twice",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            (
                "a pattern through the doubled hour",
                "*/30 * * * *",
                "Europe/Berlin",
                "2026-10-25T00:00:00Z",
                &["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"],
            ),
            (
                "day of the month or of the week",
                "0 0 13 * 5",
                "UTC",
                "2026-02-10T00:00:00Z",
                &["2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"],
            ),
            (
                "a leap day",
                "0 0 29 2 *",
                "UTC",
                "2026-01-01T00:00:00Z",
                &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
            ),
            ("half an hour off", "0 0 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", &["2026-01-01T18:30:00Z"]),
        ] {
            let wanted = Wanted::Cron { expression: expression.into(), time_zone: zone.into() };
            let (schedule, mut due) = first(wanted, ms(from)).unwrap();
            let mut found = vec![text(due)];
            while found.len() < expected.len() {
                due = next(&schedule, due, due).unwrap();
                found.push(text(due));
            }
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_cron_expression_that_cannot_be_is_refused_with_what_to_do() {
        for (expression, zone, part) in [
            ("", "UTC", "five fields"),
            ("* * * *", "UTC", "five fields"),
            ("* * * * * *", "UTC", "five fields"),
            ("61 * * * *", "UTC", "cannot be read"),
            ("0 0 30 2 *", "UTC", "never comes"),
            ("0 0 * * *", "Europe/Atlantis", "IANA name"),
        ] {
            let wanted = Wanted::Cron { expression: expression.into(), time_zone: zone.into() };
            let problem = first(wanted, 0).unwrap_err();
            assert!(problem.contains(part), "{expression} {zone}: {problem}");
        }
    }
}
