//! Calls to endpoints on this machine: which are made, and what their answers come to.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// An endpoint that sends the given bytes to each client that has sent a whole request, and says what it was sent.
async fn endpoint(answer: impl Into<Vec<u8>>) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = mpsc::channel(8);
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"question") && stream.read_buf(&mut request).await.unwrap() > 0 {}
            sender.send(String::from_utf8(request).unwrap().to_lowercase()).await.unwrap();
            if answer.is_empty() {
                // Never answers.
                std::future::pending::<()>().await;
            }
            // The caller may have gone.
            let _ = stream.write_all(&answer).await;
        }
    });
    (port, requests)
}

fn handle(allowed: &str) -> Handle {
    Handle::new(allowed.parse().unwrap(), Metrics::default())
}

fn call() -> Call {
    Call {
        id: 7,
        device: "projects/p/locations/l/registries/r/devices/lamp-1".into(),
        method: "dim".into(),
        payload: Bytes::from_static(b"question"),
        timeout: Duration::from_secs(30),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}

#[tokio::test]
async fn a_call_is_one_post_that_says_what_is_called() {
    let (port, mut requests) = endpoint("HTTP/1.1 202 Accepted\r\ncontent-length: 6\r\n\r\nanswer").await;
    let url = format!("http://localhost:{port}/methods?x=1");
    let answer = handle("localhost").call(&url, call()).await;
    assert_eq!(answer, Ok(Response { status: 202, body: Bytes::from_static(b"answer") }));
    let request = requests.recv().await.unwrap();
    for part in [
        "post /methods?x=1 http/1.1\r\n",
        &format!("host: localhost:{port}\r\n"),
        "switchbox-method: dim\r\n",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "switchbox-call-id: 7\r\n",
        "switchbox-device: projects/p/locations/l/registries/r/devices/lamp-1\r\n",
        "\r\n\r\nquestion",
    ] {
        assert!(request.contains(part), "{part:?} is not in {request}");
    }
}

#[tokio::test]
async fn only_listed_hosts_and_addresses_are_called() {
    let (port, mut requests) = endpoint("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let url = |host: &str| format!("http://{host}:{port}/");
    for (allowed, host, expect) in [
        ("", "127.0.0.1", "not among the hosts"),
        ("example.com", "127.0.0.1", "not among the hosts"),
        ("127.0.0.1:1", "127.0.0.1", "not among the hosts"),
        ("*", "127.0.0.1", "is a private address (127.0.0.1)"),
        ("*", "localhost", "is a private address"),
        ("127.0.0.1", "localhost", "not among the hosts"),
    ] {
        let metrics = Metrics::default();
        let handle = Handle::new(allowed.parse().unwrap(), metrics.clone());
        let error = handle.call(&url(host), call()).await.unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("methods.allowed-hosts"), "{allowed:?}, {host}: {error}");
        let counted = switchbox_support::metrics::Outcome { outcome: "not allowed" };
        assert_eq!(metrics.proxy_calls.get_or_create(&counted).get(), 1);
    }
    assert!(requests.try_recv().is_err(), "a call went out");
    assert_eq!(handle("*, 127.0.0.0/8").call(&url("127.0.0.1"), call()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (elsewhere, mut requests) = endpoint("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let redirect =
        format!("HTTP/1.1 307 Elsewhere\r\nlocation: http://localhost:{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let (port, _requests) = endpoint(redirect).await;
    let answer = handle("localhost").call(&format!("http://localhost:{port}"), call()).await.unwrap();
    assert_eq!(answer.status, 307);
    assert!(requests.try_recv().is_err(), "it was followed");
}

#[tokio::test]
async fn an_answer_is_bounded_in_time_and_size() {
    let mut huge = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    huge.resize(huge.len() + limits::METHOD_BYTES + 1, b'x');
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let brief = Duration::from_millis(50);
    let metrics = Metrics::default();
    for (answer, timeout, expect) in [
        (huge, call().timeout, "the answer is larger than 262144 bytes"),
        (head.into_bytes(), call().timeout, "the head of the answer is larger than 32768 bytes"),
        (b"hello\r\n\r\n".to_vec(), call().timeout, "is not valid HTTP"),
        (Vec::new(), brief, "no answer within 50ms"),
    ] {
        let (port, _requests) = endpoint(answer).await;
        let url = format!("http://localhost:{port}");
        let handle = Handle::new("localhost".parse().unwrap(), metrics.clone());
        let error = handle.call(&url, Call { timeout, ..call() }).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let hits = [limits::names::METHOD_BYTES, limits::names::ENDPOINT_HEAD_BYTES].map(|limit| metrics.limit_hits(limit));
    assert_eq!(hits, [1, 1]);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = handle("localhost").call(&format!("http://localhost:{free}"), call()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(..)) && error.to_string().contains(&free.to_string()), "{error}");
}

#[test]
fn what_is_no_endpoint_is_refused() {
    for (url, valid) in [
        ("http://example.com", true),
        ("https://example.com:8443/a?b=c", true),
        ("http://[::1]:9000/", true),
        ("http://10.0.0.1", true),
        ("ftp://example.com", false),
        ("example.com", false),
        ("/path", false),
        ("http://", false),
        ("http://user@example.com", false),
        ("http://example.com:x", false),
        ("http://example.com:99999", false),
        ("http://exa mple.com", false),
        ("", false),
    ] {
        assert_eq!(check_url(url).is_ok(), valid, "{url}");
    }
}
