//! How soon what an operator takes away is gone from a live connection: from before the call of the admin API until the client
//! knows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchbox_tests::{Admin, CLOSED, Device, HostFolder, Process, Session, registered, token};

use crate::Times;

struct Setup {
    host_folder: HostFolder,
    host: Process,
}

impl Setup {
    fn patch(&self, path: &str, field: &str, value: Value) {
        let mut body = json!({});
        body[field] = value;
        let _ = self.host.admin().patch(&format!("{path}?updateMask={field}"), &body).ok();
    }

    /// How long after the call began the client was closed.
    fn ended(&self, client: &Device, path: &str, field: &str, value: Value) -> Duration {
        let began = Instant::now();
        self.patch(path, field, value);
        client.wait("its end", |seen| seen.ended.clone());
        began.elapsed()
    }

    fn print(&self, what: &str, rounds: usize, once: impl FnMut(usize) -> Duration) {
        let times = Times::sorted((0..rounds).map(once).collect());
        println!("{what:44} {}", times.shown());
    }
}

pub(crate) fn run(rounds: usize) {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let setup = Setup { host_folder, host };
    println!("{:44} p50, p99, most µs, of {rounds}", "");
    of_a_device(&setup, rounds);
    of_an_account(&setup, rounds);
    of_a_gateway(&setup, rounds);
    setup.host.stop();
}

fn of_a_device(setup: &Setup, rounds: usize) {
    let secret = token(&registered(&setup.host, &setup.host_folder, "lamp"));
    let path = Admin::device_path("lamp", "");
    let credentials = setup.host.admin().get(&path).ok()["credentials"].take();
    let connect = || Device::connect(setup.host.mqtt(), Session::with_secret("lamp", &secret));
    setup.print("a device is blocked", rounds, |_| {
        let took = setup.ended(&connect(), &path, "blocked", true.into());
        setup.patch(&path, "blocked", false.into());
        took
    });
    setup.print("its key is removed", rounds, |_| {
        let took = setup.ended(&connect(), &path, "credentials", json!([]));
        setup.patch(&path, "credentials", credentials.clone());
        took
    });
}

fn of_an_account(setup: &Setup, rounds: usize) {
    let _ = setup.host.cli(&setup.host_folder, &["service", "create", "siren", "--subscribe", "a/#"]);
    let password = setup.host.cli(&setup.host_folder, &["service", "password", "siren"]);
    let path = "/v1/serviceAccounts/siren";
    setup.print("an account's list loses what it subscribes to", rounds, |_| {
        let mut siren = Device::connect(setup.host.mqtt(), Session::of_service("siren", "program", &password));
        assert!(siren.subscribe("a/#"));
        let took = setup.ended(&siren, path, "subscribe", json!(["b"]));
        setup.patch(path, "subscribe", json!(["a/#"]));
        took
    });
}

fn of_a_gateway(setup: &Setup, rounds: usize) {
    let secret = token(&registered(&setup.host, &setup.host_folder, "hub"));
    let _ = registered(&setup.host, &setup.host_folder, "behind");
    let _ = setup.host.cli(&setup.host_folder, &["gateway", "make", "hub", "--auth", "association-only"]);
    let verb = |verb: &str| {
        let devices = Admin::device_path("", "");
        let registry = devices.trim_end_matches("/devices/");
        let _ = setup
            .host
            .admin()
            .post(&format!("{registry}:{verb}"), &json!({"gatewayId": "hub", "deviceId": "behind"}))
            .ok();
    };
    setup.print("a device is unbound from its gateway", rounds, |_| {
        verb("bindDeviceToGateway");
        let mut hub = Device::connect(setup.host.mqtt(), Session::with_secret("hub", &secret));
        assert!(hub.subscribe("/devices/hub/errors"));
        hub.publish("/devices/behind/attach", "");
        let began = Instant::now();
        verb("unbindDeviceFromGateway");
        let _ = hub.message("the detachment", |message| message.text().contains("GATEWAY_DETACHMENT_DEVICE_ERROR"));
        began.elapsed()
    });
}
