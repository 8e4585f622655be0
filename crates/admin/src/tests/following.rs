//! Tests of followers of the journal: they get nothing twice, and learn what is left out.

use crate::testing::TestHost;
use switchbox_core::journal::{Cursor, ExecutionFilter, FollowFilter, Followed, Follower};
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
    host.runtime.block_on(host.parts.journal.follow(after, filter)).unwrap()
}

fn told(host: &TestHost, follower: &mut Follower) -> Vec<(Cursor, Followed)> {
    host.runtime.block_on(follower.next()).unwrap()
}

fn payloads(told: &[(Cursor, Followed)]) -> Vec<&[u8]> {
    let payload = |told: &'_ (Cursor, Followed)| match &told.1 {
        Followed::Event(Event { data, .. }) => Some(data.payload().to_vec().leak() as &[u8]),
        _ => None,
    };
    told.iter().filter_map(payload).collect()
}

fn events() -> FollowFilter {
    FollowFilter { events: true, ..FollowFilter::default() }
}

#[test]
fn who_comes_back_goes_on_where_he_was() {
    let host = host();
    host.telemetry("a", "before");
    let mut follower = follow(&host, None, events());
    assert!(told(&host, &mut follower).is_empty());
    for payload in ["1", "2", "3"] {
        host.telemetry("a", payload);
    }
    let first = told(&host, &mut follower);
    assert_eq!(payloads(&first), [b"1", b"2", b"3"]);
    assert!(told(&host, &mut follower).is_empty());
    let mut again = follow(&host, Some(first[0].0), events());
    assert_eq!(payloads(&told(&host, &mut again)), [b"2", b"3"]);
}

#[test]
fn a_device_is_followed_with_what_is_done_for_it() {
    let host = host();
    let device = Some(host.device("a").num);
    let filter = FollowFilter { device, executions: Some(ExecutionFilter::default()), ..events() };
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
        host.runtime.block_on(host.parts.store.call(Entry::from(handled))).unwrap();
    }
    let told = told(&host, &mut follower);
    assert_eq!(payloads(&told), [b"mine"]);
    assert!(matches!(&told[1].1, Followed::Execution(handled) if handled.seq == Seq(1)), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn who_is_too_slow_is_told_how_much_he_missed() {
    let host = host();
    let mut follower = follow(&host, None, events());
    let mut sampled = follow(&host, None, FollowFilter { sampled: true, ..events() });
    let large: &'static str = "x".repeat(250 * 1024).leak();
    for _ in 0..20 {
        host.telemetry("a", large);
    }
    let missed = told(&host, &mut follower);
    assert!(matches!(missed[..], [(_, Followed::Missed(20))]), "{:?}", missed.len());
    // A sample goes on with the newest one.
    let newest = told(&host, &mut sampled);
    assert!(matches!(newest[..], [(_, Followed::Missed(19)), (_, Followed::Event(_))]), "{:?}", newest.len());
    host.telemetry("a", "next");
    assert_eq!(payloads(&told(&host, &mut follower)), [b"next"]);
    assert_eq!(payloads(&told(&host, &mut sampled)), [b"next"]);
    // Who comes back from there has missed nothing more.
    let mut again = follow(&host, Some(missed[0].0), events());
    assert_eq!(payloads(&told(&host, &mut again)), [b"next"]);
}
