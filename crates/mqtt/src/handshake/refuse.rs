//! Refuses a client by CONNACK, and logs the reason. MQTT 3.1.1 has codes for some reasons only.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use bytes::BytesMut;

use crate::{
    connection::finish::send_and_close,
    server_context::ServerContext,
    socket::Socket,
    web::{self, Closing, Failure},
};
use switchbox_auth::AuthRefusal;
use switchbox_model::limits;
use switchbox_mqtt_codec::{
    aliases::Aliases,
    connect::Reader,
    encode::Peer,
    fault::{Fault, reason},
    packet::Version,
};
use switchbox_transport::admission::network;

/// The reason for the client, and the text for the log.
pub(super) struct ConnectRefusal {
    fault: Fault,
    why: String,
}

impl From<Fault> for ConnectRefusal {
    fn from(fault: Fault) -> Self {
        Self { why: fault.text.clone().into_owned(), fault }
    }
}

/// The refusal of a client that is not authenticated. The reason is only logged: an answer with it would tell which devices exist.
pub(super) fn auth_refusal(refusal: &AuthRefusal) -> ConnectRefusal {
    let fault = match refusal {
        AuthRefusal::NotAuthorised(_) => Fault::new(reason::NOT_AUTHORISED, "not authorised"),
        AuthRefusal::Unavailable(_) => Fault::new(reason::UNAVAILABLE, "server unavailable"),
    };
    ConnectRefusal { fault, why: refusal.to_string() }
}

/// Logs the refusal and answers by CONNACK. MQTT 3.1.1 has codes for some reasons only, and bytes that are not MQTT get no answer.
pub(super) async fn refuse(
    shared: &ServerContext,
    socket: &mut Socket,
    client: &str,
    ConnectRefusal { fault, why }: ConnectRefusal,
    reader: Option<Reader>,
) {
    shared.metrics.refuse("connect");
    if fault.reason == reason::TOO_LARGE {
        shared.metrics.limit(limits::names::CONNECT_PACKET_BYTES);
    }
    let address = address(socket);
    if let Some(more) = shared.refusal_lines.allow(network(address), Instant::now()) {
        tracing::warn!(client, %address, reason = fault.reason, "CONNECT refused: {why}{more}");
    }
    let mut connack = BytesMut::new();
    match reader {
        Some(Reader { version: Version::V311, .. }) if matches!(fault.reason, reason::MALFORMED | reason::PROTOCOL) => {
        }
        Some(Reader { version, maximum_packet }) => {
            let peer = Peer { version, maximum_packet, problem_info: true, aliases: Aliases::default() };
            peer.refuse(fault.reason, &fault.text, &mut connack);
        }
        None => {}
    }
    send_and_close(socket, &connack, web::closing(&fault)).await;
}

/// Logs a client that failed before CONNECT.
pub(super) fn log_failure(shared: &ServerContext, address: IpAddr, what: &str) {
    if let Some(more) = shared.refusal_lines.allow(network(address), Instant::now()) {
        tracing::warn!(%address, "a connection failed before CONNECT: {what}{more}");
    }
}

/// Counts and logs that CONNECT, or a handshake before it, did not end before its deadline.
pub(super) fn log_late(shared: &ServerContext, address: IpAddr, what: &str) {
    shared.metrics.limit(limits::names::CONNECT_DEADLINE);
    let secs = shared.options.connect_deadline.as_secs_f32();
    log_failure(shared, address, &format!("{what} did not end within {secs} s (mqtt.connect-deadline)"));
}

/// Logs a connection that ended before CONNECT was complete, and closes it. A client that sent nothing, such as a load balancer's probe, is
/// not logged as a warning.
pub(super) async fn log_broken(shared: &ServerContext, socket: &mut Socket, address: IpAddr, error: io::Error) {
    let Some(failure) = error.get_ref().and_then(|error| error.downcast_ref::<Failure>()) else {
        tracing::debug!(%address, %error, "a client disconnected before CONNECT");
        return;
    };
    shared.metrics.refuse("connect");
    log_failure(shared, address, failure.text);
    send_and_close(socket, &[], Closing { status: failure.status, text: failure.text }).await;
}

/// The text of a handshake error, with advice if there is any.
pub(super) fn text_with_advice(error: &io::Error) -> String {
    let text = error.to_string();
    let incompatible = ["NoSignatureSchemesInCommon", "NoCipherSuitesInCommon", "NoKxGroupsInCommon"];
    let old = ["Tls12NotOffered", "SupportedVersionsExtensionRequired"];
    let advice = if incompatible.iter().any(|name| text.contains(name)) {
        "; a client that knows RSA alone needs a certificate by `switchbox cert server --key-type rsa`"
    } else if old.iter().any(|name| text.contains(name)) {
        "; the client must know TLS 1.2 or 1.3"
    } else if text.contains("InvalidContentType") {
        "; the client does not speak TLS, which this listener does"
    } else {
        ""
    };
    text + advice
}

/// The client's address; unspecified if it has gone.
pub(super) fn address(socket: &Socket) -> IpAddr {
    socket.peer().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
