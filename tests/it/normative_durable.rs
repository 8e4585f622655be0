//! What MQTT calls the state of a session, and retained messages and wills, across the end of the host: killed at the
//! moment, and stopped.

mod expiry;

use switchbox_tests::{
    HostFolder, Journal, Process,
    raw::{Raw, ack, connect, packet, publish, text},
    until,
};

const HOUR: u32 = 3_600;

/// Kills the host, or stops it, and starts it again.
fn again(host_folder: &HostFolder, host: Process, kill: bool) -> Process {
    if kill {
        host.kill()
    } else {
        host.stop()
    }
    host_folder.start()
}

fn kept(host: &Process, id: &str) -> (Raw, bool) {
    Raw::connect(host.mqtt(), &connect(id, false, HOUR, None))
}

fn clean(host: &Process, id: &str) -> Raw {
    Raw::connect(host.mqtt(), &connect(id, true, 0, None)).0
}

/// The session `to` is subscribed to `a` with QoS 1, and its client is offline.
fn away(host: &Process) {
    let (mut to, _) = kept(host, "to");
    to.subscribe("a", 1);
    to.send_disconnect();
}

/// Publishes with QoS 1 and waits for the PUBACK.
fn publish_1(client: &mut Raw, topic: &str, payload: &str) {
    client.send(&publish(0x32, topic, 9, &[], payload));
    client.expect(&ack(0x40, 9));
}

#[test]
fn v5_4_1_0_1_what_waits_for_a_kept_session_survives_the_host() {
    for kill in [true, false] {
        let host_folder = HostFolder::new();
        let host = host_folder.start();
        let (mut to, present) = kept(&host, "to");
        assert!(!present);
        to.subscribe("a/+", 2);
        to.subscribe("b", 1);
        to.send(&packet(0xa2, &[&[0, 5, 0][..], &text("b")].concat()));
        to.expect(&packet(0xb0, &[0, 5, 0, 0]));
        to.send_disconnect();
        let mut from = clean(&host, "from");
        for payload in ["1", "2", "3"] {
            publish_1(&mut from, "a/x", payload);
        }
        publish_1(&mut from, "b", "nobody");
        let host = again(&host_folder, host, kill);
        // Both the subscription and its messages exist.
        publish_1(&mut clean(&host, "from"), "a/y", "4");
        let (mut to, present) = kept(&host, "to");
        assert!(present, "killed: {kill}");
        for (id, payload) in [(1, "1"), (2, "2"), (3, "3"), (4, "4")] {
            to.expect(&publish(0x32, if id == 4 { "a/y" } else { "a/x" }, id, &[], payload));
            to.send(&ack(0x40, id));
        }
        to.expect_silence();
        let host = again(&host_folder, host, kill);
        let (mut to, present) = kept(&host, "to");
        assert!(present);
        // PUBACKs that were not on the disk yet when it was killed may come again.
        if kill {
            drop(to);
        } else {
            to.expect_silence();
            to.send_disconnect();
        }
        let (_, present) = Raw::connect(host.mqtt(), &connect("to", true, HOUR, None));
        assert!(!present);
    }
}

#[test]
fn v5_4_4_0_1_what_was_sent_and_not_acknowledged_comes_again_with_dup_and_its_id() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let (mut to, _) = kept(&host, "to");
    to.subscribe("a", 2);
    let mut from = clean(&host, "from");
    publish_1(&mut from, "a", "1");
    from.send(&publish(0x34, "a", 7, &[], "2"));
    from.expect(&ack(0x50, 7));
    to.expect(&publish(0x32, "a", 1, &[], "1"));
    to.expect(&publish(0x34, "a", 2, &[], "2"));
    let host = again(&host_folder, host, true);
    let (mut to, present) = kept(&host, "to");
    assert!(present);
    to.expect(&publish(0x3a, "a", 1, &[], "1"));
    to.expect(&publish(0x3c, "a", 2, &[], "2"));
    to.send(&ack(0x50, 2));
    to.expect(&ack(0x62, 2));
    // The client has it: from here on there is only PUBREL.
    let host = again(&host_folder, host, true);
    let (mut to, _) = kept(&host, "to");
    to.expect(&publish(0x3a, "a", 1, &[], "1"));
    to.expect(&ack(0x62, 2));
    to.send(&[ack(0x40, 1), ack(0x70, 2)].concat());
    // An id that is free again is not mixed up with the one before.
    publish_1(&mut clean(&host, "from"), "a", "3");
    to.expect(&publish(0x32, "a", 3, &[], "3"));
}

#[test]
fn v5_4_3_3_10_a_qos_2_message_of_a_kept_session_is_taken_once_also_across_a_kill() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    away(&host);
    let (mut from, _) = kept(&host, "from");
    from.send(&publish(0x34, "a", 7, &[], "once"));
    from.expect(&ack(0x50, 7));
    let host = again(&host_folder, host, true);
    let (mut from, present) = kept(&host, "from");
    assert!(present);
    from.send(&publish(0x3c, "a", 7, &[], "once"));
    from.expect(&ack(0x50, 7));
    from.send(&ack(0x62, 7));
    from.expect(&ack(0x70, 7));
    let host = again(&host_folder, host, true);
    let (mut from, _) = kept(&host, "from");
    // PUBCOMP completed the exchange: the same id belongs to another message.
    from.send(&publish(0x34, "a", 7, &[], "another"));
    from.expect(&ack(0x50, 7));
    let (mut to, _) = kept(&host, "to");
    to.expect(&publish(0x32, "a", 1, &[], "once"));
    to.expect(&publish(0x32, "a", 2, &[], "another"));
    to.expect_silence();
}

/// A client that takes one message at a time, and whose queue is full.
fn full(host: &Process, topic: &str) -> Raw {
    let receive_maximum = [&text("MQTT")[..], &[5, 2, 0, 0, 3, 0x21, 0, 1], &text("full")].concat();
    let (mut full, _) = Raw::connect(host.mqtt(), &packet(0x10, &receive_maximum));
    full.subscribe(topic, 1);
    let mut from = clean(host, "filler");
    let filling: Vec<u8> = (1..=1_001).flat_map(|id| publish(0x32, topic, id, &[], "filling")).collect();
    from.send(&filling);
    (1..=1_001).for_each(|id| from.expect(&ack(0x40, id)));
    full
}

#[test]
fn v5_4_3_3_10_it_is_taken_once_also_where_the_host_ends_while_a_subscriber_is_full() {
    for kill in [true, false] {
        let host_folder = HostFolder::new();
        let host = host_folder.start();
        let full = full(&host, "a");
        let (mut to, _) = kept(&host, "to");
        to.subscribe("a", 1);
        to.send_disconnect();
        let mut watcher = clean(&host, "watcher");
        watcher.subscribe("a", 0);
        let (mut from, _) = kept(&host, "from");
        from.send(&publish(0x34, "a", 9, &[], "once"));
        watcher.expect(&publish(0x30, "a", 0, &[], "once"));
        // When this is acknowledged, what was submitted before is on the disk.
        let mut other = clean(&host, "other");
        other.send(&publish(0x33, "other", 9, &[], "kept"));
        other.expect(&ack(0x40, 9));
        let host = again(&host_folder, host, kill);
        drop((full, from));
        let (mut from, present) = kept(&host, "from");
        assert!(present);
        from.send(&publish(0x3c, "a", 9, &[], "once"));
        from.expect(&ack(0x50, 9));
        let (mut to, _) = kept(&host, "to");
        to.expect(&publish(0x32, "a", 1, &[], "once"));
        to.expect_silence();
    }
}

#[test]
fn v5_3_3_1_5_retained_messages_survive_the_host_and_cleared_ones_do_not() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let user = [&[0x26][..], &text("k"), &text("v")].concat();
    let mut from = clean(&host, "from");
    for (topic, payload) in [("r/kept", "old"), ("r/cleared", "x"), ("r/kept", "new"), ("r/cleared", "")] {
        from.send(&publish(0x33, topic, 9, &user, payload));
        from.expect(&ack(0x40, 9));
    }
    let mut host = host;
    for kill in [true, false] {
        host = again(&host_folder, host, kill);
        let mut late = clean(&host, "late");
        late.subscribe("r/#", 0);
        late.expect(&publish(0x31, "r/kept", 0, &user, "new"));
        late.expect_silence();
    }
}

#[test]
fn v5_3_1_2_8_wills_of_the_killed_hosts_clients_are_published_after_the_start() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let (mut watcher, _) = kept(&host, "watcher");
    watcher.subscribe("will/+", 1);
    let with_will = |id, expiry_secs, delay_secs| {
        let will = (delay_secs, &*format!("will/{id}"), "gone");
        Raw::connect(host.mqtt(), &connect(id, false, expiry_secs, Some(will))).0
    };
    let connected = with_will("connected", 0, 0);
    let waiting = with_will("waiting", HOUR, 1);
    let polite = with_will("polite", HOUR, 1);
    let returning = with_will("returning", HOUR, 30);
    polite.send_disconnect();
    drop(waiting);
    publish_1(&mut clean(&host, "from"), "last", "all before this is on the disk");
    let host = again(&host_folder, host, true);
    drop((connected, returning));
    let (back, present) = kept(&host, "returning");
    assert!(present);
    let (mut watcher, _) = kept(&host, "watcher");
    let mut topics = Vec::new();
    for _ in 0..2 {
        let got = watcher.packet();
        watcher.send(&ack(0x40, u16::from_be_bytes(got[got.len() - 7..got.len() - 5].try_into().unwrap())));
        topics.push(String::from_utf8(got[4..got.len() - 7].to_vec()).unwrap());
    }
    topics.sort_unstable();
    assert_eq!(topics, ["will/connected", "will/waiting"]);
    back.send_disconnect();
    watcher.expect_silence();
}

#[test]
fn v5_4_8_2_members_of_a_shared_subscription_are_members_again_after_a_kill() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    for id in ["one", "two"] {
        let (mut member, _) = kept(&host, id);
        member.subscribe("$share/g/a", 1);
        member.send_disconnect();
    }
    let mut from = clean(&host, "from");
    for payload in ["1", "2"] {
        publish_1(&mut from, "a", payload);
    }
    let host = again(&host_folder, host, true);
    let (mut one, _) = kept(&host, "one");
    let first = one.packet();
    one.send(&ack(0x40, 1));
    one.expect_silence();
    // The session of the other ends: what waited there goes to the one that is left.
    let (other, present) = Raw::connect(host.mqtt(), &connect("two", true, 0, None));
    assert!(!present);
    let second = one.packet();
    let mut payloads = [first.last(), second.last()].map(|last| char::from(*last.unwrap()));
    payloads.sort_unstable();
    assert_eq!(payloads, ['1', '2']);
    other.send_disconnect();
}

#[test]
fn a_publisher_of_a_kept_session_is_acknowledged_only_for_what_survives() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    away(&host);
    // As many as go, until the host is killed in the middle of it.
    let mut from = clean(&host, "from");
    let mut acknowledged = 0_u16;
    for round in 0..10_u16 {
        let bytes: Vec<u8> =
            (1..=50).flat_map(|n| publish(0x32, "a", round * 50 + n, &[], &(round * 50 + n).to_string())).collect();
        from.send(&bytes);
        if round == 9 {
            break;
        }
        for n in 1..=50 {
            from.expect(&ack(0x40, round * 50 + n));
            acknowledged += 1;
        }
    }
    let host = again(&host_folder, host, true);
    let (mut to, present) = kept(&host, "to");
    assert!(present);
    for n in 1..=acknowledged {
        let got = to.packet();
        assert!(got.ends_with(n.to_string().as_bytes()), "{n}: {got:?}");
        to.send(&ack(0x40, n));
    }
}
