//! A connection from its first byte to its end: SASL, sessions, and the time by which it must authenticate.

use std::{fmt::Debug, net::IpAddr, time::Duration};

use fe2o3_amqp::{
    acceptor::{ConnectionAcceptor, ListenerConnectionHandle, SessionAcceptor},
    connection,
};
use fe2o3_amqp_types::definitions::{AmqpError, ErrorCondition, LinkError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::timeout,
};

use crate::{
    all_fields::AllFields,
    authorization::{ConnectionAuth, TlsClient},
    checked_frames::CheckedFrames,
    collected_writes::CollectedWrites,
    context::Context,
    error::error,
    links::Session,
    sasl::{self, SaslClient},
    session_windows::SessionWindows,
};
use switchbox_model::limits::{HUB_AMQP_FRAME_BYTES, HUB_AMQP_LINKS, HUB_AMQP_SESSIONS, names};
use switchbox_transport::admission::ConnectionPermit;

/// How long a client may take to open a connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection may stay open without authenticating.
const AUTH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the frames that close a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection is closed when its client has sent nothing for this time.
const IDLE_TIMEOUT_MS: u32 = 240_000;
/// Sessions that a client may have before it has authenticated.
const UNAUTHENTICATED_SESSIONS: usize = 2;
/// Frames that may wait to be written, for the connection and for each session.
const FRAMES: usize = 32;

/// A client, as its connection shows it.
pub(crate) struct Peer<'a> {
    pub(crate) address: IpAddr,
    pub(crate) tls: TlsClient,
    pub(crate) permit: &'a ConnectionPermit,
}

/// Disconnects the connection's device, however the connection ends.
struct DevicePresence(ConnectionAuth);

impl Drop for DevicePresence {
    fn drop(&mut self) {
        self.0.end_device("connection lost");
    }
}

pub(crate) async fn serve<S>(context: Context, stream: S, peer: Peer<'_>)
where
    S: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
{
    let Peer { address, tls, permit } = peer;
    let auth = ConnectionAuth::new(address, tls);
    serve_as(context, stream, auth, SessionWindows::default(), permit).await;
}

/// Serves a client that has authenticated already, or has still to.
pub(crate) async fn serve_as<S>(
    context: Context,
    stream: S,
    auth: ConnectionAuth,
    windows: SessionWindows,
    permit: &ConnectionPermit,
) where
    S: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
{
    let presence = DevicePresence(auth.clone());
    let mut connection = match timeout(OPEN_TIMEOUT, open(&context, &auth, &windows, stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(?auth, %error, "an AMQP connection was not opened"),
        Err(_) => return context.handles.metrics.limit(names::HUB_AMQP_OPEN_TIME),
    };
    let mut sessions = JoinSet::new();
    if let Some(End { condition, why }) = run(&context, &auth, &windows, &mut connection, &mut sessions, permit).await {
        presence.0.end_device(&why);
        let _ = timeout(CLOSE_TIMEOUT, connection.close_with_error(error(condition, why))).await;
    } else if let Ok(Ok(()) | Err(connection::Error::RemoteClosed)) =
        timeout(CLOSE_TIMEOUT, connection.on_close()).await
    {
        presence.0.end_device("disconnected by the client");
    }
}

/// Why the host closes a connection.
struct End {
    condition: ErrorCondition,
    why: String,
}

impl End {
    /// The client has to authenticate again.
    fn unauthorized(why: impl Into<String>) -> Self {
        Self { condition: AmqpError::UnauthorizedAccess.into(), why: why.into() }
    }

    /// The client may connect again.
    fn forced(why: impl Into<String>) -> Self {
        Self { condition: LinkError::DetachForced.into(), why: why.into() }
    }
}

/// Performs SASL and exchanges the `open` frames.
async fn open<S>(
    context: &Context,
    auth: &ConnectionAuth,
    windows: &SessionWindows,
    mut stream: S,
) -> Result<ListenerConnectionHandle, String>
where
    S: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
{
    let client = sasl::negotiate(&mut stream).await.map_err(|error| error.to_string())?;
    let proved = match &client {
        SaslClient::NoSasl | SaslClient::Anonymous => Ok(()),
        SaslClient::Plain(plain) => auth.sasl_plain(context, plain).await,
    };
    let mut early = &[][..];
    if matches!(client, SaslClient::NoSasl) {
        early = &sasl::AMQP_HEADER;
    } else {
        sasl::send_outcome(&mut stream, proved.is_ok()).await.map_err(|error| error.to_string())?;
    }
    proved?;
    let acceptor = ConnectionAcceptor::builder()
        .container_id("switchbox")
        .max_frame_size(HUB_AMQP_FRAME_BYTES)
        .session_max(HUB_AMQP_SESSIONS)
        .idle_time_out(IDLE_TIMEOUT_MS)
        .buffer_size(FRAMES)
        .build();
    let metrics = context.handles.metrics.clone();
    let frames = CheckedFrames::new(stream, auth.clone(), metrics, windows.clone(), early);
    acceptor
        .accept(AllFields::new(CollectedWrites::new(frames), windows.clone()))
        .await
        .map_err(|error| error.to_string())
}

/// Accepts sessions until the connection ends. Returns the reason if the host has to close it.
async fn run(
    context: &Context,
    auth: &ConnectionAuth,
    windows: &SessionWindows,
    connection: &mut ListenerConnectionHandle,
    sessions: &mut JoinSet<()>,
    permit: &ConnectionPermit,
) -> Option<End> {
    let acceptor = SessionAcceptor::builder().handle_max(HUB_AMQP_LINKS as u32).buffer_size(FRAMES).build();
    // Before the device is admitted, so that no change after that is missed.
    let mut changes = context.handles.auth.changes();
    let proof = tokio::time::sleep(AUTH_TIMEOUT);
    tokio::pin!(proof);
    loop {
        if auth.is_authenticated() {
            permit.mark_authenticated();
        }
        tokio::select! {
            incoming = connection.next_incoming_session() => {
                if sessions.len() >= UNAUTHENTICATED_SESSIONS && !auth.is_authenticated() {
                    context.handles.metrics.limit(names::HUB_AMQP_LINKS);
                    return Some(End::unauthorized("too many sessions were opened before a token was sent to $cbs"));
                }
                let incoming = incoming?;
                let session = Session::new(context.clone(), auth.clone(), windows.of(incoming.channel));
                match acceptor.accept_incoming_session(incoming, connection).await {
                    Ok(handle) => drop(sessions.spawn(session.run(handle))),
                    Err(error) => tracing::debug!(%error, "an AMQP session was not accepted"),
                }
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            () = auth.authenticated(), if !auth.is_authenticated() => {}
            () = &mut proof, if !auth.is_authenticated() => {
                context.handles.metrics.limit(names::HUB_AMQP_PROOF_TIME);
                return Some(End::unauthorized("no valid token was sent to $cbs in time"));
            }
            changed = changes.recv() => {
                let changed = changed.ok();
                if let Err(why) = auth.revalidate(context, changed.as_ref()) {
                    return Some(End::unauthorized(why));
                }
            }
            why = auth.closed() => return Some(End::forced(why)),
            () = auth.expired() => return Some(End::unauthorized("the token has expired")),
            () = permit.eviction_requested() => return Some(End::forced("there are too many connections")),
            () = context.shutdown.cancelled() => return Some(End::forced("the host is stopping")),
        }
    }
}
