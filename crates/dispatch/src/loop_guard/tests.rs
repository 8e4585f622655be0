//! Tests of effect rates, with a clock that the tests set.

use bytes::Bytes;

use super::*;
use switchbox_model::{KvWrite, QoS};

const MS: u64 = 1_000_000;

fn config(device: u64) -> Effect {
    Effect::Config { device: DeviceNum(device), payload: Bytes::new(), expected: None }
}

fn publish(topic: &str) -> Effect {
    Effect::Publish { topic: topic.into(), payload: Bytes::new(), qos: QoS::AtMostOnce, retain: false }
}

fn token_rates(rate: &str, burst: Option<u32>) -> TokenRates {
    TokenRates::new(&Limits {
        rate_per_target: Some(rate.parse().unwrap()),
        burst_per_target: burst.map(|burst| burst.try_into().unwrap()),
        ..Limits::default()
    })
}

/// How long each of these effects has to wait, in ms. `None` if it is refused.
fn waits(token_rates: &TokenRates, effects: &[(u64, Effect)]) -> Vec<Option<u64>> {
    let mut guard = LoopGuard::default();
    let mut admit =
        |at: u64, effect: &Effect| guard.admit(std::slice::from_ref(effect), token_rates, at * MS, &mut |_| ());
    let wait = |admission| match admission {
        Admission::Now => Some(0),
        Admission::Later { wait, .. } => Some(u64::try_from(wait.as_millis()).unwrap()),
        Admission::Never { .. } => None,
    };
    effects.iter().map(|(at, effect)| wait(admit(*at, effect))).collect()
}

#[test]
fn a_bucket_gives_its_burst_at_once_and_then_the_rate() {
    let at = |ms: &[u64]| ms.iter().map(|ms| (*ms, config(1))).collect::<Vec<_>>();
    for (rate, burst, times, expect) in [
        ("10/s", Some(1), &[0, 0, 0, 1000][..], &[0, 100, 200, 0][..]),
        ("10/s", Some(3), &[0, 0, 0, 0, 0, 5000], &[0, 0, 0, 100, 200, 0]),
        ("2/s", None, &[0, 0, 0, 250], &[0, 0, 500, 750]),
        ("60/m", None, &[0, 0, 0], &[0, 1000, 2000]),
        ("1/s", Some(1), &[0, 1000, 2000, 2500], &[0, 0, 0, 500]),
    ] {
        let expect: Vec<_> = expect.iter().copied().map(Some).collect();
        assert_eq!(waits(&token_rates(rate, burst), &at(times)), expect, "{rate} {burst:?}");
    }
    let many = at(&[0; 1000]);
    assert!(waits(&token_rates("unlimited", None), &many).iter().all(|wait| *wait == Some(0)));
}

#[test]
fn what_would_wait_too_long_is_refused_and_takes_no_tokens() {
    let effects: Vec<_> = [0, 0, 0, 0, 5_000].map(|at| (at, config(1))).into();
    assert_eq!(waits(&token_rates("10/m", None), &effects), [Some(0), Some(6_000), None, None, Some(7_000)]);
}

#[test]
fn each_device_and_topic_has_a_bucket_of_its_own() {
    let effects = [config(1), config(2), publish("a"), publish("b"), config(1), publish("a")].map(|e| (0, e));
    let expect = [Some(0), Some(0), Some(0), Some(0), Some(1_000), Some(1_000)];
    assert_eq!(waits(&token_rates("1/s", Some(1)), &effects), expect);
}

#[test]
fn an_events_effects_take_their_tokens_together_or_not_at_all() {
    let (mut guard, token_rates) = (LoopGuard::default(), token_rates("1/s", Some(2)));
    let mut admit = |effects: &[Effect]| guard.admit(effects, &token_rates, 0, &mut |_| ());
    let many: Vec<_> = (0..20).map(|_| config(2)).collect();
    let refused = [&[config(1)], &many[..]].concat();
    let hit = LimitHit { limit: names::RATE_PER_TARGET, effect: 1 };
    assert_eq!(admit(&refused), Admission::Never { wait: Duration::from_secs(18), hit });
    assert_eq!(admit(&[config(1), config(1)]), Admission::Now);
    assert_eq!(admit(&[config(2), config(2)]), Admission::Now);
    let hit = LimitHit { limit: names::RATE_PER_TARGET, effect: 0 };
    assert_eq!(admit(&[config(1)]), Admission::Later { wait: Duration::from_secs(1), hit });
    let write = KvWrite { key: "k".into(), value: None, revision: 0 };
    assert_eq!(admit(&[Effect::Kv(write)]), Admission::Now, "the plugin's own state has no target");
}

#[test]
fn all_targets_together_have_a_bucket_too() {
    let limits = Limits { effects_per_second: 10.try_into().unwrap(), ..Limits::default() };
    let mut guard = LoopGuard::default();
    let effects: Vec<_> = (0..15).map(config).collect();
    let hit = LimitHit { limit: names::EFFECTS_PER_SECOND, effect: 0 };
    let admission = guard.admit(&effects, &TokenRates::new(&limits), 0, &mut |_| ());
    assert_eq!(admission, Admission::Later { wait: Duration::from_millis(500), hit });
}

#[test]
fn idle_buckets_are_forgotten_and_busy_ones_kept() {
    let (mut guard, token_rates) = (LoopGuard::default(), token_rates("1/s", Some(1)));
    for n in 0..10_000 {
        guard.admit(&[config(n)], &token_rates, n * 10 * MS, &mut |_| ());
    }
    assert!(guard.len() <= 2 * TARGETS_MIN, "{}", guard.len());
    let admission = guard.admit(&[config(9_999)], &token_rates, 100_000 * MS, &mut |_| ());
    assert!(matches!(admission, Admission::Later { .. }), "{admission:?}");
}

#[test]
fn a_busy_target_is_reported_once_a_second() {
    let (mut guard, token_rates) = (LoopGuard::default(), token_rates("unlimited", None));
    let mut reported = Vec::new();
    for n in 0..100 {
        guard.admit(&[config(1)], &token_rates, n * 50 * MS, &mut |_| reported.push(n));
    }
    assert_eq!(reported, [4, 24, 44, 64, 84]);
}
