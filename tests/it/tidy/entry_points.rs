//! Holds the places where something from outside comes in to a list: what accepts a connection, opens one, or takes a part of an HTTP
//! call. Each says by which limits it is bounded, so a new one needs limits as well.

use std::path::Path;

use switchbox_model::limits::names;

/// Code that accepts input from outside, the one file that has it, and the limits that bound the input there.
const ENTRY_POINTS: &[(&str, &str, &[&str])] = &[
    ("listener.accept()", "crates/mqtt/src/listen.rs", &["connections", "connect_packet_bytes", "packet_bytes"]),
    ("listener.accept()", "crates/http-server/src/server.rs", &["admin_connections", "admin_head_bytes", "admin_body"]),
    (
        "listener.accept()",
        "crates/azure-amqp/src/server.rs",
        &["hub_amqp_connections", "hub_amqp_open_time", "hub_amqp_links"],
    ),
    ("TcpStream::connect(", "crates/proxy/src/lib.rs", &["proxy_calls", "endpoint_head_bytes", "method_bytes"]),
    // The collector's answer: its status alone is read.
    ("ureq::Agent::new_with_config(", "crates/trace-export/src/lib.rs", &[]),
    ("httparse::Request::new(", "crates/mqtt/src/web/upgrade.rs", &["upgrade_bytes"]),
    // A query is bounded as part of the head, and each parameter in `convert/params.rs`.
    ("Query::", "crates/admin/src/reply.rs", &["admin_head_bytes", "admin_parameter_bytes", "admin_page_items"]),
    ("Query::", "crates/admin/src/details.rs", &["admin_head_bytes"]),
    ("Bytes::from_request(", "crates/admin/src/reply.rs", &["admin_body"]),
    ("HeaderMap", "crates/azure-service/src/gate.rs", &["hub_api_head_bytes"]),
    ("HeaderMap", "crates/azure-service/src/handlers/device_messages.rs", &["hub_api_head_bytes", "hub_messages"]),
    ("HeaderMap", "crates/azure-service/src/handlers/blob_description.rs", &["hub_api_head_bytes"]),
    (
        "HeaderMap",
        "crates/azure-service/src/handlers/blobs.rs",
        &[
            "hub_api_head_bytes",
            "hub_api_body",
            "hub_api_body_time",
            "files_device_bytes",
            "files_total_bytes",
            "uploads",
        ],
    ),
    (
        "HeaderMap",
        "crates/azure-service/src/handlers/websockets.rs",
        &["hub_api_head_bytes", "hub_api_connections", "hub_amqp_open_time", "hub_amqp_proof_time", "hub_amqp_links"],
    ),
    ("HeaderMap", "crates/azure-service/src/storage.rs", &["hub_api_head_bytes"]),
    ("HeaderMap", "crates/azure-service/src/handlers/query.rs", &["hub_api_head_bytes"]),
    ("HeaderMap", "crates/azure-service/src/handlers/enrollments.rs", &["hub_api_head_bytes"]),
    ("Query::", "crates/azure-service/src/handlers/query.rs", &["hub_query"]),
    ("Bytes::from_request(", "crates/azure-service/src/body.rs", &["hub_api_body", "hub_api_body_time"]),
    ("HeaderMap", "crates/admin/src/gate.rs", &["admin_head_bytes"]),
    ("HeaderMap", "crates/admin/src/head.rs", &["admin_head_bytes"]),
    ("HeaderMap", "crates/admin/src/handlers/follow.rs", &["admin_head_bytes"]),
    ("HeaderMap", "crates/admin/src/handlers/health.rs", &["admin_head_bytes"]),
    ("HeaderMap", "crates/admin/src/handlers/plugins.rs", &["admin_head_bytes"]),
];
/// Other ways in, which no file takes.
const NOWHERE: &[&str] =
    &["UdpSocket", "UnixListener", "RawQuery", "Multipart", "WebSocketUpgrade", "RawForm", "OriginalUri"];
/// What the host does for others. The command line and the benchmark are clients of it.
const HOST: &[&str] = &["crates", "host"];

fn is_of_the_host(path: &Path) -> bool {
    let text = path.to_string_lossy();
    !text.contains("test") && !text.starts_with("crates/cli/") && !text.ends_with("fuzzing.rs")
}

#[test]
fn whatever_lets_something_in_is_listed_with_the_limits_that_bound_it() {
    let mut unlisted = Vec::new();
    let mut seen = vec![false; ENTRY_POINTS.len()];
    for (path, text) in super::sources(HOST).into_iter().filter(|(path, _)| is_of_the_host(path)) {
        let used = text.split("\nmod tests {").next().unwrap_or_default();
        let code = super::code(used);
        let ways = ENTRY_POINTS.iter().map(|(way, ..)| *way).chain(NOWHERE.iter().copied());
        for way in ways.filter(|way| code.contains(*way)) {
            match ENTRY_POINTS.iter().position(|(listed, file, _)| *listed == way && path == Path::new(file)) {
                Some(index) => seen[index] = true,
                None => unlisted.push(format!("{}: {way}", path.display())),
            }
        }
    }
    unlisted.dedup();
    assert!(unlisted.is_empty(), "bound what comes in there, and list it with the limits' names: {unlisted:?}");
    let stale: Vec<_> = ENTRY_POINTS.iter().zip(seen).filter(|(_, seen)| !seen).map(|(entry, _)| entry).collect();
    assert!(stale.is_empty(), "listed and not there any more: {stale:?}");
}

#[test]
fn the_limits_of_entry_points_are_in_the_table() {
    let known = |name: &&str| names::ALL.iter().any(|(limit, _)| limit == name);
    let all = ENTRY_POINTS.iter().flat_map(|(.., limits)| *limits);
    let unknown: Vec<_> = all.filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "not in crates/rules/src/limits/table.rs: {unknown:?}");
}
