//! Going along with the journal: nothing twice, nothing left out without being told.

use crate::testing::TestHost;
use switchbox_core::journal::{Cursor, ExecutionFilter, FollowFilter, Follower, Told};
use switchbox_model::{Entry, Event, Handled, Outcome, PluginName, Seq};

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

fn house() -> TestHost {
    let house = TestHost::new();
    for id in ["a", "b"] {
        house.ok("POST", DEVICES, Some(&serde_json::json!({ "id": id })));
    }
    house
}

fn follow(house: &TestHost, after: Option<Cursor>, filter: FollowFilter) -> Follower {
    house.runtime.block_on(house.parts.journal.follow(after, filter)).unwrap()
}

fn told(house: &TestHost, follower: &mut Follower) -> Vec<(Cursor, Told)> {
    house.runtime.block_on(follower.next()).unwrap()
}

fn payloads(told: &[(Cursor, Told)]) -> Vec<&[u8]> {
    let payload = |told: &'_ (Cursor, Told)| match &told.1 {
        Told::Event(Event { data, .. }) => Some(data.payload().to_vec().leak() as &[u8]),
        _ => None,
    };
    told.iter().filter_map(payload).collect()
}

fn events() -> FollowFilter {
    FollowFilter { events: true, ..FollowFilter::default() }
}

#[test]
fn who_comes_back_goes_on_where_he_was() {
    let house = house();
    house.telemetry("a", "before");
    let mut follower = follow(&house, None, events());
    assert!(told(&house, &mut follower).is_empty());
    for payload in ["1", "2", "3"] {
        house.telemetry("a", payload);
    }
    let first = told(&house, &mut follower);
    assert_eq!(payloads(&first), [b"1", b"2", b"3"]);
    assert!(told(&house, &mut follower).is_empty());
    let mut again = follow(&house, Some(first[0].0), events());
    assert_eq!(payloads(&told(&house, &mut again)), [b"2", b"3"]);
}

#[test]
fn a_device_is_followed_with_what_is_done_for_it() {
    let house = house();
    let device = Some(house.device("a").num);
    let filter = FollowFilter { device, executions: Some(ExecutionFilter::default()), ..events() };
    let mut follower = follow(&house, None, filter);
    house.telemetry("a", "mine");
    house.telemetry("b", "not mine");
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
        house.runtime.block_on(house.parts.store.call(Entry::Handled(handled))).unwrap();
    }
    let told = told(&house, &mut follower);
    assert_eq!(payloads(&told), [b"mine"]);
    assert!(matches!(&told[1].1, Told::Execution(handled) if handled.seq == Seq(1)), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn who_is_too_slow_is_told_how_much_he_missed() {
    let house = house();
    let mut follower = follow(&house, None, events());
    let large: &'static str = "x".repeat(250 * 1024).leak();
    for _ in 0..20 {
        house.telemetry("a", large);
    }
    let missed = told(&house, &mut follower);
    assert!(matches!(missed[..], [(_, Told::Missed(20))]), "{:?}", missed.len());
    house.telemetry("a", "next");
    assert_eq!(payloads(&told(&house, &mut follower)), [b"next"]);
    // Who comes back from there has missed nothing more.
    let mut again = follow(&house, Some(missed[0].0), events());
    assert_eq!(payloads(&told(&house, &mut again)), [b"next"]);
}
