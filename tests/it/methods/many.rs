//! Many calls at a time, and plugins that wait for slow devices.

use super::*;

#[test]
fn a_plugin_that_waits_for_a_slow_device_delays_no_other_plugin() {
    const SLOW: usize = 12;
    let host_folder = HostFolder::new();
    scripted_plugin(&host_folder, "caller", ("telemetry", "*-*"), r#"{ method = { name = "dim" } }"#);
    scripted_plugin(&host_folder, "other", ("telemetry", "slow-*"), r#"{ config = { device = "lamp-1" } }"#);
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    let begin = |id: &str| {
        let mut device = host.device(id);
        subscribe_methods(&mut device);
        device.subscribe_config();
        device.event(format!("from {id}."));
        device.message_with(&format!("from {id}."));
        device
    };
    // More than a plugin has workers wait for devices that do not answer.
    let mut slow: Vec<_> = (0..SLOW).map(|n| begin(&format!("slow-{n}"))).collect();
    // The same plugin's events of another device, and another plugin's events of the same ones, are handled meanwhile.
    let mut quick = begin("quick-1");
    let (rid, _) = calls(&quick)[0].clone();
    answer(&mut quick, &rid, "at once");
    quick.message_with("quick-1 200 at once");
    for n in 0..SLOW {
        lamp.message_with(&format!("from slow-{n}."));
    }
    for device in &mut slow {
        let (rid, _) = calls(device)[0].clone();
        answer(device, &rid, "at last");
        device.message_with("200 at last");
    }
    host.stop();
}

/// A host with one plugin that calls lamp-1 for every message on `call/…` and publishes the answer; lamp-1; the caller; and the
/// start time.
fn many_calls(host_folder: &HostFolder) -> (Process, Device, Device, Instant) {
    let action = r#"{ method = { device = "lamp-1", name = "dim", report = "done/x" } }"#;
    scripted_plugin(host_folder, "caller", ("topic", "call/+"), action);
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    subscribe_methods(&mut lamp);
    let mut phone = host.device("phone");
    assert!(phone.subscribe("done/#"));
    let began = Instant::now();
    for n in 0..CALLS {
        phone.send(&format!("call/{n}"), QoS::AtLeastOnce, format!("{n}."));
    }
    (host, lamp, phone, began)
}

fn all_answered(host: Process, phone: &Device) {
    phone.wait("all answers", |seen| (seen.messages.len() == CALLS).then_some(()));
    let answers: HashSet<_> = phone.seen().messages.iter().map(switchbox_tests::Message::text).collect();
    assert_eq!(answers, (0..CALLS).map(|n| format!("lamp-1 200 {n}.")).collect());
    assert!(host.admin().dead_letters().is_empty());
    host.stop();
}

#[test]
fn a_thousand_calls_of_one_plugin_are_under_way_at_the_same_time() {
    let host_folder = HostFolder::new();
    let (host, mut lamp, phone, _) = many_calls(&host_folder);
    // No call is answered before all are made.
    lamp.wait("all calls", |seen| (seen.messages.len() == CALLS).then_some(()));
    for (rid, payload) in calls(&lamp) {
        answer(&mut lamp, &rid, &payload);
    }
    all_answered(host, &phone);
}

/// Prints how long it takes; `cargo test -p switchbox-tests --test it methods:: -- --nocapture` shows it.
#[test]
fn a_thousand_calls_that_are_each_answered_after_100_ms_all_end() {
    const ANSWERED_AFTER: Duration = Duration::from_millis(100);
    let host_folder = HostFolder::new();
    let (host, mut lamp, phone, began) = many_calls(&host_folder);
    let (mut answered, mut most) = (0, 0);
    let mut pending: Vec<(Instant, (String, String))> = Vec::new();
    while answered < CALLS {
        let wait = pending.get(answered).map_or(LIMIT, |(due, _)| due.saturating_duration_since(Instant::now()));
        let known = pending.len();
        lamp.try_wait(wait, |seen| (seen.messages.len() > known).then_some(()));
        let due = Instant::now() + ANSWERED_AFTER;
        pending.extend(calls_from(&lamp, known).into_iter().map(|call| (due, call)));
        most = most.max(pending.len() - answered);
        while let Some((due, (rid, payload))) = pending.get(answered)
            && *due <= Instant::now()
        {
            answer(&mut lamp, rid, payload);
            answered += 1;
        }
    }
    phone.wait("all answers", |seen| (seen.messages.len() == CALLS).then_some(()));
    let took = began.elapsed();
    eprintln!("{CALLS} calls, each answered after {ANSWERED_AFTER:?}: {took:?}; {most} at the same time");
    all_answered(host, &phone);
}
