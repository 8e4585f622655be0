//! From an accepted socket to a client that is let in, or a CONNACK that says why not. Never reads a second packet.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{io::Interest, net::TcpStream};
use zeroize::Zeroizing;

use super::{
    Shared, bridge,
    clients::{Claim, Key, Wanted},
    connection::{Connection, linger::say_goodbye},
    end::Presence,
    gateway::Gateway,
    hub::Hub,
    listen::ListenerOptions,
    mailbox::DeviceLink,
    resume::resume,
    session_key,
    socket::Socket,
    web::{self, Closing, Failure, status},
    will,
};
use switchbox_auth as auth;
use switchbox_auth::{AuthContext, Credentials, End, Principal, Refusal};
use switchbox_model::limits;
use switchbox_mqtt_codec::{
    aliases::Aliases,
    connect::{self, Reader},
    decode::Decoder,
    encode::{Accepted, Peer},
    fault::{Fault, reason},
    frame,
    packet::{Connect, Version, Will},
};
use switchbox_support::{clock, scheduling::CpuBudget};
use switchbox_transport::admission::network;

/// Lets a client in. None: it was refused and told so, it never said who it is, or it is to leave before that.
pub(super) async fn handshake<H: Hub>(
    shared: Arc<Shared<H>>,
    stream: TcpStream,
    door: Arc<ListenerOptions>,
    leaving: impl Future<Output = ()>,
) -> Option<Box<Connection<H>>> {
    tokio::pin!(leaving);
    let address = stream.peer_addr().ok()?.ip();
    let deadline = tokio::time::Instant::now() + shared.options.connect_deadline;
    let opened = tokio::select! {
        opened = tokio::time::timeout_at(deadline, door.open(stream, &shared.metrics)) => opened,
        () = &mut leaving => return None,
    };
    let mut socket = match opened {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => {
            shared.metrics.refuse("handshake");
            log_failure(&shared, address, &format!("{} failed: {}", door.handshakes(), explained(&error)));
            return None;
        }
        Err(_) => {
            late(&shared, address, door.handshakes());
            return None;
        }
    };
    let read = tokio::select! {
        read = tokio::time::timeout_at(deadline, read_connect(&mut socket)) => Some(read),
        () = &mut leaving => None,
    };
    let (connect, rest) = match read {
        Some(Ok(Ok(Ok(read)))) => read,
        Some(Ok(Ok(Err((fault, reader))))) => {
            refuse(&shared, &mut socket, "", fault.into(), reader).await;
            return None;
        }
        Some(Ok(Err(error))) => {
            broken(&shared, &mut socket, address, error).await;
            return None;
        }
        Some(Err(_)) => {
            late(&shared, address, "CONNECT");
            let text = "CONNECT did not come in time";
            say_goodbye(&mut socket, &[], Closing { status: status::POLICY, text }).await;
            return None;
        }
        None => {
            let text = "the host makes room, or shuts down";
            say_goodbye(&mut socket, &[], Closing { status: status::GOING_AWAY, text }).await;
            return None;
        }
    };
    let name = connect.client_id.clone();
    let reader = Reader { version: connect.version, maximum_packet: connect.maximum_packet };
    let admitted = tokio::select! {
        admitted = admit(shared.clone(), connect, &socket) => admitted,
        () = &mut leaving => {
            let fault = Fault::new(reason::UNAVAILABLE, "the server is busy, or shuts down");
            Err(fault.into())
        }
    };
    match admitted {
        Ok(admitted) => Some(Box::new(Connection::new(socket, rest, admitted))),
        Err(refused) => {
            refuse(&shared, &mut socket, &name, refused, Some(reader)).await;
            None
        }
    }
}

/// The log is told of a client that does not get as far as MQTT.
fn log_failure<H: Hub>(shared: &Shared<H>, address: IpAddr, what: &str) {
    if let Some(more) = shared.refusals_logged.note(network(address), Instant::now()) {
        tracing::warn!(%address, "a client did not get as far as CONNECT: {what}{more}");
    }
}

/// The time for CONNECT is over.
fn late<H: Hub>(shared: &Shared<H>, address: IpAddr, what: &str) {
    shared.metrics.limit(limits::names::CONNECT_DEADLINE);
    let secs = shared.options.connect_deadline.as_secs_f32();
    log_failure(shared, address, &format!("{what} did not end within {secs} s (mqtt.connect-deadline-seconds)"));
}

/// The connection ended before CONNECT was whole. One that never said anything, as the probes of load balancers do, is nothing to
/// tell of.
async fn broken<H: Hub>(shared: &Shared<H>, socket: &mut Socket, address: IpAddr, error: io::Error) {
    let Some(failure) = error.get_ref().and_then(|error| error.downcast_ref::<Failure>()) else {
        tracing::debug!(%address, %error, "a client left before CONNECT");
        return;
    };
    shared.metrics.refuse("connect");
    log_failure(shared, address, failure.text);
    say_goodbye(socket, &[], Closing { status: failure.status, text: failure.text }).await;
}

/// What went wrong in a handshake, with what to do about it where that is known.
fn explained(error: &io::Error) -> String {
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

/// Reads until CONNECT is whole; also gives what came after it.
async fn read_connect(socket: &mut Socket) -> io::Result<Result<(Connect, BytesMut), connect::Refused>> {
    const PIECE: usize = 512;
    // Who says nothing takes no memory. Never grows, as that would leave a copy behind: there is a secret in it.
    socket.ready(Interest::READABLE).await?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(limits::CONNECT_PACKET_BYTES + PIECE));
    let mut piece = Zeroizing::new([0; PIECE]);
    loop {
        socket.ready(Interest::READABLE).await?;
        match socket.try_read(piece.as_mut_slice()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => buffer.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match frame::frame(&buffer, limits::CONNECT_PACKET_BYTES) {
            _ if buffer.first().is_some_and(|first| *first != 0x10) => return Ok(Err((no_connect(&buffer), None))),
            Err(fault) => return Ok(Err((fault, connect::begun(&buffer)))),
            Ok(None) => {}
            Ok(Some(frame)) => {
                let rest = buffer.get(frame.whole.len()..).unwrap_or_default();
                return Ok(connect::read(frame).map(|connect| (connect, rest.into())));
            }
        }
    }
}

fn no_connect(bytes: &[u8]) -> Fault {
    Fault::protocol(match bytes {
        [0x16, 3, ..] => "the first packet is no CONNECT: TLS begins, and this listener is without",
        [b'G', b'E', b'T', b' ', ..] => {
            "the first packet is no CONNECT: HTTP begins, and WebSocket has a listener of its own"
        }
        _ => "the first packet is no CONNECT",
    })
}

/// A client that was let in.
pub(super) struct Admitted<H: Hub> {
    pub(super) presence: Presence<H>,
    pub(super) peer: Peer,
    pub(super) decoder: Decoder,
    pub(super) keep_alive: Option<Duration>,
    pub(super) generation: u64,
    /// Starts with CONNACK.
    pub(super) unsent: BytesMut,
    pub(super) runs_out: Option<Instant>,
}

async fn admit<H: Hub>(shared: Arc<Shared<H>>, mut connect: Connect, socket: &Socket) -> Result<Admitted<H>, Refused> {
    let credentials = Credentials {
        client_id: &connect.client_id,
        user_name: connect.user_name.as_deref(),
        password: connect.password.as_deref().map(Vec::as_slice),
        address: address(socket),
        certificates: socket.peer_certificates(),
    };
    let admitted = shared.hub.admit(credentials).await;
    let auth_context = admitted.map_err(|refusal| not_let_in(&refusal))?;
    connect.password = None;
    let assigned = connect.client_id.is_empty().then(assign_id);
    if let Some(id) = &assigned {
        connect.client_id = id.clone().into();
    }
    let (key, name) = known_as(&auth_context.principal, &connect.client_id);
    let device = auth_context.principal.device().cloned();
    leave_out_notification(&shared, &auth_context, &mut connect.will);
    let payloads = &shared.options.payloads;
    connect
        .will
        .as_ref()
        .map_or(Ok(()), |will| will::check(device.as_deref(), &auth_context.access, payloads, will))?;
    let granted_expiry = connect.session_expiry_secs.min(limits::SESSION_EXPIRY_SECS);
    let peer = peer(&connect);
    let answers = if connect.response_info { place_for_answers(&auth_context, &connect.client_id) } else { None };
    let told_keep_alive = server_keep_alive(connect.version, connect.keep_alive_secs);
    let mut accepted = Accepted {
        session_present: false,
        packet_bytes: payloads.packet_bytes(),
        assigned_id: assigned.as_deref(),
        // As long as it may become.
        session_expiry_secs: (connect.session_expiry_secs > 0).then_some(granted_expiry),
        keep_alive_secs: told_keep_alive,
        response_info: answers.as_deref(),
    };
    // Before there is a session of which the client would never hear.
    if !peer.connack(&accepted, &mut BytesMut::new()) {
        let fault = Fault::new(reason::TOO_LARGE, "CONNACK would be over the client's maximum packet size");
        return Err(fault.into());
    }
    let will = connect.will.as_deref().map(|will| Box::new(will::stored(will)));
    let owner = session_key::of_retained(&auth_context);
    let wanted = Wanted { name, owner, clean: connect.clean, expiry_secs: granted_expiry, will };
    let claim = shared.clients.claim(&key, &wanted).await;
    let Claim { mailbox, present, expiry_secs, changes } =
        claim.ok_or_else(|| Fault::new(reason::UNAVAILABLE, "the server is busy"))?;
    accepted.session_expiry_secs = (expiry_secs != connect.session_expiry_secs).then_some(expiry_secs);
    let generation = mailbox.begin(connect.receive_maximum);
    let link = Arc::new(DeviceLink { mailbox: mailbox.clone(), generation });
    let presence = Presence {
        online: device.as_ref().map(|device| shared.hub.connect(device, link)),
        gateway: Gateway::of(device.as_ref()),
        share: share(&shared, &auth_context.principal),
        key,
        mailbox,
        device,
        auth_context,
        will: connect.will,
        session_expiry: Duration::from_secs(expiry_secs.into()),
        may_keep: connect.session_expiry_secs > 0,
        end: None,
        shared,
    };
    presence
        .shared
        .clients
        .written(changes)
        .await
        .ok_or_else(|| Fault::new(reason::UNAVAILABLE, "the server stops"))?;
    let mut unsent = BytesMut::new();
    accepted.session_present = present;
    peer.connack(&accepted, &mut unsent);
    presence.shared.metrics.connects.inc();
    resume(&presence);
    // What changed before the connection could be told.
    presence.mailbox.revalidate();
    Ok(Admitted {
        decoder: Decoder::new(peer.version).of_bridge(connect.bridge),
        keep_alive: keep_alive(told_keep_alive.unwrap_or(connect.keep_alive_secs)),
        runs_out: runs_out(presence.auth_context.end()),
        presence,
        peer,
        generation,
        unsent,
    })
}

/// A bridge says by its will that it is gone. One that may not say so where it does is let in without.
fn leave_out_notification<H: Hub>(shared: &Shared<H>, auth_context: &AuthContext, will: &mut Option<Box<Will>>) {
    let may = |topic: &str| auth::may(&auth_context.access, auth::Action::Publish, topic).is_ok();
    if will.take_if(|will| bridge::is_notification(&will.topic) && !may(&will.topic)).is_some() {
        shared.metrics.refuse("bridge notification");
    }
}

/// Whose session it is, and the client's name for the log.
fn known_as(principal: &Principal, client_id: &str) -> (Key, Arc<str>) {
    match principal {
        Principal::Device(device) => (Key::Device(device.num), device.name.id.as_str().into()),
        Principal::Client => {
            let id = Arc::from(client_id);
            (Key::Client(Arc::clone(&id)), id)
        }
        Principal::Service(service) => {
            (session_key::of_service(service, client_id), format!("{}:{client_id}", service.name).into())
        }
    }
}

fn peer(connect: &Connect) -> Peer {
    let Connect { version, maximum_packet, problem_info, topic_aliases, .. } = *connect;
    Peer { version, maximum_packet, problem_info, aliases: Aliases::new(topic_aliases) }
}

/// What counts as one client: a device, or an account with all its clients.
fn share<H: Hub>(shared: &Shared<H>, principal: &Principal) -> Arc<CpuBudget> {
    match principal {
        Principal::Service(service) => shared.shares.of(&service.name.to_string()),
        Principal::Device(_) | Principal::Client => Arc::new(CpuBudget::new(Instant::now())),
    }
}

/// How the topics begin that the client may have answers sent to, if it may subscribe to any.
fn place_for_answers(auth_context: &AuthContext, client_id: &str) -> Option<String> {
    let place = match &auth_context.principal {
        Principal::Device(device) => format!("responses/{}/{}/", device.name.registry.id(), device.name.id),
        Principal::Client | Principal::Service(_) => format!("responses/{client_id}/"),
    };
    let allowed = auth::may(&auth_context.access, auth::Action::Subscribe, &format!("{place}#")).is_ok();
    (allowed && !client_id.contains(['+', '#'])).then_some(place)
}

/// What the client is told to keep instead of what it asked for: 3.1.1 has no word for it.
fn server_keep_alive(version: Version, asked_secs: u16) -> Option<u16> {
    let too_long = asked_secs == 0 || asked_secs > limits::KEEP_ALIVE_SECS;
    (version == Version::V5 && too_long).then_some(limits::KEEP_ALIVE_SECS)
}

/// One and a half times what the client promised; none = for ever.
fn keep_alive(secs: u16) -> Option<Duration> {
    (secs > 0).then(|| Duration::from_millis(u64::from(secs) * 1_500))
}

pub(super) fn runs_out(End(end_ms): End) -> Option<Instant> {
    let left_ms = end_ms?.saturating_sub(clock::now_ms());
    Instant::now().checked_add(Duration::from_millis(left_ms))
}

/// What the client is told, and what the log is.
struct Refused {
    fault: Fault,
    why: String,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { why: fault.text.clone().into_owned(), fault }
    }
}

/// The log has the reason; the client learns only that it is refused, lest it learn which devices there are.
fn not_let_in(refusal: &Refusal) -> Refused {
    let fault = match refusal {
        Refusal::NotAuthorised(_) => Fault::new(reason::NOT_AUTHORISED, "not authorised"),
        Refusal::Unavailable(_) => Fault::new(reason::UNAVAILABLE, "server unavailable"),
    };
    Refused { fault, why: format!("not let in: {refusal}") }
}

fn address(socket: &Socket) -> IpAddr {
    socket.peer().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// No device can have such an id, so a client that comes back with it is no device either.
fn assign_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("_auto-{:016x}{:016x}", random(), random())
}

/// Says why. 3.1.1 has an answer for some reasons only; what is no MQTT gets none.
async fn refuse<H: Hub>(
    shared: &Shared<H>,
    socket: &mut Socket,
    client: &str,
    Refused { fault, why }: Refused,
    reader: Option<Reader>,
) {
    shared.metrics.refuse("connect");
    if fault.reason == reason::TOO_LARGE {
        shared.metrics.limit(limits::names::CONNECT_PACKET_BYTES);
    }
    let address = address(socket);
    if let Some(more) = shared.refusals_logged.note(network(address), Instant::now()) {
        tracing::warn!(client, %address, reason = fault.reason, "CONNECT refused: {why}{more}");
    }
    let mut answer = BytesMut::new();
    match reader {
        Some(Reader { version: Version::V311, .. }) if matches!(fault.reason, reason::MALFORMED | reason::PROTOCOL) => {
        }
        Some(Reader { version, maximum_packet }) => {
            let peer = Peer { version, maximum_packet, problem_info: true, aliases: Aliases::default() };
            peer.refuse(fault.reason, &fault.text, &mut answer);
        }
        None => {}
    }
    say_goodbye(socket, &answer, web::closing(&fault)).await;
}
