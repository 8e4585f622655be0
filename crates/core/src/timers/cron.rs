//! When a cron expression is due in a time zone, also where the zone's clocks change. Pure.
//!
//! An expression lists wall-clock times. Each listed time is judged by itself: one that the clocks skip is due at the first
//! moment after the gap, one that they repeat is due once, the first time, and all others are due as they are listed. Only an
//! expression that holds for every hour of the day, such as `*/15 * * * *`, is a rhythm rather than a list: it goes on in
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

    /// The first time after this one. `None`: there is none that can be written down.
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
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn times(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let expression = Expression::parse(expression, zone).unwrap();
        let mut now: Timestamp = from.parse().unwrap();
        let next = std::iter::from_fn(|| {
            now = expression.after(now)?;
            Some(now.to_string())
        });
        next.take(count).collect()
    }

    /// Clocks in Berlin went forward at 01:00 UTC on 2026-03-29 and go back at 01:00 UTC on 2026-10-25.
    #[test]
    fn each_listed_time_is_judged_by_itself_where_the_clocks_change() {
        for (name, expression, zone, from, expected) in [
            (
                "spring, one of two skipped",
                "0 2,14 * * *",
                "Europe/Berlin",
                "2026-03-28T13:00:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-29T12:00:00Z", "2026-03-30T00:00:00Z"][..],
            ),
            (
                "autumn, one of two repeated",
                "0 2,14 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["2026-10-25T00:00:00Z", "2026-10-25T13:00:00Z", "2026-10-26T01:00:00Z"],
            ),
            (
                "spring, both skipped: they come together",
                "0,30 2 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "autumn, both repeated",
                "0,30 2 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"],
            ),
            (
                "spring, one of three skipped",
                "30 1-3 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T23:30:00Z"],
            ),
            (
                "autumn, one of three repeated",
                "30 1-3 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z", "2026-10-26T00:30:00Z"],
            ),
            (
                "set between the two runs of a repeated hour",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-25T00:45:00Z",
                &["2026-10-26T01:30:00Z"],
            ),
            (
                "every other hour is a list",
                "0 */2 * * *",
                "Europe/Berlin",
                "2026-03-28T23:30:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
            ),
            (
                "every hour is a rhythm, also when it is spelt out",
                "0 0-23 * * *",
                "Europe/Berlin",
                "2026-10-24T23:30:00Z",
                &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
            ),
            (
                "a day that is skipped as a whole",
                "0 8 * * *",
                "Pacific/Apia",
                "2011-12-29T12:00:00Z",
                &["2011-12-29T18:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T18:00:00Z"],
            ),
            (
                "the same day by its date",
                "0 8 30 12 *",
                "Pacific/Apia",
                "2011-12-01T00:00:00Z",
                &["2011-12-30T10:00:00Z"],
            ),
            (
                "clocks that move by half an hour",
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T00:00:00Z",
                &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
            ),
        ] {
            assert_eq!(times(expression, zone, from, expected.len()), expected, "{name}");
        }
    }

    /// What the module's first lines say, minute by minute over the zone's own clock.
    fn model(expression: &Expression, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        const MINUTE: SignedDuration = SignedDuration::from_mins(1);
        let lists = |time: DateTime| {
            expression.cron.is_time_matching(&time.to_zoned(TimeZone::UTC).unwrap()).unwrap() && time.second() == 0
        };
        let mut found = Vec::new();
        // Wall-clock times up to here were seen before.
        let mut seen = expression.zone.to_datetime(from - SignedDuration::from_hours(26));
        let mut now = from - SignedDuration::from_hours(26);
        while now < until {
            now += MINUTE;
            let time = expression.zone.to_datetime(now);
            let due = if expression.hourly {
                lists(time)
            } else {
                let mut due = false;
                while seen < time {
                    seen += MINUTE;
                    due |= lists(seen);
                }
                due
            };
            if due && now > from && now <= until {
                found.push(now);
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn it_agrees_with_a_walk_over_every_minute(
            minute in prop_oneof!["[0-5]?[0-9]", "[0-5]?[0-9],[0-5]?[0-9]", Just("*/15".to_owned()), Just("*".to_owned())],
            hour in prop_oneof!["[0-9]", "1?[0-9],2[0-3]", "[0-2]-[3-5]", Just("*".to_owned()), Just("*/2".to_owned())],
            (zone, change) in prop::sample::select(vec![
                ("Europe/Berlin", "2026-03-29T01:00:00Z"),
                ("Europe/Berlin", "2026-10-25T01:00:00Z"),
                ("America/New_York", "2026-03-08T07:00:00Z"),
                ("America/New_York", "2026-11-01T06:00:00Z"),
                ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
                ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
                ("America/Santiago", "2026-09-06T04:00:00Z"),
                ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
                ("Pacific/Apia", "2011-12-30T10:00:00Z"),
                ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
            ]),
            minutes_before in 0_i64..1_800,
        ) {
            let expression = Expression::parse(&format!("{minute} {hour} * * *"), zone).unwrap();
            let change: Timestamp = change.parse().unwrap();
            let from = change - SignedDuration::from_mins(minutes_before);
            let until = change + SignedDuration::from_hours(30);
            let mut found = Vec::new();
            let mut now = from;
            while let Some(next) = expression.after(now).filter(|next| *next <= until) {
                found.push(next);
                now = next;
            }
            prop_assert_eq!(found, model(&expression, from, until));
        }
    }
}
