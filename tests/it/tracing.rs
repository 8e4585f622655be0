//! Traces over OTLP: a collector gets the spans from an event to its settlement, joined with those of the devices' programs by
//! `traceparent`; one that does not answer holds nothing up.

mod azure;
mod collector;
mod otlp;

use std::{collections::BTreeSet, fs, net::TcpListener};

use serde_json::{Value, json};
use switchbox_tests::{
    Admin, HostFolder, Process,
    raw::{self, Raw, ack, publish, text},
    scripted_plugin, until,
};

use collector::Collector;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const EVENTS: &str = "/devices/switch-1/events";

/// A host with a plugin that sends a config to sink-1 for each event, and traces.
fn start(host_folder: &HostFolder, endpoint: &str, more: &[&str]) -> Process {
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n");
    let host = host_folder.start_with(&[&["--otlp-endpoint", endpoint][..], more].concat());
    host.admin().wait_plugin("relay", "to run", |plugin| plugin["state"] == "running");
    host
}

fn device(host: &Process, id: &str) -> Raw {
    Raw::connect(host.mqtt(), &raw::connect(id, true, 0, None)).0
}

fn sink(host: &Process) -> Raw {
    let mut sink = device(host, "sink-1");
    sink.subscribe("/devices/sink-1/config", 1);
    sink
}

fn record(hops: u32) -> String {
    format!(r#"{{"deviceId":"sink-1","hops":{hops}}}"#)
}

/// `traceparent` as a user property.
fn property(flags: &str) -> Vec<u8> {
    [&[0x26][..], &text("traceparent"), &text(&format!("00-{TRACE}-{PARENT}-{flags}"))].concat()
}

/// The next config: its `traceparent`, if it has one. Acknowledged.
fn config(sink: &mut Raw) -> Option<String> {
    let (topic, traceparent) = message(sink);
    assert_eq!(topic, "/devices/sink-1/config");
    traceparent
}

/// The next message: its topic, and its `traceparent` if it has one. Acknowledged.
fn message(sink: &mut Raw) -> (String, Option<String>) {
    let packet = sink.packet();
    assert_eq!(packet[0] & 0xf6, 0x32, "{packet:?}");
    let begins = if packet[1] & 0x80 == 0 { 2 } else { 3 };
    let length = usize::from(u16::from_be_bytes([packet[begins], packet[begins + 1]]));
    let at = begins + 2 + length;
    let topic = String::from_utf8(packet[begins + 2..at].to_vec()).unwrap();
    sink.send(&ack(0x40, u16::from_be_bytes([packet[at], packet[at + 1]])));
    let name = text("traceparent");
    let at = packet.windows(name.len()).position(|bytes| bytes == name).map(|at| at + name.len() + 2);
    (topic, at.map(|at| String::from_utf8(packet[at..at + 55].to_vec()).unwrap()))
}

/// The value of an attribute.
fn attribute<'a>(span: &'a Value, name: &str) -> &'a str {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {span}"))["value"]["stringValue"].as_str().unwrap()
}

#[test]
fn a_trace_goes_from_one_devices_program_through_the_host_to_the_others() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    let headers = host_folder.root().join("headers");
    fs::write(&headers, "# of the collector\nAuthorization: Bearer word\n").unwrap();
    let more = ["--trace-sample-ratio", "0", "--otlp-headers-file", headers.to_str().unwrap()];
    let host = start(&host_folder, &collector.url(), &more);
    let (mut sink, mut switch) = (sink(&host), device(&host, "switch-1"));
    // None of the traces that begin here is sampled.
    switch.send(&publish(0x32, EVENTS, 1, &[], &record(1)));
    assert_eq!(config(&mut sink), None);
    switch.send(&publish(0x32, EVENTS, 2, &property("01"), &record(2)));
    let outgoing = config(&mut sink).unwrap();

    let settlement = collector.named("settlement config");
    let [event, execution, effect] =
        ["event telemetry", "execution relay", "effect config"].map(|name| collector.named(name));
    let all = [&event, &execution, &effect, &settlement];
    assert!(all.iter().all(|span| span["traceId"] == TRACE), "{all:?}");
    let parents: Vec<_> = all.iter().map(|span| span["parentSpanId"].as_str().unwrap()).collect();
    let ids: Vec<_> = all.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(parents, [PARENT, ids[0], ids[1], ids[2]]);
    assert_eq!(outgoing, format!("00-{TRACE}-{}-01", ids[2]));
    for span in all {
        let time = |end: &str| span[end].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
        // Each leads to its explanation.
        let id = attribute(span, "switchbox.explain");
        let _ = host.admin().get(&format!("/v1/explain/{id}")).ok();
    }
    assert!(attribute(&event, "switchbox.device").ends_with("/devices/switch-1"), "{event}");
    assert!(attribute(&settlement, "switchbox.device").ends_with("/devices/sink-1"), "{settlement}");
    assert!(
        collector.heads().iter().all(|head| head.contains("authorization: bearer word")),
        "{:?}",
        collector.heads()
    );

    // A trace that another program does not sample is continued without spans.
    switch.send(&publish(0x32, EVENTS, 3, &property("00"), &record(3)));
    let outgoing = config(&mut sink).unwrap();
    assert!(outgoing.starts_with(&format!("00-{TRACE}-")) && outgoing.ends_with("-00"), "{outgoing}");
    exemplars(&host);
    host.stop();
    assert_eq!(collector.spans().len(), 4, "{:?}", collector.spans());
}

/// Histograms name the trace, in OpenMetrics' format alone.
fn exemplars(host: &Process) {
    let (_, open) = host.admin().text_as("/metrics", "application/openmetrics-text");
    let (_, plain) = host.admin().text_as("/metrics", "*/*");
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}} ");
    for histogram in ["plugin_seconds", "plugin_wait_seconds", "delivery_seconds"] {
        let bucket = format!("switchbox_{histogram}_bucket{{");
        assert!(open.lines().any(|line| line.starts_with(&bucket) && line.contains(&exemplar)), "{histogram}: {open}");
    }
    assert!(
        !plain.contains("trace_id") && plain.contains("switchbox_trace_spans_total{outcome=\"sent\"} 4"),
        "{plain}"
    );
}

#[test]
fn an_execution_that_fails_has_a_span_whatever_is_sampled() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    let host = start(&host_folder, &collector.url(), &["--trace-sample-ratio", "0"]);
    let mut switch = device(&host, "switch-1");
    switch.send(&publish(0x32, EVENTS, 1, &[], "no JSON"));
    let execution = collector.span("an execution", |span| span["name"] == "execution relay");
    assert_eq!(execution["status"]["code"], 2, "{execution}");
    assert!(!execution["status"]["message"].as_str().unwrap().is_empty(), "{execution}");
    let event = collector.named("event telemetry");
    assert_eq!((&event["spanId"], &event["traceId"]), (&execution["parentSpanId"], &execution["traceId"]));
    assert!(event["parentSpanId"].is_null(), "{event}");
    host.stop();
}

#[test]
fn an_entry_of_several_events_has_a_span_with_links_to_their_executions() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    let host = start(&host_folder, &collector.url(), &["--trace-sample-ratio", "1"]);
    drop(sink(&host));
    let mut switch = device(&host, "switch-1");
    let mut sent = 0;
    let commit = until("an entry of several events", || {
        let many: Vec<u8> =
            (1..=100).flat_map(|id| publish(0x32, EVENTS, id, &[], &record(sent + u32::from(id)))).collect();
        sent += 100;
        switch.send(&many);
        (0..100).for_each(|_| assert_eq!(switch.packet()[0], 0x40));
        collector.spans().into_iter().find(|span| span["name"] == "commit")
    });
    let links = commit["links"].as_array().unwrap();
    assert!(links.len() >= 2, "{commit}");
    let executions: BTreeSet<_> = until("the executions", || {
        let spans = collector.spans().into_iter().filter(|span| span["name"] == "execution relay");
        let ids: BTreeSet<_> = spans.map(|span| (span["traceId"].to_string(), span["spanId"].to_string())).collect();
        links.iter().all(|link| ids.contains(&(link["traceId"].to_string(), link["spanId"].to_string()))).then_some(ids)
    });
    // Each is the trace of its own event.
    assert_eq!(executions.iter().map(|(trace, _)| trace).collect::<BTreeSet<_>>().len(), executions.len());
    host.stop();
}

#[test]
fn a_collector_that_never_answers_holds_nothing_up_and_what_is_dropped_is_counted() {
    // Connections wait there without being accepted.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host_folder = HostFolder::new();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let host = start(&host_folder, &endpoint, &["--trace-sample-ratio", "1"]);
    drop(sink(&host));
    let mut switch = device(&host, "switch-1");
    let dropped = || {
        let (_, text) = host.admin().text_as("/metrics", "*/*");
        let line = "switchbox_trace_spans_total{outcome=\"dropped: queue full\"} ";
        text.lines().find_map(|found| found.strip_prefix(line)?.parse::<u64>().ok())
    };
    let mut hops = 0;
    let count = until("spans to be dropped", || {
        for _ in 0..10 {
            hops += 100;
            let many: Vec<u8> =
                (1..=100).flat_map(|id| publish(0x32, EVENTS, id, &[], &record(hops + u32::from(id)))).collect();
            switch.send(&many);
            (0..100).for_each(|_| assert_eq!(switch.packet()[0], 0x40));
        }
        dropped()
    });
    assert!(count > 0);
    host.stop();
}

/// Spans of a trace that another program began at the API, each the parent of the next.
fn chain(collector: &Collector, names: &[&str]) -> Vec<Value> {
    let spans: Vec<_> = names.iter().map(|name| collector.named(name)).collect();
    let mut parent = PARENT.to_owned();
    for span in &spans {
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(parent)), "{span}");
        parent = span["spanId"].as_str().unwrap().to_owned();
    }
    spans
}

#[test]
fn a_call_of_the_api_continues_its_callers_trace_down_to_the_device() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    let host = start(&host_folder, &collector.url(), &["--trace-sample-ratio", "0"]);
    let mut sink = sink(&host);
    sink.subscribe("/devices/sink-1/commands/#", 1);
    sink.subscribe("/devices/sink-1/methods/#", 1);
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let device = "/v1/projects/{p}/locations/{l}/registries/{r}/devices/{d}";
    let names = ["modifyCloudToDeviceConfig", "sendCommandToDevice", "invokeMethod"];
    let [configures, commands, invokes] = names.map(|verb| format!("POST {device}:{verb}"));
    let post = |verb: &str, body: Value| {
        host.admin().post_traced(&Admin::device_path("sink-1", &format!(":{verb}")), &body, &parent).ok()
    };

    drop(post("modifyCloudToDeviceConfig", json!({"binaryData": "b24="})));
    let outgoing = config(&mut sink).unwrap();
    let spans = chain(&collector, &[&configures, "effect config", "settlement config"]);
    assert_eq!(outgoing, format!("00-{TRACE}-{}-01", spans[1]["spanId"].as_str().unwrap()));
    assert_eq!(spans[0]["kind"], 2, "{spans:?}");

    drop(post("sendCommandToDevice", json!({"binaryData": "b24=", "ttl": "60s"})));
    let (topic, outgoing) = message(&mut sink);
    assert_eq!(topic, "/devices/sink-1/commands");
    let spans = chain(&collector, &[&commands, "effect command", "settlement command"]);
    assert_eq!(outgoing.unwrap(), format!("00-{TRACE}-{}-01", spans[1]["spanId"].as_str().unwrap()));
    for span in &spans[1..] {
        let _ = host.admin().get(&format!("/v1/explain/{}", attribute(span, "switchbox.explain"))).ok();
    }

    let outgoing = std::thread::scope(|scope| {
        let called =
            scope.spawn(|| post("invokeMethod", json!({"method": "dim", "payload": "NTA=", "timeout": "60s"})));
        let (topic, outgoing) = message(&mut sink);
        let answer = topic.replace("/request/", "/response/") + "/200";
        sink.send(&publish(0x30, &answer, 0, &[], "dimmed"));
        assert_eq!(called.join().unwrap()["status"], 200);
        outgoing.unwrap()
    });
    let spans = chain(&collector, &[&invokes, "method call"]);
    assert_eq!(outgoing, format!("00-{TRACE}-{}-01", spans[1]["spanId"].as_str().unwrap()));
    // A refused call makes no span, and one without `traceparent` makes none if it is not sampled.
    drop(
        host.admin().post(&Admin::device_path("sink-1", ":modifyCloudToDeviceConfig"), &json!({"binaryData": ""})).ok(),
    );
    assert_eq!(config(&mut sink), None);
    host.stop();
    assert_eq!(collector.spans().len(), 8, "{:?}", collector.spans());
}

#[test]
fn a_state_belongs_to_the_trace_that_its_device_names() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    host_folder.plugin(
        "states.toml",
        "component = \"builtin:hop-relay\"\n[[trigger]]\nevent = \"state\"\ndevice = \"switch-1\"\n",
    );
    let host = start(&host_folder, &collector.url(), &["--trace-sample-ratio", "0"]);
    host.admin().wait_plugin("states", "to run", |plugin| plugin["state"] == "running");
    let mut switch = device(&host, "switch-1");
    switch.send(&publish(0x32, "/devices/switch-1/state", 1, &property("01"), &record(1)));
    let event = collector.named("event state");
    assert_eq!((&event["traceId"], &event["parentSpanId"]), (&json!(TRACE), &json!(PARENT)), "{event}");
    let execution = collector.named("execution states");
    assert_eq!((&execution["traceId"], &execution["parentSpanId"]), (&json!(TRACE), &event["spanId"]), "{execution}");
    host.stop();
}

#[test]
fn a_plugins_method_call_belongs_to_the_trace_of_its_event() {
    let (collector, host_folder) = (Collector::start(), HostFolder::new());
    scripted_plugin(
        &host_folder,
        "caller",
        ("telemetry", "source-*"),
        r#"{ method = { device = "sink-1", name = "dim" } }"#,
    );
    let host = start(&host_folder, &collector.url(), &["--trace-sample-ratio", "0"]);
    host.admin().wait_plugin("caller", "to run", |plugin| plugin["state"] == "running");
    let (mut sink, mut source) = (sink(&host), device(&host, "source-1"));
    sink.subscribe("/devices/sink-1/methods/#", 1);
    source.send(&publish(0x32, "/devices/source-1/events", 1, &property("01"), "{}"));
    let (topic, outgoing) = message(&mut sink);
    sink.send(&publish(0x30, &(topic.replace("/request/", "/response/") + "/200"), 0, &[], "dimmed"));
    let spans = chain(&collector, &["event telemetry", "execution caller", "method call"]);
    assert_eq!(outgoing.unwrap(), format!("00-{TRACE}-{}-01", spans[2]["spanId"].as_str().unwrap()));
    assert!(attribute(&spans[2], "switchbox.explain").ends_with(".caller.m0"), "{spans:?}");
    host.stop();
}
