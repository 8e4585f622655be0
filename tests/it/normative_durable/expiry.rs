//! Sessions and messages that run out of time while the host is down.

use std::time::{Duration, Instant};

use super::*;

/// The wall clock goes ahead by this while the host is down: past an expiry of one second, far from longer ones.
const PAST_A_SECOND_MS: i64 = 1_100;

/// Waits until what was sent then to the running host, with this expiry in seconds, has expired.
fn expired(secs: u64, sent: Instant) {
    // Sleeps because a running host counts by its monotonic clock, which a test cannot set.
    std::thread::sleep(Duration::from_millis(secs * 1_000 + 100).saturating_sub(sent.elapsed()));
}

#[test]
fn v5_3_1_2_23_a_session_does_not_outlive_its_expiry_because_the_host_was_down() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    for (id, expiry_secs) in [("short", 1), ("long", HOUR)] {
        let (mut client, _) = Raw::connect(host.mqtt(), &connect(id, false, expiry_secs, None));
        client.subscribe("a", 1);
        client.send_disconnect();
    }
    host.stop();
    host_folder.set_clock(PAST_A_SECOND_MS);
    let host = host_folder.start();
    for (id, expect) in [("short", false), ("long", true)] {
        assert_eq!(kept(&host, id).1, expect, "{id}");
    }
}

#[test]
fn v5_3_3_2_5_messages_expire_while_the_host_is_down() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    away(&host);
    let mut from = clean(&host, "from");
    for (secs, payload) in [(1, "short"), (100, "long")] {
        from.send(&publish(0x32, "a", 9, &[2, 0, 0, 0, secs], payload));
        from.expect(&ack(0x40, 9));
    }
    from.send(&publish(0x33, "r", 9, &[2, 0, 0, 0, 1], "short"));
    from.expect(&ack(0x40, 9));
    host.kill();
    host_folder.set_clock(PAST_A_SECOND_MS);
    let host = host_folder.start();
    let (mut to, _) = kept(&host, "to");
    let got = to.packet();
    assert!(got.ends_with(b"long") && got[8] == 2 && (1..100).contains(&got[12]), "{got:?}");
    to.send(&ack(0x40, 2));
    to.subscribe("r", 1);
    to.expect_silence();
}

#[test]
fn v5_3_3_2_5_messages_expire_though_the_clock_went_back_a_year_while_the_host_was_down() {
    const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    away(&host);
    let mut from = clean(&host, "from");
    for (flags, topic) in [(0x32, "a"), (0x33, "r")] {
        from.send(&publish(flags, topic, 9, &[2, 0, 0, 0, 2], "short"));
        from.expect(&ack(0x40, 9));
    }
    host.stop();
    host_folder.set_clock(-YEAR_MS);
    let host = host_folder.start();
    until("the retained message to expire", || {
        let mut late = clean(&host, "late");
        late.subscribe("r", 0);
        late.send(&[0xc0, 0]);
        (late.packet() == [0xd0, 0]).then_some(())
    });
    let (mut to, present) = kept(&host, "to");
    assert!(present);
    to.expect_silence();
}

#[test]
fn v5_3_3_2_5_what_expired_in_a_full_queue_makes_room_and_does_not_come_back() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    away(&host);
    let mut from = clean(&host, "from");
    let flood: Vec<u8> = (1..=1_000).flat_map(|id| publish(0x32, "a", id, &[2, 0, 0, 0, 1], "old")).collect();
    from.send(&flood);
    for id in 1..=1_000 {
        from.expect(&ack(0x40, id));
    }
    let sent = Instant::now();
    expired(1, sent);
    publish_1(&mut from, "a", "new");
    let host = again(&host_folder, host, true);
    publish_1(&mut clean(&host, "from"), "a", "newer");
    let (mut to, _) = kept(&host, "to");
    for (id, payload) in [(1_001, "new"), (1_002, "newer")] {
        to.expect(&publish(0x32, "a", id, &[], payload));
        to.send(&ack(0x40, id));
    }
    to.expect_silence();
}

#[test]
fn v5_3_3_2_5_retained_messages_that_expired_make_room_and_do_not_come_back() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let mut from = clean(&host, "from");
    for round in 0..20 {
        let topic = |id| format!("old/{round}/{id}");
        let some: Vec<u8> = (1..=500).flat_map(|id| publish(0x33, &topic(id), id, &[2, 0, 0, 0, 1], "x")).collect();
        from.send(&some);
        (1..=500).for_each(|id| from.expect(&ack(0x40, id)));
    }
    let sent = Instant::now();
    expired(1, sent);
    from.send(&publish(0x33, "new", 9, &[], "new"));
    from.expect(&ack(0x40, 9));
    let mut host = host;
    for kill in [true, false] {
        host = again(&host_folder, host, kill);
        let mut late = clean(&host, "late");
        late.subscribe("#", 0);
        late.expect(&publish(0x31, "new", 0, &[], "new"));
        late.expect_silence();
    }
    host.stop();
    assert_eq!(Journal::open(&host_folder).1.broker.retained.len(), 1);
}

#[test]
fn v5_3_3_2_5_after_a_kill_an_expired_message_is_sent_again_only_if_it_was_sent_before() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let one_by_one = |id| {
        let body = [&text("MQTT")[..], &[5, 0, 0, 0, 8, 0x21, 0, 1, 0x11], &HOUR.to_be_bytes(), &text(id)].concat();
        Raw::connect(host.mqtt(), &packet(0x10, &body)).0
    };
    let expiring = [2, 0, 0, 0, 2];
    let (mut connected, mut away) = (one_by_one("connected"), one_by_one("away"));
    [&mut connected, &mut away].into_iter().for_each(|to| to.subscribe("a", 1));
    let mut from = clean(&host, "from");
    from.send(&publish(0x32, "a", 9, &expiring, "sent"));
    from.expect(&ack(0x40, 9));
    for to in [&mut connected, &mut away] {
        assert!(to.packet().ends_with(b"sent"));
    }
    away.send_disconnect();
    for _ in 0..3 {
        from.send(&publish(0x32, "a", 9, &expiring, "never sent"));
        from.expect(&ack(0x40, 9));
    }
    publish_1(&mut from, "a", "live");
    let sent = Instant::now();
    // The second start restores no less than the first.
    let host = again(&host_folder, host, true);
    let host = again(&host_folder, host, false);
    expired(2, sent);
    let (mut away, _) = kept(&host, "away");
    away.expect(&publish(0x3a, "a", 1, &[2, 0, 0, 0, 0], "sent"));
    away.expect(&publish(0x32, "a", 5, &[], "live"));
    let (mut connected, _) = kept(&host, "connected");
    connected.expect(&publish(0x3a, "a", 5, &[], "live"));
    for to in [&mut away, &mut connected] {
        to.expect_silence();
    }
    // Dropped messages stay dropped.
    publish_1(&mut clean(&host, "from"), "a", "all before this is on the disk");
    let host = again(&host_folder, host, true);
    kept(&host, "connected").0.expect(&publish(0x3a, "a", 5, &[], "live"));
}
