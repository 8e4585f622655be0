//! Admits or refuses a client that sent CONNECT: checks its credentials and its requests, and claims its session.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::refuse::{ConnectRefusal, address, auth_refusal};
use crate::{
    bridge,
    clients::{ClaimedSession, Key, SessionRequest},
    connection::Admitted,
    cpu_budget::CpuBudget,
    dialect::{
        Dialect,
        identity::{self, ConnectFields},
    },
    end::expires_at,
    gateway::Gateway,
    mailbox::DeviceLink,
    presence::Presence,
    resume::resume,
    server_context::ServerContext,
    session_key,
    socket::Socket,
    will,
};
use switchbox_auth as auth;
use switchbox_auth::{
    AuthContext, Credentials, Principal,
    provisioning::{Registrant, RegistrationRequest},
};
use switchbox_model::limits;
use switchbox_mqtt_codec::{
    aliases::Aliases,
    decode::Decoder,
    encode::{Accepted, Peer},
    fault::{Fault, reason},
    packet::{Connect, Version, Will},
};

/// Admits the client. The error says why it is refused.
pub(super) async fn admit(
    shared: Arc<ServerContext>,
    mut connect: Connect,
    socket: &Socket,
) -> Result<Admitted, ConnectRefusal> {
    let client = authenticate(&shared, &mut connect, socket).await?;
    let (auth_context, dialect) = (&client.auth_context, client.dialect);
    let assigned = connect.client_id.is_empty().then(assign_id);
    if let Some(id) = &assigned {
        connect.client_id = id.clone().into();
    }
    let device = auth_context.principal.device().map(|device| &**device);
    connect.will.as_mut().map_or(Ok(()), |will| will::translate(dialect, device, will))?;
    check_will(&shared, auth_context, &mut connect.will)?;
    let granted_expiry = connect.session_expiry_secs.min(limits::SESSION_EXPIRY_SECS);
    let peer = peer(&connect);
    let response_info =
        if connect.response_info { response_topic_prefix(auth_context, &connect.client_id) } else { None };
    let announced_keep_alive = server_keep_alive(connect.version, connect.keep_alive_secs);
    let mut accepted = Accepted {
        session_present: false,
        packet_bytes: shared.options.payloads.packet_bytes(),
        assigned_id: assigned.as_deref(),
        // The longest value possible, because the size of the CONNACK is checked with it.
        session_expiry_secs: (connect.session_expiry_secs > 0).then_some(granted_expiry),
        keep_alive_secs: announced_keep_alive,
        response_info: response_info.as_deref(),
    };
    // Checked before a session is opened that the client would not learn about.
    if !peer.connack(&accepted, &mut BytesMut::new()) {
        let fault = Fault::new(reason::TOO_LARGE, "CONNACK would be over the client's maximum packet size");
        return Err(fault.into());
    }
    let (key, claimed) = claim_session(&shared, auth_context, &connect, granted_expiry).await?;
    accepted.session_expiry_secs = (claimed.expiry_secs != connect.session_expiry_secs).then_some(claimed.expiry_secs);
    accepted.session_present = claimed.present;
    let keep_alive =
        keep_alive(announced_keep_alive.unwrap_or(connect.keep_alive_secs), dialect.rules().keep_alive_secs);
    let decoder = Decoder::new(peer.version).of_bridge(connect.bridge);
    let (presence, connection_epoch) = begin_presence(shared, client, connect, (key, claimed)).await?;
    let mut unsent = BytesMut::new();
    peer.connack(&accepted, &mut unsent);
    let metrics = &presence.shared.metrics;
    metrics.connects.inc();
    metrics.packets_out.inc();
    resume(&presence);
    // The credentials may have changed before the connection was registered for such changes.
    presence.mailbox.request_revalidation();
    let expires_at = expires_at(presence.auth_context.end());
    Ok(Admitted { presence, peer, decoder, keep_alive, connection_epoch, unsent, expires_at })
}

/// The result of a client's authentication.
struct AuthenticatedClient {
    auth_context: AuthContext,
    dialect: Dialect,
    /// Set when the client is a device that is not registered yet.
    registrant: Option<Box<Registrant>>,
}

/// Authenticates the client, and erases its password.
async fn authenticate(
    shared: &ServerContext,
    connect: &mut Connect,
    socket: &Socket,
) -> Result<AuthenticatedClient, ConnectRefusal> {
    let (client_id, user_name) = (&*connect.client_id, connect.user_name.as_deref());
    let password = connect.password.as_deref().map(Vec::as_slice);
    let claim = identity::read_identity(ConnectFields { client_id, user_name, password }, &shared.options.hubs);
    let dialect =
        claim.as_ref().ok().and_then(Option::as_ref).map_or(Dialect::IotCore, identity::ClaimedIdentity::dialect);
    let (address, certificates) = (address(socket), socket.peer_certificates());
    let result = match &claim {
        Ok(Some(identity::ClaimedIdentity::Registrant { registry, registration_id, signed })) => {
            let signed = signed.as_ref();
            let request =
                RegistrationRequest { registry, registration_id, address, certificates, signed, public_key: None };
            shared.host.auth.admit_registrant(request).await.map(|registrant| AuthenticatedClient {
                auth_context: registrant.auth_context(),
                dialect,
                registrant: Some(Box::new(registrant)),
            })
        }
        Ok(claim) => {
            let (device, signed) = match claim {
                Some(identity::ClaimedIdentity::Device { device, signed }) => (Some(device), signed.as_ref()),
                _ => (None, None),
            };
            let credentials = Credentials { client_id, user_name, password, address, certificates, device, signed };
            let admitted = shared.host.auth.admit(credentials).await;
            admitted.map(|auth_context| AuthenticatedClient { auth_context, dialect, registrant: None })
        }
        Err(why) => Err(shared.host.auth.refuse(why).await),
    };
    connect.password = None;
    let client = result.map_err(|refusal| auth_refusal(&refusal))?;
    if let Some(registrant) = &client.registrant {
        // The session ends with the connection, and its client id conflicts with no other.
        connect.client_id = format!("$dps/{}/{}", registrant.registry(), registrant.registration_id()).into();
        (connect.clean, connect.session_expiry_secs, connect.will) = (true, 0, None);
    }
    Ok(client)
}

/// Claims the client's session.
async fn claim_session(
    shared: &ServerContext,
    auth_context: &AuthContext,
    connect: &Connect,
    expiry_secs: u32,
) -> Result<(Key, ClaimedSession), ConnectRefusal> {
    let (key, name) = session_key_and_name(&auth_context.principal, &connect.client_id);
    let will = connect.will.as_deref().map(|will| Box::new(will::stored(will)));
    let owner = session_key::of_retained(auth_context);
    let session_request = SessionRequest { name, owner, clean: connect.clean, expiry_secs, will };
    let claimed = shared.clients.claim(&key, &session_request).await;
    let claimed = claimed.ok_or_else(|| Fault::new(reason::UNAVAILABLE, "the server is busy"))?;
    Ok((key, claimed))
}

/// Connects the client's device and waits until the session's start is durable.
async fn begin_presence(
    shared: Arc<ServerContext>,
    AuthenticatedClient { auth_context, dialect, registrant }: AuthenticatedClient,
    connect: Connect,
    (key, ClaimedSession { mailbox, expiry_secs, changes, .. }): (Key, ClaimedSession),
) -> Result<(Presence, u64), ConnectRefusal> {
    let device = auth_context.principal.device().cloned();
    let connection_epoch = mailbox.begin(connect.receive_maximum);
    let link = Arc::new(DeviceLink { mailbox: mailbox.clone(), connection_epoch, dialect });
    let presence = Presence {
        online: device.as_ref().map(|device| shared.host.delivery.connect(device, link)),
        gateway: Gateway::of(device.as_ref().filter(|_| dialect.rules().gateways)),
        cpu_budget: cpu_budget(&shared, &auth_context.principal),
        key,
        mailbox,
        device,
        dialect,
        auth_context,
        registrant,
        will: connect.will,
        session_expiry: Duration::from_secs(expiry_secs.into()),
        may_keep: connect.session_expiry_secs > 0,
        end: None,
        shared,
    };
    let durable = presence.shared.clients.wait_until_durable(changes).await;
    durable.ok_or_else(|| Fault::new(reason::UNAVAILABLE, "the server stops"))?;
    Ok((presence, connection_epoch))
}

/// Checks whether the client may have this will.
fn check_will(shared: &ServerContext, auth_context: &AuthContext, will: &mut Option<Box<Will>>) -> Result<(), Fault> {
    drop_bridge_notification(shared, auth_context, will);
    let device = auth_context.principal.device();
    let ServerContext { metrics, options, .. } = shared;
    let check = |will: &Will| {
        will::check(metrics, device.map(|device| &**device), &auth_context.access, &options.payloads, will)
    };
    will.as_deref().map_or(Ok(()), check)
}

/// Drops the will by which a bridge publishes that it is disconnected, if the bridge may not publish it, so that the bridge is admitted
/// without it.
fn drop_bridge_notification(shared: &ServerContext, auth_context: &AuthContext, will: &mut Option<Box<Will>>) {
    let may_publish = |topic: &str| auth::may(&auth_context.access, auth::Action::Publish, topic).is_ok();
    if will.take_if(|will| bridge::is_notification(&will.topic) && !may_publish(&will.topic)).is_some() {
        shared.metrics.refuse("bridge notification");
    }
}

/// The key of the client's session, and the client's name for the log.
fn session_key_and_name(principal: &Principal, client_id: &str) -> (Key, Arc<str>) {
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

/// What the encoder has to know of the client.
fn peer(connect: &Connect) -> Peer {
    let Connect { version, maximum_packet, problem_info, topic_aliases, .. } = *connect;
    Peer { version, maximum_packet, problem_info, aliases: Aliases::new(topic_aliases) }
}

/// The CPU budget: one for each device or client, one for all clients of an account.
fn cpu_budget(shared: &ServerContext, principal: &Principal) -> Arc<CpuBudget> {
    match principal {
        Principal::Service(service) => shared.cpu_budgets.get_or_create(&service.name.to_string()),
        Principal::Device(_) | Principal::Client => Arc::new(CpuBudget::new(Instant::now())),
    }
}

/// The prefix of the topics on which the client may receive answers, if it may subscribe to them.
fn response_topic_prefix(auth_context: &AuthContext, client_id: &str) -> Option<String> {
    let prefix = match &auth_context.principal {
        Principal::Device(device) => format!("responses/{}/{}/", device.name.registry.id(), device.name.id),
        Principal::Client | Principal::Service(_) => format!("responses/{client_id}/"),
    };
    let is_allowed = auth::may(&auth_context.access, auth::Action::Subscribe, &format!("{prefix}#")).is_ok();
    (is_allowed && !client_id.contains(['+', '#'])).then_some(prefix)
}

/// The server keep-alive in CONNACK, if the client asked for none or too long a one. MQTT 3.1.1 has no such field.
fn server_keep_alive(version: Version, requested_secs: u16) -> Option<u16> {
    let is_too_long = requested_secs == 0 || requested_secs > limits::KEEP_ALIVE_SECS;
    (version == Version::V5 && is_too_long).then_some(limits::KEEP_ALIVE_SECS)
}

/// How long the client may send nothing: one and a half times the keep-alive that it announced, or of the longest that its dialect allows.
/// `None` = no limit.
fn keep_alive(announced_secs: u16, max_secs: Option<u16>) -> Option<Duration> {
    let announced = Some(announced_secs).filter(|secs| *secs > 0);
    let secs = announced.into_iter().chain(max_secs).min()?;
    Some(Duration::from_millis(u64::from(secs) * 1_500))
}

/// Assigns a random client id. No device can have such an id.
fn assign_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("_auto-{:016x}{:016x}", random(), random())
}
