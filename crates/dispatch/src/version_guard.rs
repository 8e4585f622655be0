//! Decides whether a new version of a plugin is rolled back, from its statistics in the window and those of the previous version.
//! Pure.

use std::time::Duration;

use super::behaviour::Behaviour;
use switchbox_plugin_runtime::guard::GuardSettings;

/// Versions with fewer events are not compared.
pub(super) const COMPARED_EVENTS: u64 = 20;
/// A guest time that is longer by less than this does not count as longer.
const MIN_GUEST_TIME: Duration = Duration::from_micros(20);

/// Why the version with the statistics `current` has to be rolled back. Returns `None` if it may stay. `previous`: the statistics of the version
/// that it is compared with, if there is one.
pub(super) fn violation(guard: &GuardSettings, current: &Behaviour, previous: Option<&Behaviour>) -> Option<String> {
    for (found, most, what) in [
        (current.traps, Some(guard.traps).filter(|most| *most > 0), "traps"),
        (current.errors, guard.errors, "errors"),
        (current.dead_letters, guard.dead_letters, "dead letters"),
    ] {
        if let Some(most) = most.filter(|most| found >= *most) {
            return Some(format!("{found} {what} in {} events; the guard allows fewer than {most}", current.events));
        }
    }
    let previous =
        previous.filter(|previous| previous.events >= COMPARED_EVENTS && current.events >= COMPARED_EVENTS)?;
    let micros = |behaviour: &Behaviour| behaviour.median_guest_time().map(|time| time.as_secs_f64() * 1e6);
    let longer = current.median_guest_time()?.saturating_sub(previous.median_guest_time()?);
    let guest_time = guard.guest_time.filter(|_| longer >= MIN_GUEST_TIME);
    [
        (guest_time, micros(current), micros(previous), "guest time (median, µs)"),
        (guard.effects_per_event, current.effects_per_event(), previous.effects_per_event(), "effects per event"),
        (guard.effects_per_target, current.effects_per_target(), previous.effects_per_target(), "effects per target"),
    ]
    .into_iter()
    .find_map(|(factor, value, previous_value, what)| {
        let (factor, value, previous_value) = (factor?, value?, previous_value?);
        let is_violated = previous_value > 0.0 && value >= previous_value * factor;
        is_violated.then(|| {
            format!(
                "{what}: {value:.2} after {} events, where the version before had {previous_value:.2}; the guard allows less than {factor} times that",
                current.events
            )
        })
    })
}

/// Whether the window is over in which a version may be rolled back. `since`: how long the version has been in force.
pub(super) fn is_over(guard: &GuardSettings, current: &Behaviour, since: Duration) -> bool {
    current.events >= guard.events && since >= guard.time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Observation;
    use switchbox_model::{CallResult, DeviceNum, Effect};
    use switchbox_plugin_runtime::{Called, Execution, Verdict};

    fn did(events: usize, effects: u64, us: u64, verdict: &Verdict) -> Behaviour {
        did_and_called(events, effects, 0, us, verdict)
    }

    fn did_and_called(events: usize, effects: u64, calls: usize, us: u64, verdict: &Verdict) -> Behaviour {
        let call = Called {
            device: DeviceNum(1),
            method: "open".into(),
            request: "x".into(),
            request_hash: 0,
            time_ms: 0,
            took: Duration::ZERO,
            result: CallResult::Failed("offline".into()),
        };
        let effect = |device| Effect::Config { device: DeviceNum(device), payload: "x".into(), expected: None };
        let mut behaviour = Behaviour::default();
        for _ in 0..events {
            behaviour.add(Observation::of(&Execution {
                effects: (0..effects).map(|_| effect(1)).collect(),
                calls: vec![call.clone(); calls],
                guest_time: Duration::from_micros(us),
                ..Execution::of(verdict.clone())
            }));
        }
        behaviour
    }

    #[test]
    fn a_version_is_judged_by_its_own_failures_and_by_the_one_before() {
        let before = did(100, 1, 50, &Verdict::Done);
        let trapped = did(1, 0, 50, &Verdict::GuestFailed("x".into()));
        let refused = did(3, 0, 50, &Verdict::Reject("x".into()));
        let none = GuardSettings { traps: 0, ..GuardSettings::default() };
        let strict = GuardSettings {
            errors: Some(3),
            guest_time: Some(5.0),
            effects_per_event: Some(1.5),
            effects_per_target: Some(1.5),
            ..GuardSettings::default()
        };
        let doubled = GuardSettings { effects_per_target: Some(1.5), ..none.clone() };
        for (guard, new, expected) in [
            (&GuardSettings::default(), &trapped, Some("1 traps in 1 events")),
            (&none, &trapped, None),
            (&GuardSettings::default(), &refused, None),
            (&strict, &refused, Some("3 errors")),
            (&strict, &did(20, 1, 500, &Verdict::Done), Some("guest time")),
            (&strict, &did(19, 1, 500, &Verdict::Done), None),
            (&strict, &did(20, 1, 60, &Verdict::Done), None),
            (&strict, &did(20, 2, 50, &Verdict::Done), Some("effects per event: 2.00")),
            (&doubled, &did(20, 2, 50, &Verdict::Done), Some("effects per target: 2.00")),
            (&strict, &did_and_called(20, 1, 2, 50, &Verdict::Done), Some("effects per event: 3.00")),
            (&doubled, &did_and_called(20, 1, 2, 50, &Verdict::Done), Some("effects per target: 3.00")),
            (&none, &did(20, 9, 5_000, &Verdict::Done), None),
        ] {
            let found = violation(guard, new, Some(&before));
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        }
        assert_eq!(
            violation(&strict, &did(20, 9, 5_000, &Verdict::Done), None),
            None,
            "there is nothing to compare with"
        );
    }

    #[test]
    fn a_window_is_over_after_its_events_and_its_time() {
        let guard = GuardSettings { events: 3, time: Duration::from_secs(60), ..GuardSettings::default() };
        let over = |events, seconds| is_over(&guard, &did(events, 0, 1, &Verdict::Done), Duration::from_secs(seconds));
        assert_eq!([over(3, 59), over(2, 60), over(3, 60)], [false, false, true]);
    }
}
