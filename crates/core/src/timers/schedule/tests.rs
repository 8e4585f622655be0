//! First and later times of each kind of schedule.

use jiff::Timestamp;

use super::*;

fn ms(time: &str) -> u64 {
    u64::try_from(time.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
}

fn text(ms: u64) -> String {
    switchbox_support::clock::rfc3339(ms).replace(".000Z", "Z")
}

#[test]
fn the_first_time_follows_from_what_is_wanted() {
    for (requested, due) in [
        (RequestedSchedule::AfterMs(5_000), Ok(1_005_000)),
        (RequestedSchedule::AfterMs(0), Ok(1_000_100)),
        (RequestedSchedule::AtMs(2_000_000), Ok(2_000_000)),
        (RequestedSchedule::AtMs(7), Ok(1_000_100)),
        (RequestedSchedule::EveryMs(100), Ok(1_000_100)),
        (RequestedSchedule::EveryMs(99), Err("every 99 ms is too often")),
        (RequestedSchedule::AfterMs(u64::MAX), Err("before the year 9999")),
        (RequestedSchedule::AtMs(LAST_MS + 1), Err("before the year 9999")),
    ] {
        let found = first(requested.clone(), 1_000_000).map(|(_, due)| due);
        match (&found, due) {
            (Ok(found), Ok(due)) => assert_eq!(*found, due, "{requested:?}"),
            (Err(text), Err(part)) => assert!(text.contains(part), "{requested:?}: {text}"),
            _ => panic!("{requested:?}: {found:?}"),
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

/// A name, the expression, its zone, a time, and the times after that one at which the timer is due.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [&'a str]);

fn assert_due(cases: &[Case<'_>]) {
    for (name, expression, zone, from, expected) in cases {
        let requested = RequestedSchedule::Cron { expression: (*expression).into(), time_zone: (*zone).into() };
        let (schedule, mut due) = first(requested, ms(from)).unwrap();
        let mut found = vec![text(due)];
        while found.len() < expected.len() {
            due = next(&schedule, due, due).unwrap();
            found.push(text(due));
        }
        assert_eq!(&found, expected, "{name}");
    }
}

/// Clocks in Berlin went forward at 01:00 UTC on 2026-03-29 and go back at 01:00 UTC on 2026-10-25.
#[test]
fn cron_follows_the_clocks_of_its_zone() {
    assert_due(&[
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
    ]);
}

#[test]
fn cron_follows_the_calendar() {
    assert_due(&[
        ("every day", "30 2 * * *", "UTC", "2026-01-31T03:00:00Z", &["2026-02-01T02:30:00Z", "2026-02-02T02:30:00Z"]),
        (
            "day of the month or of the week",
            "0 0 13 * 5",
            "UTC",
            "2026-02-10T00:00:00Z",
            &["2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"],
        ),
        ("a leap day", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("half an hour off", "0 0 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", &["2026-01-01T18:30:00Z"]),
    ]);
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
        let requested = RequestedSchedule::Cron { expression: expression.into(), time_zone: zone.into() };
        let problem = first(requested, 0).unwrap_err();
        assert!(problem.contains(part), "{expression} {zone}: {problem}");
    }
}
