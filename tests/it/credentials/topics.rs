//! What an accepted device may do: its own topics, also in its kept session and its will.

use super::*;

#[test]
fn a_device_has_its_own_topics_and_no_others() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let (one, two) = (registered(&host, &host_folder, "lamp-1"), registered(&host, &host_folder, "lamp-2"));
    let mut lamp = connect(&host, "lamp-1", &token(&one));
    for (filter, granted) in [
        ("/devices/lamp-1/config", true),
        ("/devices/lamp-1/commands/#", true),
        ("/devices/lamp-2/config", false),
        ("#", false),
        ("+/+/+/config", false),
        ("ordinary", false),
        ("$SYS/#", false),
    ] {
        assert_eq!(lamp.subscribe(filter), granted, "{filter}");
    }
    let _ = lamp.send("ordinary", QoS::AtLeastOnce, "x");
    lamp.ended();
    let retained = Some(LastWill::new("ordinary", "x", QoS::AtLeastOnce, true));
    Device::refused(host.mqtt(), Session { will: retained, ..Session::with_secret("lamp-2", &token(&two)) });
    host.stop();
}

#[test]
fn a_kept_session_loses_what_closed_enrolment_does_not_allow_any_more() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let key = registered(&host, &host_folder, "lamp-1");
    let kept = || Session { clean: false, ..Session::with_secret("lamp-1", &token(&key)) };
    let mut lamp = Device::connect(host.mqtt(), kept());
    assert!(lamp.subscribe("news"));
    drop(lamp);
    host.device("reporter").publish("news", "queued while enrolment was open");
    host.stop();

    let host = host_folder.start_with(CLOSED);
    let _ = host.cli(&host_folder, &["service", "create", "reporter", "--publish", "news"]);
    let password = host.cli(&host_folder, &["service", "password", "reporter"]);
    let mut lamp = Device::connect(host.mqtt(), kept());
    let mut reporter = Device::connect(host.mqtt(), Session::of_service("reporter", "r", &password));
    reporter.publish("news", "with closed enrolment");
    lamp.subscribe_config();
    let _ = host
        .admin()
        .post(&Admin::device_path("lamp-1", ":modifyCloudToDeviceConfig"), &json!({"binaryData": "b24="}))
        .ok();
    lamp.message_with("on");
    let got = lamp.seen().messages.iter().map(|message| message.topic.clone()).collect::<Vec<_>>();
    assert_eq!(got, ["/devices/lamp-1/config"]);
    host.stop();
}

#[test]
fn a_will_that_closed_enrolment_does_not_allow_any_more_is_not_published_after_the_start() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let key = registered(&host, &host_folder, "lamp-1");
    let _ = host.cli(&host_folder, &["service", "create", "reporter", "--publish", "news", "--subscribe", "news"]);
    let password = host.cli(&host_folder, &["service", "password", "reporter"]);
    let reporter = Session { clean: false, ..Session::of_service("reporter", "r", &password) };
    let mut watcher = Device::connect(host.mqtt(), reporter.clone());
    assert!(watcher.subscribe("news"));
    let will = |topic: &str| Some(LastWill::new(topic, "a will", QoS::AtLeastOnce, false));
    let signed = token(&key);
    let news = Device::connect(host.mqtt(), Session { will: will("news"), ..Session::with_secret("lamp-1", &signed) });
    host.kill();
    drop((news, watcher));

    let host = host_folder.start_with(CLOSED);
    host.logged(&["lamp-1", "news", "the will is not published"]);
    let mut watcher = Device::connect(host.mqtt(), reporter);
    watcher.publish("news", "the first that is");
    watcher.message_with("the first that is");
    assert_eq!(watcher.seen().messages.len(), 1);
    host.stop();
}

#[test]
fn a_deleted_device_takes_its_kept_session_with_it() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let kept = |id: &str| Device::connect(host.mqtt(), Session { clean: false, ..Session::new(id) });
    let (mut away, mut there, mut stays) = (kept("away"), kept("there"), kept("stays"));
    for device in [&mut away, &mut there, &mut stays] {
        assert!(device.subscribe("news"));
    }
    drop(away);
    for id in ["away", "there"] {
        let _ = host.cli(&host_folder, &["device", "delete", id]);
    }
    there.ended();
    drop(stays);
    host.stop();
    let (journal, loaded) = Journal::open(&host_folder);
    let sessions: Vec<_> = loaded.broker.sessions.into_iter().map(|session| session.key).collect();
    assert_eq!(sessions, [SessionKey::Device(journal.device("stays"))]);
}
