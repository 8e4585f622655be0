//! Expressions against tables of times where the clocks change, and against a walk over every minute.

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

/// A name, the expression, its zone, a time, and the times after that one at which the expression is due.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [&'a str]);

fn assert_due(cases: &[Case<'_>]) {
    for (name, expression, zone, from, expected) in cases {
        assert_eq!(&times(expression, zone, from, expected.len()), expected, "{name}");
    }
}

/// Clocks in Berlin went forward at 01:00 UTC on 2026-03-29.
#[test]
fn each_listed_time_is_judged_by_itself_where_the_clocks_go_forward() {
    assert_due(&[
        (
            "spring, one of two skipped",
            "0 2,14 * * *",
            "Europe/Berlin",
            "2026-03-28T13:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-29T12:00:00Z", "2026-03-30T00:00:00Z"],
        ),
        (
            "spring, both skipped: they come together",
            "0,30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "spring, one of three skipped",
            "30 1-3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T23:30:00Z"],
        ),
    ]);
}

/// Clocks in Berlin go back at 01:00 UTC on 2026-10-25.
#[test]
fn each_listed_time_is_judged_by_itself_where_the_clocks_go_back() {
    assert_due(&[
        (
            "autumn, one of two repeated",
            "0 2,14 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:00:00Z", "2026-10-25T13:00:00Z", "2026-10-26T01:00:00Z"],
        ),
        (
            "autumn, both repeated",
            "0,30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"],
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
    ]);
}

#[test]
fn hours_days_and_half_hours_that_are_skipped_or_repeated() {
    assert_due(&[
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
        ("the same day by its date", "0 8 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", &["2011-12-30T10:00:00Z"]),
        (
            "clocks that move by half an hour",
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
    ]);
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
