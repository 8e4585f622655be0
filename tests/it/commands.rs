//! Commands with a real client: they wait for their device, come in order, once where they are acknowledged and again
//! where they are not, and end as the rules say; also when the host is killed meanwhile.

use serde_json::{Value, json};
use switchbox_support::clock;
use switchbox_tests::{Admin, Device, HostFolder, Message, Process, SCRIPTED, Session, until};

const LONG: &str = "600s";

/// Sends a command; its id.
fn send(admin: &Admin, device: &str, payload: &str, ttl: &str) -> String {
    let body = json!({"binaryData": base64(payload), "ttl": ttl});
    let answer = admin.post(&Admin::device_path(device, ":sendCommandToDevice"), &body).ok();
    answer["id"].as_str().expect("no id").to_owned()
}

/// Of text without padding to be cared for: enough for the API.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|n| DIGITS[(word >> (18 - 6 * n) & 63) as usize] as char));
    }
    out
}

fn command(admin: &Admin, device: &str, id: &str) -> Value {
    admin.get(&Admin::device_path(device, &format!("/commands/{id}"))).ok()
}

fn wait_status(admin: &Admin, device: &str, id: &str, status: &str) -> Value {
    until(&format!("{id} to be {status}"), || {
        Some(command(admin, device, id)).filter(|found| found["status"] == status)
    })
}

/// Registers the device by letting it in once.
fn known(host: &Process, device: &str) {
    drop(host.device(device));
}

fn subscribed(host: &Process, session: Session) -> Device {
    let mut device = Device::connect(host.mqtt(), session);
    let filter = format!("/devices/{}/commands/#", device.id);
    assert!(device.subscribe(&filter), "{filter} was refused");
    device
}

fn texts(device: &Device, count: usize) -> Vec<String> {
    device.wait(&format!("{count} commands"), |seen| {
        (seen.messages.len() >= count).then(|| seen.messages.iter().map(Message::text).collect())
    })
}

#[test]
fn commands_wait_for_their_device_in_order_through_a_kill_and_come_once() {
    const COUNT: usize = 100;
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    known(&host, "lamp-1");
    let admin = host.admin();
    let ids: Vec<_> = (0..COUNT).map(|n| send(&admin, "lamp-1", &n.to_string(), LONG)).collect();
    assert_eq!(command(&admin, "lamp-1", &ids[0])["status"], "queued");
    host.kill();

    let host = host_folder.start();
    let lamp = subscribed(&host, Session::new("lamp-1"));
    assert_eq!(texts(&lamp, COUNT), (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(lamp.seen().messages.iter().all(|message| !message.dup), "none was sent before");
    let last = wait_status(&host.admin(), "lamp-1", &ids[COUNT - 1], "acknowledged");
    let times = last["times"].as_object().unwrap();
    assert_eq!(times.keys().collect::<Vec<_>>(), ["acknowledged", "queued", "sent"]);
    until("all to be acknowledged", || {
        let open = |status: &str| {
            let page = host.admin().get(&Admin::device_path("lamp-1", &format!("/commands?status={status}"))).ok();
            page["commands"].as_array().unwrap().len()
        };
        (open("queued") + open("sent") == 0).then_some(())
    });
    drop(lamp);
    host.kill();

    let host = host_folder.start();
    let lamp = subscribed(&host, Session::new("lamp-1"));
    send(&host.admin(), "lamp-1", "next", LONG);
    assert_eq!(texts(&lamp, 1), ["next"], "what was acknowledged came again");
    host.stop();
}

#[test]
fn a_time_to_live_runs_while_the_host_is_down() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    known(&host, "lamp-1");
    let admin = host.admin();
    let id = send(&admin, "lamp-1", "too late", "0.5s");
    let sent = clock::now_ms();
    host.kill();
    until("the command's time to be over", || (clock::now_ms() > sent + 500).then_some(()));

    let host = host_folder.start();
    let lamp = subscribed(&host, Session::new("lamp-1"));
    let admin = host.admin();
    send(&admin, "lamp-1", "in time", LONG);
    assert_eq!(texts(&lamp, 1), ["in time"]);
    let found = command(&admin, "lamp-1", &id);
    assert_eq!(found["status"], "expired", "{found}");
    assert!(found["times"]["sent"].is_null(), "{found}");
    host.stop();
}

#[test]
fn what_is_not_acknowledged_comes_again_with_dup_whatever_becomes_of_session_and_host() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    known(&host, "lamp-1");
    let id = send(&host.admin(), "lamp-1", "blink", LONG);
    let silent = |clean| Session { acknowledges: false, clean, ..Session::new("lamp-1") };

    // A clean session does not contain it; the host does.
    let lamp = subscribed(&host, silent(true));
    assert!(!lamp.message_with("blink").dup);
    drop(lamp);
    let lamp = subscribed(&host, silent(true));
    assert!(lamp.message_with("blink").dup);
    drop(lamp);

    // A kept session sends it under the same packet id, before any subscription.
    let lamp = subscribed(&host, silent(false));
    let first = lamp.message_with("blink");
    drop(lamp);
    let lamp = Device::connect(host.mqtt(), silent(false));
    let again = lamp.message_with("blink");
    assert!(again.dup && again.packet_id == first.packet_id, "{first:?}, then {again:?}");
    assert_eq!(command(&host.admin(), "lamp-1", &id)["status"], "sent");
    drop(lamp);
    host.kill();

    let host = host_folder.start();
    let lamp = subscribed(&host, Session { clean: false, ..Session::new("lamp-1") });
    assert!(lamp.message_with("blink").dup);
    wait_status(&host.admin(), "lamp-1", &id, "acknowledged");
    send(&host.admin(), "lamp-1", "next", LONG);
    assert_eq!(texts(&lamp, 2), ["blink", "next"], "it came more than once on one connection");
    host.stop();
}

#[test]
fn a_cancelled_command_does_not_come() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    known(&host, "lamp-1");
    let admin = host.admin();
    let ids: Vec<_> = (0..4).map(|n| send(&admin, "lamp-1", &n.to_string(), LONG)).collect();
    let _ = admin.delete(&Admin::device_path("lamp-1", &format!("/commands/{}", ids[1]))).ok();
    let lamp = subscribed(&host, Session { acknowledges: false, ..Session::new("lamp-1") });
    assert_eq!(texts(&lamp, 3), ["0", "2", "3"]);
    drop(lamp);
    assert_eq!(admin.delete(&Admin::device_path("lamp-1", "/commands")).ok()["purged"], 3);
    let lamp = subscribed(&host, Session::new("lamp-1"));
    send(&admin, "lamp-1", "next", LONG);
    assert_eq!(texts(&lamp, 1), ["next"]);
    assert!(ids.iter().all(|id| command(&admin, "lamp-1", id)["status"] == "purged"));
    host.stop();
}

#[test]
fn a_full_queue_is_reported_to_operators_and_plugins() {
    let host_folder = HostFolder::new();
    let settings = host_folder.root().join("settings.toml");
    let data = host_folder.data().display().to_string();
    let plugins = host_folder.plugins().display().to_string();
    let text = format!(
        "data = {data:?}\n[plugins]\nfolder = {plugins:?}\n[mqtt]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[devices]\nqueued-commands = 2\n"
    );
    std::fs::write(&settings, text).unwrap();
    host_folder.plugin("sender.wasm", std::fs::read(SCRIPTED).unwrap());
    host_folder.plugin(
        "sender.toml",
        format!("{SLOW}[settings]\nactions = [{{command = {{device = \"lamp-1\", ttl-ms = 600000}}}}]\n"),
    );
    let mut host = Process::run(&host_folder, ["serve".as_ref(), "--settings".as_ref(), settings.as_os_str()]);
    host.wait_ready();
    known(&host, "lamp-1");
    let admin = host.admin();
    let mut switch = host.device("switch-1");
    switch.event("by a plugin");
    until("the plugin's command", || {
        let page = admin.get(&Admin::device_path("lamp-1", "/commands")).ok();
        (page["commands"].as_array().unwrap().len() == 1).then_some(())
    });
    send(&admin, "lamp-1", "by an operator", LONG);
    let body = json!({"binaryData": "", "ttl": LONG});
    let refused = admin.post(&Admin::device_path("lamp-1", ":sendCommandToDevice"), &body);
    assert_eq!(refused.body["error"]["status"], "RESOURCE_EXHAUSTED", "{refused:?}");
    switch.event("one too many");
    let dead_letter = until("the dead letter", || admin.dead_letters().pop());
    assert!(dead_letter["error"].as_str().unwrap().contains("queued-commands"), "{dead_letter}");
    let lamp = subscribed(&host, Session::new("lamp-1"));
    assert_eq!(texts(&lamp, 2), ["by a plugin", "by an operator"]);
    host.stop();
}

/// A busy machine may stop a guest for longer than it may work.
const SLOW: &str = "[limits]\ndeadline = \"30s\"\n";

#[test]
fn a_command_comes_with_dup_after_a_kill_in_the_moment_in_which_it_was_sent() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    known(&host, "lamp-1");
    host.stop();
    let silent = || Session { acknowledges: false, ..Session::new("lamp-1") };
    for round in 0..5 {
        let (host, text) = (host_folder.start(), format!("blink {round}"));
        let lamp = subscribed(&host, silent());
        send(&host.admin(), "lamp-1", &text, LONG);
        assert!(!lamp.message_with(&text).dup, "{text}");
        host.kill();
        // That it is in doubt is remembered by a host that dies before it can send it.
        host_folder.start().kill();

        let host = host_folder.start();
        send(&host.admin(), "lamp-1", &format!("after {round}"), LONG);
        let lamp = subscribed(&host, Session::new("lamp-1"));
        assert!(lamp.message_with(&text).dup, "{text} came before");
        assert!(!lamp.message_with(&format!("after {round}")).dup, "it was never sent before");
        host.stop();
    }
}

#[test]
fn a_plugin_gets_the_end_of_every_command_once_through_a_kill() {
    let host_folder = HostFolder::new();
    host_folder.plugin("listener.wasm", std::fs::read(SCRIPTED).unwrap());
    let trigger = "[[trigger]]\nevent = \"command-settled\"\ndevice = \"lamp-*\"\n";
    let report = "[settings]\nactions = [{report-settled = {device = \"report\"}}]\n";
    host_folder.plugin("listener.toml", format!("{trigger}{SLOW}{report}"));
    let host = host_folder.start();
    known(&host, "report");
    known(&host, "lamp-1");
    let admin = host.admin();
    let purged = send(&admin, "lamp-1", "0", LONG);
    let _ = admin.delete(&Admin::device_path("lamp-1", &format!("/commands/{purged}"))).ok();
    let expired = send(&admin, "lamp-1", "1", "0.01s");
    wait_status(&admin, "lamp-1", &expired, "expired");
    let acknowledged = send(&admin, "lamp-1", "2", LONG);
    let lamp = subscribed(&host, Session::new("lamp-1"));
    lamp.message_with("2");
    wait_status(&admin, "lamp-1", &acknowledged, "acknowledged");
    host.kill();

    let host = host_folder.start();
    let reports = until("all to be reported", || {
        let mut page = host.admin().get(&Admin::device_path("report", "/configVersions")).ok();
        let versions: Vec<Value> = serde_json::from_value(page["deviceConfigs"].take()).unwrap_or_default();
        (versions.len() >= 3).then_some(versions)
    });
    let texts: Vec<_> = reports.iter().rev().map(|report| report["binaryData"].as_str().unwrap().to_owned()).collect();
    let expect = [(purged, "purged"), (expired, "expired"), (acknowledged, "acknowledged")];
    assert_eq!(
        texts.iter().map(|text| text.trim_end_matches('=')).collect::<Vec<_>>(),
        expect.map(|(id, status)| base64(&format!("lamp-1 {id} {status}")))
    );
    host.stop();
}
