//! Tests of followers of the journal: they get no duplicates, and the number of omitted items.

use crate::testing::TestHost;
use switchbox_core::journal::{Cursor, FollowFilter, Followed, Follower, SampleRate};
use switchbox_model::{Entry, Event, Handled, Outcome, PluginName, Seq};

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

fn host() -> TestHost {
    let host = TestHost::new();
    for id in ["a", "b"] {
        host.ok("POST", DEVICES, Some(&serde_json::json!({ "id": id })));
    }
    host
}

fn follow(host: &TestHost, after: Option<Cursor>, filter: FollowFilter) -> Follower {
    host.runtime.block_on(host.handles.journal.follow(after, filter)).unwrap()
}

fn next_items(host: &TestHost, follower: &mut Follower) -> Vec<(Cursor, Followed)> {
    host.runtime.block_on(follower.next()).unwrap()
}

fn payloads(items: &[(Cursor, Followed)]) -> Vec<&[u8]> {
    let payload = |items: &'_ (Cursor, Followed)| match &items.1 {
        Followed::Event(Event { data, .. }) => Some(data.payload().to_vec().leak() as &[u8]),
        _ => None,
    };
    items.iter().filter_map(payload).collect()
}

fn events() -> FollowFilter {
    FollowFilter { events: true, ..FollowFilter::default() }
}

#[test]
fn a_follower_that_returns_continues_at_its_cursor() {
    let host = host();
    host.telemetry("a", "before");
    let mut follower = follow(&host, None, events());
    assert!(next_items(&host, &mut follower).is_empty());
    for payload in ["1", "2", "3"] {
        host.telemetry("a", payload);
    }
    let first = next_items(&host, &mut follower);
    assert_eq!(payloads(&first), [b"1", b"2", b"3"]);
    assert!(next_items(&host, &mut follower).is_empty());
    let mut again = follow(&host, Some(first[0].0), events());
    assert_eq!(payloads(&next_items(&host, &mut again)), [b"2", b"3"]);
}

#[test]
fn a_device_is_followed_with_what_is_done_for_it() {
    let host = host();
    let device = Some(host.device("a").num);
    let filter = FollowFilter { device, executions: true, ..events() };
    let mut follower = follow(&host, None, filter);
    host.telemetry("a", "mine");
    host.telemetry("b", "not mine");
    for seq in [1, 2] {
        let handled = Handled {
            plugin: PluginName::new("relay").unwrap(),
            digest: "sha256:0".into(),
            seq: Seq(seq),
            attempt: 1,
            time_ms: 0,
            took_us: 7,
            logs: vec![],
            outcome: Outcome::Done { effects: vec![] },
        };
        host.runtime.block_on(host.handles.store.call(Entry::from(handled))).unwrap();
    }
    let items = next_items(&host, &mut follower);
    assert_eq!(payloads(&items), [b"mine"]);
    assert!(matches!(&items[1].1, Followed::Execution(handled) if handled.seq == Seq(1)), "{items:?}");
    assert_eq!(items.len(), 2);
}

#[test]
fn a_slow_follower_is_given_the_number_of_missed_items() {
    let host = host();
    let mut follower = follow(&host, None, events());
    let mut sampled = follow(&host, None, FollowFilter { max: Some(SampleRate { per_look: 2, burst: 2 }), ..events() });
    let large: &'static str = "x".repeat(250 * 1024).leak();
    for _ in 0..20 {
        host.telemetry("a", large);
    }
    let missed = next_items(&host, &mut follower);
    assert!(matches!(missed[..], [(_, Followed::Missed(20))]), "{:?}", missed.len());
    // A sample continues with the newest one.
    let newest = next_items(&host, &mut sampled);
    assert!(matches!(newest[..], [(_, Followed::Missed(19)), (_, Followed::Event(_))]), "{:?}", newest.len());
    host.telemetry("a", "next");
    assert_eq!(payloads(&next_items(&host, &mut follower)), [b"next"]);
    assert_eq!(payloads(&next_items(&host, &mut sampled)), [b"next"]);
    // A follower that returns from there has missed nothing more.
    let mut again = follow(&host, Some(missed[0].0), events());
    assert_eq!(payloads(&next_items(&host, &mut again)), [b"next"]);
}

#[test]
fn followers_that_take_a_sample_share_what_is_read_and_each_gets_its_own() {
    let host = host();
    let sample = || FollowFilter { max: Some(SampleRate { per_look: 2, burst: 2 }), ..events() };
    let mut followers = [follow(&host, None, sample()), follow(&host, None, sample())];
    let mut of_b = follow(&host, None, FollowFilter { device: Some(host.device("b").num), ..sample() });
    for (device, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
        host.telemetry(device, payload);
    }
    for follower in &mut followers {
        let items = next_items(&host, follower);
        assert_eq!(payloads(&items), [b"1", b"2"]);
        assert!(matches!(items[2..], [(_, Followed::LeftOut(2))]), "{items:?}");
    }
    // What the filter does not take is not counted.
    let items = next_items(&host, &mut of_b);
    assert_eq!((payloads(&items), items.len()), (vec![&b"2"[..]], 1));
    host.telemetry("a", "5");
    for mut follower in followers {
        assert_eq!(payloads(&next_items(&host, &mut follower)), [b"5"]);
    }
    let items = next_items(&host, &mut of_b);
    assert!(items.is_empty(), "{items:?}");
    // One that returns is behind the shared rows, and begins at its own.
    let mut returned = follow(&host, Some(Cursor { row: 1, index: 0, seq: Seq(0) }), sample());
    assert_eq!(payloads(&next_items(&host, &mut returned)), [b"1", b"2"]);
}
