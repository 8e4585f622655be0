//! Files that devices upload: bodies without end, blocks without end, addresses that nobody gave.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use switchbox_azure::{Policy, sas};

use super::{Attack, Row, row, target::FILES_MIB};
use crate::now;

pub(super) const ROWS: &[Row] = &[
    row("upload-without-end", "uploads files and blocks whose bytes never end, on 8 connections at a time", |attack| {
        let most = attack.target.resident_mib() + 64;
        attack.target.reset_peak();
        let whole = begin(attack, "whole");
        let blocks = begin(attack, "blocks");
        let mut number = 0_u32;
        while attack.continues() {
            let mut curls = Vec::new();
            for of in 0..8 {
                number += 1;
                let url = if of % 2 == 0 { whole.clone() } else { format!("{blocks}&comp=block&blockid={number:08}") };
                let mut curl = curl(&["-X", "PUT", "-H", "x-ms-blob-type: BlockBlob", "-m", "10", "-T", "-", &url]);
                let endless = File::open("/dev/zero").expect("no /dev/zero");
                curls.push(curl.stdin(endless).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("no curl"));
            }
            for mut curl in curls {
                // Refused, or cut.
                let _ = curl.wait();
            }
            let kept = ["files", "uploads"].map(|name| size(&attack.target.data.join(name))).iter().sum::<u64>();
            assert!(kept <= FILES_MIB << 20, "{kept} bytes are kept");
            let peak = attack.target.peak_mib();
            assert!(peak <= most, "the host took {peak} MiB, and may have {most}");
        }
        let (_, counted) = attack.target.api.text_as("/metrics", "text/plain");
        assert!(counted.contains("limit=\"files_device_bytes\""), "the quota was never reached");
    })
    .asserts("no more is kept than a device may have; the host takes at most 64 MiB more"),
    row(
        "upload-forged",
        "uploads to addresses with wrong signatures, of other devices, and out of the folder",
        |attack| {
            let valid = begin(attack, "good");
            let (front, query) = valid.split_once('?').expect("no query");
            let (host, _) = front.split_once("/_files/").expect("no container");
            while attack.continues() {
                let forged = valid.replace("sig=", "sig=AAAA");
                let other = format!("{host}/_files/healthy/good?{query}");
                let out = format!("{host}/_files/mallory/..%2f..%2f..%2fstate.db?{query}");
                for url in [forged, other, out] {
                    let mut curl = curl(&["-X", "PUT", "-H", "x-ms-blob-type: BlockBlob", "-w", "%{http_code}"]);
                    let output =
                        curl.args(["--path-as-is", "-o", "/dev/null", "-d", "x", &url]).output().expect("no curl");
                    let status = String::from_utf8_lossy(&output.stdout).into_owned();
                    // Shed, or refused.
                    assert!(["403", "503", "000"].contains(&status.as_str()), "{url}: {status}");
                }
            }
            let files = attack.target.data.join("files/local/local/default/healthy");
            assert!(!files.exists(), "a file of another device was written");
        },
    )
    .asserts("403 or 503; no file of another device is there"),
];

fn curl(arguments: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-k"]).args(arguments).stdin(Stdio::null());
    curl
}

/// The address at which mallory may upload a file of this name.
fn begin(attack: &Attack, name: &str) -> String {
    let host = attack.target.https;
    let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &attack.target.device_policy_key);
    let resource = format!("{}/devices/mallory", host.ip());
    let token = sas::sign(&resource, &key.expect("no key"), now() + 3_600, Policy::find("device"));
    let url = format!("https://{host}/devices/mallory/files?api-version=2021-04-12");
    let (authorization, body) = (format!("Authorization: {token}"), json!({"blobName": name}).to_string());
    let response: Value = crate::until("an address", || {
        let output = curl(&["-H", &authorization, "-d", &body, &url]).output().expect("no curl");
        serde_json::from_slice(&output.stdout).ok().filter(|response: &Value| response["sasToken"].is_string())
    });
    let text = |field: &str| response[field].as_str().unwrap_or_default().to_owned();
    format!("https://{}/{}/{}{}", text("hostName"), text("containerName"), text("blobName"), text("sasToken"))
}

/// Bytes of the files in a folder and below it.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |path: &Path| if path.is_dir() { size(path) } else { path.metadata().map_or(0, |file| file.len()) };
    entries.flatten().map(|entry| of(&entry.path())).sum()
}
