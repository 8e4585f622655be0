//! Attacks on the admin API.

use super::{Attack, Conn, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("admin-path-traversal", "asks for files outside, and wants to write some", |attack| {
        let outside = attack.target.plugins.parent().expect("no folder").join("evil.wasm");
        let paths = [
            "../evil",
            "..%2fevil",
            "%2e%2e%2fevil",
            "..%252fevil",
            "..\\evil",
            "%00",
            "a%2f..%2f..%2fevil",
            "%2fetc%2fpasswd",
        ];
        while attack.continues() {
            for path in paths {
                let put = with_token(
                    attack,
                    "PUT",
                    &format!("/v1/plugins/{path}"),
                    "content-type: application/wasm\r\n",
                    "x",
                );
                assert!(is_no(status_of(attack, &put)), "written: {path}");
            }
            for path in [
                "/../../etc/passwd",
                "/v1/../../../etc/passwd",
                "/%2e%2e/%2e%2e/etc/passwd",
                "//etc/passwd",
                "/v1/plugins/..%2fadmin-token",
            ] {
                assert!(is_no(status_of(attack, &with_token(attack, "GET", path, "", ""))), "read: {path}");
            }
            assert!(!outside.exists(), "a file outside the folder was written");
        }
    }),
    row("admin-without-token", "calls with no token, a wrong one, and tokens where none belong", |attack| {
        let token = &attack.target.admin_token;
        let wrong = [
            String::new(),
            "authorization: Bearer x\r\n".into(),
            format!("authorization: Bearer {}\r\n", &token[1..]),
            format!("authorization: Bearer {token}x\r\n"),
            format!("authorization: Basic {token}\r\n"),
            format!("cookie: token={token}\r\n"),
            format!("x-forwarded-for: 127.0.0.1\r\nx-auth: {token}\r\n"),
            format!("authorization: Bearer x\r\nauthorization: Bearer {token}\r\n"),
        ];
        while attack.continues() {
            for headers in &wrong {
                let status = status_of(attack, &request("GET", "/v1/plugins", headers, ""));
                assert!(matches!(status, 0 | 400 | 401 | 403 | 429), "{status} for {headers}");
            }
            let status =
                status_of(attack, &request("GET", &format!("/v1/plugins?token={token}&access_token={token}"), "", ""));
            assert!(matches!(status, 0 | 401 | 429), "{status} for a token in the query");
        }
    }),
    row("admin-host-tricks", "says another host, a whole URL, and both kinds of length", |attack| {
        while attack.continues() {
            for bytes in [
                "GET /v1/plugins HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
                "GET http://evil.example/v1/plugins HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
                "GET /v1/plugins HTTP/1.1\r\nhost: a\r\nhost: b\r\norigin: http://evil.example\r\nconnection: close\r\n\r\n",
                "POST /v1/deadLetters HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
                "POST /v1/deadLetters HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\nconnection: close\r\n\r\nabcde",
                "CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
                "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ] {
                let status = status_of(attack, bytes);
                assert!(is_no(status), "{status} for {bytes}");
            }
        }
    }),
    row("admin-slow-headers", "sends headers byte by byte on 100 connections (slow loris)", |attack| {
        let mut slow = attack.open(attack.target.admin, 100, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: ");
        attack.repeat_slowly(|_| {
            slow.iter_mut().for_each(|conn| {
                let _ = conn.send(b"y");
            })
        });
    }),
    row("admin-slow-body", "sends a body byte by byte on 100 connections", |attack| {
        let head = format!(
            "{}content-length: 100000\r\n\r\n",
            head(attack, "POST", "/v1/projects/local/locations/local/registries")
        );
        let mut slow = attack.open(attack.target.admin, 100, head.as_bytes());
        attack.repeat_slowly(|_| {
            slow.iter_mut().for_each(|conn| {
                let _ = conn.send(b" ");
            })
        });
    }),
    row("admin-idle-connections", "opens 500 connections and asks nothing", |attack| {
        let _held = attack.open(attack.target.admin, 500, b"");
        attack.repeat_slowly(|_| ());
    }),
    row("admin-header-bomb", "sends 10,000 headers, and one of 1 MB", |attack| {
        let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
        let large = format!("x: {}\r\n", "y".repeat(1_000_000));
        while attack.continues() {
            for headers in [&many, &large] {
                let status = status_of(attack, &request("GET", "/healthz", headers, ""));
                assert!(is_no(status), "{status}");
            }
        }
    }),
    row("admin-oversized-body", "announces 10 GB, and sends 3 MB to where 1 MiB is the limit", |attack| {
        let path = "/v1/projects/local/locations/local/registries";
        let large = format!("{{\"id\":\"{}\"}}", "x".repeat(3_000_000));
        while attack.continues() {
            let huge = format!("{}content-length: 10000000000\r\n\r\n{{", head(attack, "POST", path));
            assert!(is_no(status_of(attack, &huge)));
            let status = status_of(attack, &with_token(attack, "POST", path, "", &large));
            assert!(is_no(status), "{status}");
        }
    }),
    row("admin-endless-chunks", "sends chunks without an end", |attack| {
        let head = format!("{}transfer-encoding: chunked\r\n\r\n", head(attack, "PUT", "/v1/plugins/endless"));
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while attack.continues() {
            let mut conn = Conn::open(attack.target.admin).expect("no connection");
            conn.send(head.as_bytes());
            // The largest component has 64 MiB.
            let taken = (0..2_000).take_while(|_| conn.send(chunk.as_bytes())).count();
            assert!(taken < 2_000, "130 MB were taken");
        }
    }),
    row("admin-json-bombs", "sends nested, repeated and endless JSON", |attack| {
        let device = "/v1/projects/local/locations/local/registries/default/devices";
        let bombs = [
            format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
            format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)),
            format!("{{\"id\":\"x\",\"numId\":{}}}", "9".repeat(500_000)),
            format!("{{{}\"id\":1}}", "\"id\":\"x\",".repeat(50_000)),
            "\"\\ud800\"".into(),
            "{\"id\":\"x\"".into(),
            "\0".repeat(100_000),
        ];
        while attack.continues() {
            for bomb in &bombs {
                let status =
                    status_of(attack, &with_token(attack, "POST", device, "content-type: application/json\r\n", bomb));
                assert!(is_no(status), "{status} for {}", &bomb[..20.min(bomb.len())]);
            }
        }
    }),
    row("admin-deaf-pipeline", "asks for /openapi.json a thousand times and reads no answer", |attack| {
        let burst = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
        let mut deaf = attack.open(attack.target.admin, 20, b"");
        while attack.continues() {
            deaf.iter_mut().for_each(|conn| {
                let _ = conn.send(burst.as_bytes());
            });
        }
    }),
    row("admin-large-pages", "asks for pages of large events on 20 connections and reads no answer", |attack| {
        let path = "/v1/projects/local/locations/local/registries/default/devices/mallory:publishEvent";
        let headers =
            format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", attack.target.device_token);
        let body = format!("{{\"binaryData\":\"{}\"}}", "A".repeat(340_000));
        for _ in 0..60 {
            let status = status_of(attack, &request("POST", path, &headers, &body));
            assert!(matches!(status, 200 | 429 | 503), "{status} for an event");
        }
        let path = "/v1/events?pageSize=1000";
        let answer = attack.target.api.get(path);
        if answer.status != 429 {
            let (length, next) = (answer.body.to_string().len(), answer.body["nextPageToken"].is_string());
            assert!(next && length < 4_500_000, "a page of {length} bytes, with a token: {next}");
        }
        let page = with_token(attack, "GET", path, "", "");
        let mut deaf = attack.open(attack.target.admin, 20, b"");
        while attack.continues() {
            deaf.iter_mut().for_each(|conn| {
                let _ = conn.send(page.as_bytes());
            });
        }
    })
    .asserts("a page has at most 4 MiB and says where the next one begins"),
    row("bridge-abuse", "sends HTTP calls in the name of another device", |attack| {
        let path = "/v1/projects/local/locations/local/registries/default/devices/healthy:publishEvent";
        let body = "{\"binaryData\":\"eA==\"}";
        while attack.continues() {
            for bearer in [&*attack.target.device_token, "x", ""] {
                let headers = format!("authorization: Bearer {bearer}\r\ncontent-type: application/json\r\n");
                let status = status_of(attack, &request("POST", path, &headers, body));
                assert!(matches!(status, 0 | 400 | 401 | 403 | 429 | 503), "{status} with {bearer}");
            }
        }
    }),
];

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}{length}\r\n{body}")
}

/// A call with a valid token, as if the attacker had stolen one.
fn with_token(attack: &Attack, method: &str, path: &str, headers: &str, body: &str) -> String {
    let token = &attack.target.admin_token;
    request(method, path, &format!("authorization: Bearer {token}\r\n{headers}"), body)
}

/// The beginning of a call, up to the headers.
fn head(attack: &Attack, method: &str, path: &str) -> String {
    let token = &attack.target.admin_token;
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    )
}

/// Whether the host refused the call. Status 0: it closed the connection without an answer.
fn is_no(status: u16) -> bool {
    status == 0 || status >= 400
}

fn status_of(attack: &Attack, bytes: &str) -> u16 {
    let Some(mut conn) = Conn::open(attack.target.admin) else { return 0 };
    conn.send(bytes.as_bytes());
    conn.status()
}
