//! Symmetric keys, policies and shared access signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use switchbox_azure::{ConnectionString, Policy, connection_string::Identity, sas};
use switchbox_tests::{Admin, CLOSED, Device, HostFolder, Process, Session, now};

const HUB: &str = "hub.example";

/// The key in what the command line prints.
fn key(connection_string: &str) -> Vec<u8> {
    STANDARD.decode(ConnectionString::parse(connection_string.trim()).unwrap().key.unwrap()).unwrap()
}

fn connection_string(host: &Process, host_folder: &HostFolder, more: &[&str]) -> String {
    host.cli(host_folder, &[&["hub", "connection-string", "--host-name", HUB], more].concat())
}

fn session(id: &str, token: &str) -> Session {
    Session { user: format!("{HUB}/{id}/?api-version=2021-04-12"), ..Session::with_secret(id, token) }
}

#[test]
fn a_device_is_accepted_with_either_of_its_keys_or_a_policy_and_the_log_says_why_another_is_refused() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let printed = host.cli(&host_folder, &["device", "create", "lamp-1", "--sas"]);
    assert!(printed.contains("HostName=localhost;DeviceId=lamp-1;SharedAccessKey="), "{printed}");
    let _ = host.cli(&host_folder, &["device", "create", "bare-1"]);
    let of_device = |which: &str| key(&connection_string(&host, &host_folder, &["--device", "lamp-1", "--key", which]));
    let of_policy = |policy: &str| key(&connection_string(&host, &host_folder, &["--policy", policy]));
    let (primary, secondary) = (of_device("primary"), of_device("secondary"));
    let resource = format!("{HUB}/devices/lamp-1");
    let later = now() + 3_600;
    for token in [
        sas::sign(&resource, &primary, later, None),
        sas::sign(&resource, &secondary, later, None),
        sas::sign(HUB, &of_policy("iothubowner"), later, Some(Policy::Owner)),
        sas::sign(&format!("{HUB}/devices"), &of_policy("device"), later, Some(Policy::Device)),
    ] {
        drop(Device::connect(host.mqtt(), session("lamp-1", &token)));
    }
    for (session, logged) in [
        (session("lamp-1", &sas::sign(&resource, b"another key", later, None)), "not made by either of its two keys"),
        (session("lamp-1", &sas::sign(&resource, &primary, now() - 60, None)), "expired"),
        (session("lamp-1", &sas::sign("other.example/devices/lamp-1", &primary, later, None)), "another hub"),
        (session("lamp-1", &sas::sign(&format!("{HUB}/devices/lamp-2"), &primary, later, None)), "another hub"),
        (session("lamp-1", &sas::sign(HUB, &primary, later, None)), "another hub"),
        (session("lamp-1", &sas::sign(HUB, &of_policy("service"), later, Some(Policy::Service))), "does not allow"),
        (
            session("lamp-1", &sas::sign(HUB, &primary, later, Some(Policy::Owner))),
            "not made by either of its two keys",
        ),
        (session("lamp-1", "SharedAccessSignature sr=x"), "has no sig"),
        (
            Session {
                user: format!("{HUB}/lamp-1/"),
                ..session("lamp-1", &sas::sign(&resource, &primary, later, None))
            },
            "needs the user name",
        ),
        (session("bare-1", &sas::sign(&format!("{HUB}/devices/bare-1"), &primary, later, None)), "no symmetric key"),
        (session("lamp-9", &sas::sign(&format!("{HUB}/devices/lamp-9"), &primary, later, None)), "is not registered"),
        (Session { client_id: "lamp-2".into(), ..session("lamp-1", "x") }, "is that of"),
        (
            Session { user: format!("{HUB}/lamp-1/arm/?api-version=1"), ..Session::with_secret("lamp-1/arm", "x") },
            "modules are not in this version",
        ),
    ] {
        assert!(Device::refused(host.mqtt(), session).contains("NotAuthorized"));
        host.logged(&["refused", logged]);
    }
    for secret in [&primary, &secondary] {
        assert!(!host.log().contains(&STANDARD.encode(secret)), "a key is in the log");
        let shown = host.admin().get(&Admin::device_path("lamp-1", "")).ok();
        assert!(shown["hasSymmetricKeys"] == true && !shown.to_string().contains(&STANDARD.encode(secret)), "{shown}");
    }
    host.stop();
}

#[test]
fn keys_outlive_a_kill_and_a_connection_ends_with_its_token_or_its_key() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1", "--sas"]);
    let before = connection_string(&host, &host_folder, &["--device", "lamp-1"]);
    let owner = connection_string(&host, &host_folder, &[]);
    assert!(matches!(ConnectionString::parse(owner.trim()).unwrap().identity, Identity::Policy(Policy::Owner)));
    host.kill();

    let host = host_folder.start_with(CLOSED);
    assert_eq!(connection_string(&host, &host_folder, &["--device", "lamp-1"]), before);
    assert_eq!(connection_string(&host, &host_folder, &[]), owner);
    let token = |key: &[u8], secs, policy| sas::sign(&format!("{HUB}/devices/lamp-1"), key, now() + secs, policy);
    let brief = Device::connect(host.mqtt(), session("lamp-1", &token(&key(&before), 3, None)));
    brief.ended();
    host.logged(&["expired"]);

    let lamp = Device::connect(host.mqtt(), session("lamp-1", &token(&key(&before), 3_600, None)));
    let after = connection_string(&host, &host_folder, &["--device", "lamp-1", "--new-key"]);
    assert_ne!(after, before);
    lamp.ended();
    assert!(
        Device::refused(host.mqtt(), session("lamp-1", &token(&key(&before), 3_600, None))).contains("NotAuthorized")
    );

    let lamp = Device::connect(host.mqtt(), session("lamp-1", &token(&key(&owner), 3_600, Some(Policy::Owner))));
    let _ = connection_string(&host, &host_folder, &["--new-key"]);
    lamp.ended();
    host.stop();
}

#[test]
fn a_host_name_is_a_registry() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&[CLOSED, &["--azure-hubs", "hall.example=hall"]].concat());
    let _ = host.cli(&host_folder, &["registry", "create", "hall"]);
    let printed = host.cli(&host_folder, &["device", "create", "hall/lamp-1", "--sas"]);
    let found = printed.lines().last().unwrap();
    assert!(found.starts_with("HostName=hall.example;DeviceId=lamp-1;"), "{printed}");
    let token = |hub: &str| sas::sign(&format!("{hub}/devices/lamp-1"), &key(found), now() + 60, None);
    let user = |hub: &str| format!("{hub}/lamp-1/?api-version=2021-04-12");
    let at = |hub: &str| Session { user: user(hub), ..Session::with_secret("lamp-1", &token(hub)) };
    drop(Device::connect(host.mqtt(), at("HALL.example")));
    assert!(Device::refused(host.mqtt(), at("other.example")).contains("NotAuthorized"));
    host.stop();
}
