//! When a cron expression is due in a time zone, including changes of the zone's clocks. Pure.
//!
//! An expression lists wall-clock times. Each listed time is judged by itself: one that the clocks skip is due at the first
//! moment after the gap, one that they repeat is due once, the first time, and all others are due as they are listed. Only an
//! expression that holds for every hour of the day, such as `*/15 * * * *`, is a rhythm rather than a list: it continues in
//! elapsed time, so that it is due in both runs of a repeated hour and not made up for a skipped one.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

/// Listed times in a row that are not due any more: more than a zone has ever repeated, which is one day of minutes.
const REPEATED: usize = 2_000;

/// A cron expression with the zone in which it is meant.
#[derive(Debug)]
pub(super) struct Expression {
    cron: Cron,
    zone: TimeZone,
    /// It holds for every hour of the day.
    hourly: bool,
}

impl Expression {
    /// The error says what is wrong and what to write.
    pub(super) fn parse(expression: &str, time_zone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(time_zone).map_err(|_| {
            let short: String = time_zone.chars().take(80).collect();
            format!("there is no time zone {short:?}; write its IANA name, such as Europe/Berlin or UTC")
        })?;
        let short: String = expression.chars().take(80).collect();
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| {
            format!(
                "cron expression {short:?} cannot be read ({error}); it has five fields, minute, hour, day of the month, \
                 month and day of the week, such as \"30 2 * * *\""
            )
        })?;
        let hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        Ok(Self { cron, zone, hourly })
    }

    /// The first time that the expression names after this one. `None` when it names no time before the year 10000.
    pub(super) fn after(&self, now: Timestamp) -> Option<Timestamp> {
        if self.hourly { self.next_in_rhythm(now) } else { self.next_listed(now) }
    }

    /// The first listed wall-clock time after this one, whatever the clocks do.
    fn listed(&self, from: DateTime, inclusive: bool) -> Option<DateTime> {
        let from = from.to_zoned(TimeZone::UTC).ok()?;
        self.cron.find_next_occurrence(&from, inclusive).ok().map(|found| found.datetime())
    }

    /// A later listed time is never due earlier, so the first that is due after `now` is the next.
    fn next_listed(&self, now: Timestamp) -> Option<Timestamp> {
        let mut time = self.zone.to_datetime(now);
        for _ in 0..REPEATED {
            time = self.listed(time, false)?;
            let due = self.due(time)?;
            if due > now {
                return Some(due);
            }
        }
        None
    }

    /// When a listed time is due.
    fn due(&self, time: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(time).ok()
            }
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the offset after the gap, a skipped time lies before it.
                let before = after.to_timestamp(time).ok()?;
                let mut changes = self.zone.following(before);
                changes.find(|change| change.offset() == after).map(|change| change.timestamp())
            }
        }
    }

    /// Looks through the spans between two changes of the clocks, in each of which wall-clock time runs evenly.
    fn next_in_rhythm(&self, now: Timestamp) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (now, false);
        loop {
            let offset = self.zone.to_offset(from);
            let found =
                self.listed(offset.to_datetime(from), inclusive).and_then(|time| offset.to_timestamp(time).ok());
            let Some(change) = self.zone.following(from).next().map(|change| change.timestamp()) else { return found };
            if found.is_some_and(|found| found < change) {
                return found;
            }
            // `None` is an expression without any time at all, or one past the last year.
            found?;
            (from, inclusive) = (change, true);
        }
    }
}

#[cfg(test)]
mod tests;
