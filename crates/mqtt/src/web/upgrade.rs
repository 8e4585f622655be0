//! The HTTP request that a WebSocket begins with (RFC 6455, section 4): it is accepted, or refused with an answer that says what to do.
//! Pure.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tungstenite::handshake::derive_accept_key;

use switchbox_model::limits::{self, LimitName, names};

/// The only subprotocol.
const PROTOCOL: &str = "mqtt";
const VERSION: &str = "13";
/// How many characters of a client's values an answer and the log repeat.
const REPEATED: usize = 200;

/// Which web pages may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    /// Any page may connect, as every client must authenticate.
    Any,
    /// Only pages of this machine may connect, as enrolment is open: any page in a browser on this network could act as a device otherwise.
    Loopback,
}

/// An HTTP error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpgradeRefusal {
    status: &'static str,
    /// Whole lines.
    headers: &'static str,
    pub(crate) text: String,
    /// The limit that was hit.
    pub(crate) limit: Option<LimitName>,
}

impl UpgradeRefusal {
    fn new(status: &'static str, text: impl Into<String>) -> Self {
        Self { status, headers: "", text: text.into(), limit: None }
    }

    fn invalid(text: impl Into<String>) -> Self {
        Self::new("400 Bad Request", text)
    }

    /// The answer, which ends the connection.
    pub(crate) fn answer(&self) -> Vec<u8> {
        let Self { status, headers, text, limit: _ } = self;
        let length = text.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Connection: close\r\n{headers}\r\n{text}\n"
        )
        .into_bytes()
    }
}

/// An accepted request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub(crate) answer: Vec<u8>,
    /// The length of the request, bytes.
    pub(crate) length: usize,
}

/// The refusal of a request with too many bytes or header lines.
pub(crate) fn too_large() -> UpgradeRefusal {
    let (bytes, lines) = (limits::UPGRADE_BYTES, limits::UPGRADE_HEADERS);
    let text = format!("the request's header is larger than {bytes} bytes or has more than {lines} lines");
    let refusal = UpgradeRefusal::new("431 Request Header Fields Too Large", text);
    UpgradeRefusal { limit: Some(names::UPGRADE_BYTES), ..refusal }
}

/// Reads the request. Returns `None` if more bytes are needed.
pub(crate) fn read(bytes: &[u8], origins: Origins) -> Result<Option<Upgrade>, UpgradeRefusal> {
    let mut headers = [httparse::EMPTY_HEADER; limits::UPGRADE_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(error) => return Err(no_request(bytes, error)),
    };
    let key = check(&request, origins)?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    Ok(Some(Upgrade { answer: answer.into_bytes(), length }))
}

fn no_request(bytes: &[u8], error: httparse::Error) -> UpgradeRefusal {
    UpgradeRefusal::invalid(match bytes.first() {
        Some(0x10) => "MQTT comes over WebSocket here: plain MQTT has a listener of its own (mqtt.listen)".into(),
        Some(0x16) => "TLS begins on a listener without TLS: use ws:// here, or the listener for wss://".into(),
        _ => format!("this is not an HTTP request: {error}"),
    })
}

/// Checks the headers. Returns the client's key.
fn check<'h>(request: &httparse::Request<'_, 'h>, origins: Origins) -> Result<&'h str, UpgradeRefusal> {
    if request.method != Some("GET") {
        let text = "a WebSocket begins with GET";
        return Err(UpgradeRefusal {
            headers: "Allow: GET\r\n",
            ..UpgradeRefusal::new("405 Method Not Allowed", text)
        });
    }
    if request.version != Some(1) {
        return Err(UpgradeRefusal::invalid("a WebSocket begins with a request of HTTP/1.1"));
    }
    let headers = &*request.headers;
    if !tokens(headers, "upgrade").any(|token| token.eq_ignore_ascii_case("websocket")) {
        let text = "MQTT over WebSocket is served here: connect with a WebSocket client and the subprotocol mqtt (the header \
             Upgrade: websocket is missing; a proxy on the network path must pass it on)";
        let headers = "Upgrade: websocket\r\n";
        return Err(UpgradeRefusal { headers, ..UpgradeRefusal::new("426 Upgrade Required", text) });
    }
    if !tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case("upgrade")) {
        let text = "the header Connection: Upgrade is missing; a proxy on the network path must pass it on";
        return Err(UpgradeRefusal::invalid(text));
    }
    let version = values(headers, "sec-websocket-version").next();
    if version != Some(VERSION) {
        let text = format!("the WebSocket version must be {VERSION}, in the header Sec-WebSocket-Version");
        let headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return Err(UpgradeRefusal { headers, ..UpgradeRefusal::new("426 Upgrade Required", text) });
    }
    let key = values(headers, "sec-websocket-key").next();
    let is_key = |key: &&str| BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let key = key.filter(is_key).ok_or_else(|| {
        UpgradeRefusal::invalid(
            "the header Sec-WebSocket-Key is missing, or is not 16 bytes in base64: a WebSocket client sends one",
        )
    })?;
    check_protocol(headers)?;
    check_origin(headers, origins)?;
    Ok(key)
}

/// Several header lines form one list (RFC 6455, section 11.3.4).
fn check_protocol(headers: &[httparse::Header<'_>]) -> Result<(), UpgradeRefusal> {
    let offered: Vec<_> = tokens(headers, "sec-websocket-protocol").collect();
    if offered.contains(&PROTOCOL) {
        return Ok(());
    }
    let offered = if offered.is_empty() { "no subprotocol".to_owned() } else { offered.join(", ") };
    let offered: String = offered.chars().take(REPEATED).collect();
    let text = format!(
        "the WebSocket subprotocol must be mqtt, in the header Sec-WebSocket-Protocol; the client offers {offered}"
    );
    Err(UpgradeRefusal::invalid(text))
}

fn check_origin(headers: &[httparse::Header<'_>], origins: Origins) -> Result<(), UpgradeRefusal> {
    if origins == Origins::Any || values(headers, "origin").all(is_loopback) {
        return Ok(());
    }
    let text =
        "where devices need no credentials, only web pages of this machine may connect; with --enroll closed any may";
    Err(UpgradeRefusal::new("403 Forbidden", text))
}

/// The values of a header. One that is not text counts as empty.
fn values<'a, 'h>(headers: &'a [httparse::Header<'h>], name: &'a str) -> impl Iterator<Item = &'h str> + 'a {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
}

fn tokens<'a, 'h: 'a>(headers: &'a [httparse::Header<'h>], name: &'a str) -> impl Iterator<Item = &'h str> + 'a {
    values(headers, name).flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Whether the origin is of this machine, such as `http://localhost:8080`.
fn is_loopback(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_machines_are_distinguished_from_those_of_this_one() {
        for (origin, expect) in [
            ("http://localhost:8080", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("https://example.org", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(origin), expect, "{origin}");
        }
    }

    const GOOD: &[&str] = &[
        "GET /mqtt HTTP/1.1",
        "Host: localhost",
        "Upgrade: WebSocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: mqtt",
    ];

    /// The good request with this line in the place of the one that begins like it, or without that; and more lines.
    fn status(replaced: usize, lines: &[&str]) -> String {
        let kept = GOOD.iter().enumerate().filter(|(at, _)| *at != replaced || replaced == usize::MAX);
        let mut request: Vec<_> = kept.map(|(_, line)| *line).collect();
        if replaced == 0 {
            request.insert(0, lines[0]);
        } else {
            request.extend(lines);
        }
        let request = request.join("\r\n") + "\r\n\r\n";
        match read(request.as_bytes(), Origins::Loopback) {
            Ok(Some(upgrade)) => {
                assert_eq!(upgrade.length, request.len());
                String::from_utf8(upgrade.answer).unwrap()
            }
            Ok(None) => "not whole".into(),
            Err(refusal) => String::from_utf8(refusal.answer()).unwrap(),
        }
    }

    #[test]
    fn every_wrong_upgrade_gets_an_answer_that_says_what_to_do() {
        const NONE: usize = usize::MAX;
        for (replaced, lines, expect, says) in [
            (NONE, &[][..], "101", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            // Two lines are one list, whichever has it.
            (NONE, &["sec-websocket-protocol: foo"], "101", "Protocol: mqtt"),
            (6, &["Sec-WebSocket-Protocol: foo", "Sec-WebSocket-Protocol: mqtt"], "101", "Protocol: mqtt"),
            (6, &["Sec-WebSocket-Protocol: mqttv3.1 , mqtt"], "101", "Protocol: mqtt"),
            (3, &["Connection: keep-alive", "Connection: upgrade"], "101", "Protocol: mqtt"),
            (NONE, &["Origin: http://localhost:3000"], "101", "Protocol: mqtt"),
            (6, &["Sec-WebSocket-Protocol: foo"], "400", "the client offers foo"),
            (6, &[], "400", "no subprotocol"),
            (5, &[], "400", "Sec-WebSocket-Key is missing"),
            (5, &["Sec-WebSocket-Key: c2hvcnQ="], "400", "16 bytes"),
            (4, &["Sec-WebSocket-Version: 8"], "426", "Sec-WebSocket-Version: 13"),
            (4, &[], "426", "Sec-WebSocket-Version: 13"),
            (3, &[], "400", "Connection: Upgrade"),
            (2, &[], "426", "Upgrade: websocket"),
            (2, &["Upgrade: h2c"], "426", "Upgrade: websocket"),
            (0, &["POST /mqtt HTTP/1.1"], "405", "Allow: GET"),
            (0, &["GET /mqtt HTTP/1.0"], "400", "HTTP/1.1"),
            (NONE, &["Origin: https://example.org"], "403", "--enroll closed"),
            (NONE, &["X: y"; 200], "431", "100 lines"),
        ] {
            let answer = status(replaced, lines);
            assert!(answer.starts_with(&format!("HTTP/1.1 {expect} ")) && answer.contains(says), "{lines:?}: {answer}");
        }
        for (bytes, says) in
            [(&b"\x10\x0c\0\x04MQTT"[..], "mqtt.listen"), (b"\x16\x03\x01", "wss://"), (b"\0", "not an HTTP")]
        {
            let refusal = read(bytes, Origins::Any).unwrap_err();
            assert!(refusal.text.contains(says), "{}", refusal.text);
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost:", Origins::Any), Ok(None));
    }
}
