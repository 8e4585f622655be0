//! When a live connection ends: its proof runs out, or an operator takes it away.

use super::*;

#[test]
fn the_connection_ends_when_the_token_runs_out() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    // The ten minutes by which clocks may differ are nearly over.
    let secret = key.token("local", now() - 3_600, now() - 597).unwrap();
    let will = Some(LastWill::new("/devices/lamp-1/events", "gone", QoS::AtLeastOnce, false));
    let lamp = Device::connect(host.mqtt(), Session { will, ..Session::with_secret("lamp-1", &secret) });
    lamp.ended();
    // The access was not revoked, so the will is published.
    until("the will", || host.admin().get("/v1/events").ok().to_string().contains("Z29uZQ").then_some(()));
    host.stop();
}

#[test]
fn the_connection_ends_too_when_the_wall_clock_jumps_past_the_tokens_end() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    let mut lamp = connect(&host, "lamp-1", &token(&key));
    lamp.event("hello");
    host_folder.set_clock(3 * 86_400_000);
    let _ = lamp.ended();
    host.stop();
}

/// Gives the first key of the device an expiry, this many milliseconds from now.
fn give_end(host: &Process, id: &str, in_ms: u64) {
    let path = Admin::device_path(id, "");
    let mut credentials = host.admin().get(&path).ok()["credentials"].take();
    credentials[0]["expirationTime"] = clock::rfc3339(clock::now_ms() + in_ms).into();
    let _ = host.admin().patch(&format!("{path}?updateMask=credentials"), &json!({ "credentials": credentials })).ok();
}

#[test]
fn a_key_that_is_given_an_end_ends_the_live_connection_then_though_its_token_counts_for_longer() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    let mut lamp = connect(&host, "lamp-1", &token(&key));
    give_end(&host, "lamp-1", 3_600_000);
    lamp.event("still there");
    give_end(&host, "lamp-1", 500);
    lamp.ended();
    Device::refused(host.mqtt(), Session::with_secret("lamp-1", &token(&key)));
    host.stop();
}

#[test]
fn what_an_operator_takes_away_ends_the_live_connection_and_a_restart_does_not_bring_it_back() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let admin = host.admin();
    let keys: Vec<_> =
        ["blocked", "keyless", "deleted", "untouched"].map(|id| registered(&host, &host_folder, id)).into();
    let will = Some(LastWill::new("/devices/blocked/events", "gone", QoS::AtLeastOnce, false));
    let session = Session { will, ..Session::with_secret("blocked", &token(&keys[0])) };
    let blocked = Device::connect(host.mqtt(), session);
    let keyless = connect(&host, "keyless", &token(&keys[1]));
    let deleted = connect(&host, "deleted", &token(&keys[2]));
    let mut untouched = connect(&host, "untouched", &token(&keys[3]));

    let _ = host.cli(&host_folder, &["device", "block", "blocked"]);
    blocked.ended();
    let _ = host.cli(&host_folder, &["device", "credential", "remove", "keyless", "1"]);
    keyless.ended();
    let _ = host.cli(&host_folder, &["device", "delete", "deleted"]);
    deleted.ended();
    untouched.event("still there");
    let events = admin.get("/v1/events").ok();
    assert!(!events.to_string().contains("Z29uZQ"), "the will of a blocked device was published: {events}");

    host.kill();
    let host = host_folder.start_with(CLOSED);
    for (id, key) in ["blocked", "keyless", "deleted"].into_iter().zip(&keys) {
        Device::refused(host.mqtt(), Session::with_secret(id, &token(key)));
    }
    drop(connect(&host, "untouched", &token(&keys[3])));
    let _ = host.cli(&host_folder, &["device", "unblock", "blocked"]);
    drop(connect(&host, "blocked", &token(&keys[0])));
    host.stop();
}
