//! Calls of Azure IoT Hub's API have spans.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use switchbox_azure::{ConnectionString, Policy, sas};
use switchbox_tests::{HostFolder, Process, now};

use super::{Collector, PARENT, TRACE, chain, config, sink};

#[test]
fn a_call_of_a_hub_continues_its_callers_trace_down_to_the_device() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    let certs = host_folder.root().join("certs").display().to_string();
    let made = ["cert", "server", "localhost", "--folder", &certs];
    assert!(Process::run(&host_folder, made.iter().map(AsRef::as_ref)).wait().success(), "no certificate");
    let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--azure-https", "127.0.0.1:0"];
    let traces = ["--otlp-endpoint", &collector.url(), "--trace-sample-ratio", "0"];
    let host = host_folder.start_with(&[&tls[..], &traces].concat());
    let mut sink = sink(&host);
    let command_line = ["hub", "connection-string", "--policy", "service", "--host-name", "localhost"];
    let policy = host.cli(&host_folder, &command_line);
    let key = STANDARD.decode(ConnectionString::parse(policy.trim()).unwrap().key.unwrap()).unwrap();
    let token = sas::sign("localhost", &key, now() + 60, Some(Policy::Service));
    let call = |parent: Option<String>, body: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-f", "--cacert", &format!("{certs}/ca.pem"), "-X", "PUT", "-d", body]);
        curl.args(["-H", &format!("Authorization: {token}"), "-H", "Content-Type: application/json"]);
        curl.args(parent.iter().flat_map(|parent| ["-H", parent]));
        let port = host.azure_https().port();
        curl.arg(format!("https://localhost:{port}/twins/sink-1?api-version=2021-04-12"));
        assert!(curl.output().unwrap().status.success());
    };
    call(Some(format!("traceparent: 00-{TRACE}-{PARENT}-01")), r#"{"properties":{"desired":{"on":true}}}"#);
    let traceparent = config(&mut sink).unwrap();
    let spans = chain(&collector, &["PUT /twins/{id}", "effect config", "settlement config"]);
    assert_eq!(traceparent, format!("00-{TRACE}-{}-01", spans[1]["spanId"].as_str().unwrap()));
    // A call without `traceparent` makes no span if it is not sampled.
    call(None, r#"{"properties":{"desired":{"on":false}}}"#);
    assert_eq!(config(&mut sink), None);
    host.stop();
    assert_eq!(collector.spans().len(), 3, "{:?}", collector.spans());
}
