//! Files that devices upload: with the public SDKs, and by calls that none of them makes.

use std::{fs, path::PathBuf, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use switchbox_azure::sas;
use switchbox_tests::{Admin, HostFolder, is_available, now, runs, until, workspace};

use super::{
    https::{curl, key},
    sdk::{Hub, Program},
};

const API: &str = "api-version=2021-04-12";
const MEBIBYTE: usize = 1024 * 1024;

fn python(hub: &Hub, connection_string: &str) -> Option<Program> {
    let python = workspace().join(".ci/tools/azure/bin/python");
    let import = ["-c", "import azure.iot.device, azure.storage.blob"];
    if !is_available("azure-storage-blob for Python", runs(Command::new(&python).args(import))) {
        return None;
    }
    let mut command = Command::new(python);
    command.arg(workspace().join("tests/clients/azure_files.py")).env("REQUESTS_CA_BUNDLE", &hub.authority);
    Some(Program::start(command.args([&hub.authority, connection_string.trim()])))
}

fn node(hub: &Hub, transport: &str, connection_string: &str) -> Option<Program> {
    let folder = workspace().join(".ci/tools/node");
    if !is_available("azure-iot-device for Node", folder.join("node_modules/azure-iot-device-mqtt").exists()) {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_files.cjs"));
    command.env("NODE_CLIENTS", folder).env("NODE_EXTRA_CA_CERTS", &hub.authority);
    Some(Program::start(command.args([transport, &hub.authority, connection_string.trim()])))
}

/// The files of a device on the disk.
fn folder(host_folder: &HostFolder, device: &str) -> PathBuf {
    host_folder.data().join("files/local/local/default").join(device)
}

fn registry_path(rest: &str) -> String {
    Admin::device_path("x", "").replace("/devices/x", rest)
}

/// What the host says of files that were uploaded, oldest first.
fn uploads(admin: &Admin) -> Vec<Value> {
    let shown = admin.get("/v1/events?kind=telemetry&pageSize=100").ok();
    let of_files =
        shown["events"].as_array().unwrap().iter().rev().filter(|event| event["subfolder"] == "$file-uploaded");
    of_files
        .map(|event| serde_json::from_slice(&STANDARD.decode(event["binaryData"].as_str().unwrap()).unwrap()).unwrap())
        .collect()
}

#[test]
fn python_uploads_files_whole_and_in_blocks() {
    let Some(hub) = Hub::over_https(&["--files-device-bytes", "8MiB"]) else { return };
    // It moves another device when a file came; the relay, which is triggered by all telemetry, sees none of it.
    let action = "{ config = { device = \"sink-1\" } }";
    switchbox_tests::subfolder_plugin(&hub.host_folder, "on-file", ("azure-*", "$file-uploaded"), action);
    let admin = hub.host.admin();
    admin.wait_plugin("on-file", "to run", |plugin| plugin["state"] == "running");
    let Some(program) = python(&hub, &hub.connection_string("azure-1")) else { return };
    program.wait_for_line("ended", |_| true);
    let named = |what: &'static str, name: &'static str| program.wait_for_line(what, move |line| line["name"] == name);
    for name in ["whole.txt", "logs/2026/a b.bin", "checked.txt", "empty"] {
        let uploaded = named("uploaded", name);
        assert!(uploaded["etag"].as_str().unwrap().starts_with("\"0x"), "{uploaded}");
        assert!(uploaded["modified"].as_str().unwrap().starts_with("20"), "{uploaded}");
    }
    let refused = named("refused", "whole.txt");
    assert_eq!((&refused["status"], &refused["code"]), (&json!(409), &json!("BlobAlreadyExists")), "{refused}");
    assert_eq!(program.count(|line| line["name"] == "large.bin" && line["status"] == 413), 2, "{refused}");

    let files = folder(&hub.host_folder, "azure-1");
    assert_eq!(fs::read(files.join("whole.txt")).unwrap(), b"second");
    let large: Vec<u8> = (0..=255u8).cycle().take(4 * MEBIBYTE).collect();
    assert_eq!(fs::read(files.join("logs%2F2026%2Fa%20b.bin")).unwrap(), large);
    let in_blocks = uploads(&admin).into_iter().find(|upload| upload["file"] == "logs/2026/a b.bin").unwrap();
    let expect = json!({"file": "logs/2026/a b.bin", "bytes": 4 * MEBIBYTE, "contentType": "text/csv",
                        "metadata": {"room": "hall"}});
    assert_eq!(in_blocks, expect);
    let names: Vec<_> = uploads(&admin).iter().map(|upload| upload["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["whole.txt", "logs/2026/a b.bin", "checked.txt", "whole.txt", "empty"]);
    until("the config of sink-1", || {
        let sink = admin.get(&Admin::device_path("sink-1", "")).ok();
        let config = STANDARD.decode(sink["config"]["binaryData"].as_str()?).ok()?;
        let config = serde_json::from_slice::<Value>(&config).ok()?;
        (config["file"] == "empty" && config["bytes"] == 0).then_some(())
    });
    assert!(admin.dead_letters().is_empty(), "the relay saw it");
    let left = fs::read_dir(hub.host_folder.data().join("uploads")).unwrap().count();
    assert_eq!(left, 0, "parts of uploads that have ended are there");

    operate(&hub, &large);
    hub.host.stop();
}

/// What an operator does with the files.
fn operate(hub: &Hub, large: &[u8]) {
    let cli = |arguments: &[&str]| hub.host.cli(&hub.host_folder, arguments);
    let shown = cli(&["file", "list", "azure-1"]);
    assert!(shown.contains("logs/2026/a b.bin") && shown.contains("4194304"), "{shown}");
    let to = hub.host_folder.root().join("fetched").display().to_string();
    let fetched = cli(&["file", "get", "azure-1", "logs/2026/a b.bin", "--to", &to]);
    assert!(fetched.contains("4194304 bytes"), "{fetched}");
    assert_eq!(fs::read(&to).unwrap(), large);
    let admin = hub.host.admin();
    let first = admin.get(&registry_path("/files?pageSize=2")).ok();
    let next = first["nextPageToken"].as_str().unwrap().to_owned();
    assert_eq!(first["files"][1]["name"], "empty", "{first}");
    let rest = admin.get(&registry_path(&format!("/files?pageSize=2&pageToken={}", next.replace('/', "%2F")))).ok();
    assert_eq!(rest["files"][0]["name"], "logs/2026/a b.bin", "{rest}");
    assert!(rest["nextPageToken"].is_null(), "{rest}");
    let _ = cli(&["file", "delete", "azure-1", "logs/2026/a b.bin"]);
    assert!(!cli(&["file", "list"]).contains("a b.bin"));
    let gone = admin.get(&Admin::device_path("azure-1", "/files/logs%2F2026%2Fa%20b.bin"));
    assert_eq!(gone.status, 404);
    let backup = hub.host_folder.root().join("backup");
    let data = hub.host_folder.data().display().to_string();
    let _ = cli(&["backup", &backup.display().to_string(), "--data", &data]);
    assert_eq!(fs::read(backup.join("files/local/local/default/azure-1/whole.txt")).unwrap(), b"second");
}

#[test]
fn node_uploads_files_over_mqtt_and_https() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let identity = hub.connection_string("azure-1");
    for transport in ["mqtt", "http"] {
        let Some(program) = node(&hub, transport, &identity) else { return };
        program.wait_for_line("ended", |_| true);
        let files = folder(&hub.host_folder, "azure-1");
        assert_eq!(fs::read(files.join(format!("{transport}.txt"))).unwrap(), b"hello");
        assert_eq!(fs::read(files.join(format!("{transport}%2Flarge.bin"))).unwrap(), vec![7; 9 * MEBIBYTE]);
    }
    hub.host.stop();
}

/// A device that asks for an address by hand.
pub(super) struct Uploader<'a> {
    hub: &'a Hub,
    authorization: String,
}

impl<'a> Uploader<'a> {
    pub(super) fn new(hub: &'a Hub, connection_string: &str) -> Self {
        let resource = format!("{}/devices/azure-1", hub.name);
        let token = sas::sign(&resource, &key(connection_string), now() + 7_200, None);
        Self { hub, authorization: format!("Authorization: {token}") }
    }

    fn call(&self, path: &str, body: &Value) -> String {
        let path = format!("/devices/azure-1/files{path}?{API}");
        curl(self.hub, "POST", &path, &[&self.authorization], &body.to_string(), &[])
    }

    /// The path of the upload's address, and its id.
    pub(super) fn begin(&self, name: &str) -> (String, String) {
        let answer = self.call("", &json!({"blobName": name}));
        let (body, status) = answer.rsplit_once('\n').unwrap();
        assert_eq!(status, "200", "{answer}");
        let upload: Value = serde_json::from_str(body).unwrap();
        let text = |field: &str| upload[field].as_str().unwrap().to_owned();
        assert_eq!(text("hostName"), self.hub.name);
        (format!("/{}/{}{}", text("containerName"), text("blobName"), text("sasToken")), text("correlationId"))
    }

    pub(super) fn put(&self, path: &str, body: &str) -> String {
        curl(self.hub, "PUT", path, &["x-ms-blob-type: BlockBlob"], body, &[])
    }
}

#[test]
fn an_address_is_for_one_file_and_for_an_hour() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let device = Uploader::new(&hub, &hub.connection_string("azure-1"));
    for name in ["", "..", "a/../../b", "/etc/passwd", "a\u{0}b", &"x".repeat(300)] {
        let answer = device.call("", &json!({"blobName": name}));
        assert!(answer.ends_with("400") && answer.contains("blobName"), "{name:?}: {answer}");
    }
    let (path, id) = device.begin("a");
    assert!(device.put(&path, "x").ends_with("201"));
    for wrong in [
        path.replace("/a?", "/b?"),
        path.replace("azure-1", "azure-2"),
        path.replace("sp=w", "sp=rwd"),
        path.replace("se=20", "se=21"),
        path.replace("si=", "si=0"),
        path.split("&sig=").next().unwrap().to_owned(),
        format!("/_files/azure-1/..%2F..%2F..%2Fstate.db?{}", path.split_once('?').unwrap().1),
    ] {
        let answer = device.put(&wrong, "x");
        assert!(answer.ends_with("403"), "{wrong}: {answer}");
        blob("AuthenticationFailed", &answer);
    }
    for method in ["GET", "DELETE"] {
        let answer = curl(&hub, method, &path, &[], "", &[]);
        assert!(answer.ends_with("403"), "{answer}");
        blob("AuthorizationPermissionMismatch", &answer);
    }
    let with = |headers: &[&str]| curl(&hub, "PUT", &path, headers, "x", &[]);
    blob("UnsupportedHeader", &with(&["x-ms-blob-type: AppendBlob"]));
    blob("UnsupportedHeader", &with(&["x-ms-blob-type: BlockBlob", "x-ms-copy-source: http://127.0.0.1/x"]));
    blob("UnsupportedHeader", &with(&["x-ms-blob-type: BlockBlob", "x-ms-content-crc64: AAAAAAAAAAA="]));
    blob("Md5Mismatch", &with(&["x-ms-blob-type: BlockBlob", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="]));
    blob(
        "InvalidBlockList",
        &device.put(&format!("{path}&comp=blocklist"), "<BlockList><Latest>YQ==</Latest></BlockList>"),
    );
    blob("InvalidXmlDocument", &device.put(&format!("{path}&comp=blocklist"), "<!DOCTYPE x>"));
    blob("InvalidQueryParameterValue", &device.put(&format!("{path}&comp=block&blockid=?"), "x"));

    ends(&device, &path, &id);
    hub.host.stop();
}

fn blob(code: &str, answer: &str) {
    assert!(answer.contains(&format!("<Code>{code}</Code>")), "no {code}: {answer}");
}

/// An upload that has ended, or whose time is over, counts no more.
fn ends(device: &Uploader<'_>, path: &str, id: &str) {
    let hub = device.hub;
    let success = json!({"correlationId": id, "isSuccess": true, "statusCode": 200, "statusDescription": "OK"});
    assert!(device.call("/notifications", &success).ends_with("204"));
    let again = device.call("/notifications", &success);
    assert!(again.ends_with("404") && again.contains("ErrorCode:ResourceNotFound"), "{again}");
    blob("AuthenticationFailed", &device.put(path, "x"));
    let (_, unused) = device.begin("b");
    let unused = json!({"correlationId": unused, "isSuccess": true});
    assert!(device.call("/notifications", &unused).ends_with("400"));

    let held: Vec<_> = (0..10).map(|n| device.begin(&format!("held-{n}"))).collect();
    let answer = device.call("", &json!({"blobName": "one more"}));
    assert!(answer.ends_with("429") && answer.contains("uploads_per_device"), "{answer}");
    let (path, _) = &held[0];
    assert!(device.put(&format!("{path}&comp=block&blockid=YQ%3D%3D"), "x").ends_with("201"));
    let parts = || fs::read_dir(hub.host_folder.data().join("uploads")).unwrap().count();
    assert_eq!(parts(), 1);
    hub.host_folder.set_clock(3_601_000);
    blob("AuthenticationFailed", &device.put(path, "x"));
    let _ = device.begin("later");
    assert_eq!(parts(), 0, "a part of an upload whose time is over is there");
    assert_eq!(fs::read(folder(&hub.host_folder, "azure-1").join("a")).unwrap(), b"x");
}

#[test]
fn a_file_that_was_acknowledged_survives_a_kill_and_parts_do_not() {
    let Some(mut hub) = Hub::over_https(&[]) else { return };
    let device = Uploader::new(&hub, &hub.connection_string("azure-1"));
    let (path, _) = device.begin("kept");
    let (partial, _) = device.begin("partial");
    assert!(device.put(&format!("{partial}&comp=block&blockid=YQ%3D%3D"), "x").ends_with("201"));
    assert!(device.put(&path, "kept").ends_with("201"));
    let parts = hub.host_folder.data().join("uploads");
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 1);
    hub = hub.killed();
    assert!(!parts.exists() || fs::read_dir(&parts).unwrap().count() == 0);
    assert_eq!(fs::read(folder(&hub.host_folder, "azure-1").join("kept")).unwrap(), b"kept");
    let listed = uploads(&hub.host.admin());
    assert_eq!((listed.len(), &listed[0]["file"], &listed[0]["bytes"]), (1, &json!("kept"), &json!(4)));
    let device = Uploader::new(&hub, &hub.printed("azure-1"));
    assert!(device.put(&path, "x").ends_with("403"));
    let (path, _) = device.begin("kept");
    assert!(device.put(&path, "again").ends_with("201"));
    hub.host.stop();
}
