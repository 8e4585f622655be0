//! A connection from its first byte to its end: SASL, sessions, and the time by which it must authenticate.

use std::{fmt::Debug, net::IpAddr, time::Duration};

use fe2o3_amqp::acceptor::{ConnectionAcceptor, ListenerConnectionHandle, SessionAcceptor};
use fe2o3_amqp_types::definitions::{AmqpError, Error};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::timeout,
};

use crate::{
    all_fields::AllFields,
    authorization::ConnectionAuth,
    checked_frames::CheckedFrames,
    context::Context,
    links::Session,
    sasl::{self, SaslClient},
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

pub(crate) async fn serve<S>(context: Context, stream: S, address: IpAddr, permit: &ConnectionPermit)
where
    S: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
{
    let auth = ConnectionAuth::new(address);
    let mut connection = match timeout(OPEN_TIMEOUT, open(&context, &auth, stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "an AMQP connection was not opened"),
        Err(_) => return context.parts.metrics.limit(names::HUB_AMQP_OPEN_TIME),
    };
    let mut sessions = JoinSet::new();
    if let Some(why) = run(&context, &auth, &mut connection, &mut sessions, permit).await {
        let error = Error::new(AmqpError::UnauthorizedAccess, Some(why.to_owned()), None);
        let _ = timeout(CLOSE_TIMEOUT, connection.close_with_error(error)).await;
    }
}

/// Performs SASL and exchanges the `open` frames.
async fn open<S>(context: &Context, auth: &ConnectionAuth, mut stream: S) -> Result<ListenerConnectionHandle, String>
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
    let frames = CheckedFrames::new(stream, auth.clone(), context.parts.metrics.clone(), !early.is_empty());
    acceptor.accept(AllFields::new(frames, early)).await.map_err(|error| error.to_string())
}

/// Accepts sessions until the connection ends. Returns the reason if the host has to close it.
async fn run(
    context: &Context,
    auth: &ConnectionAuth,
    connection: &mut ListenerConnectionHandle,
    sessions: &mut JoinSet<()>,
    permit: &ConnectionPermit,
) -> Option<&'static str> {
    let acceptor = SessionAcceptor::builder().handle_max(HUB_AMQP_LINKS as u32).buffer_size(FRAMES).build();
    let proof = tokio::time::sleep(AUTH_TIMEOUT);
    tokio::pin!(proof);
    loop {
        if auth.is_authenticated() {
            permit.mark_authenticated();
        }
        tokio::select! {
            incoming = connection.next_incoming_session() => {
                if sessions.len() >= UNAUTHENTICATED_SESSIONS && !auth.is_authenticated() {
                    context.parts.metrics.limit(names::HUB_AMQP_LINKS);
                    return Some("too many sessions were opened before a token was sent to $cbs");
                }
                match acceptor.accept_incoming_session(incoming?, connection).await {
                    Ok(session) => drop(sessions.spawn(Session::new(context.clone(), auth.clone()).run(session))),
                    Err(error) => tracing::debug!(%error, "an AMQP session was not accepted"),
                }
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            () = auth.authenticated(), if !auth.is_authenticated() => {}
            () = &mut proof, if !auth.is_authenticated() => {
                context.parts.metrics.limit(names::HUB_AMQP_PROOF_TIME);
                return Some("no valid token was sent to $cbs in time");
            }
            () = auth.expired() => return Some("the token has expired"),
            () = permit.eviction_requested() => return Some("there are too many connections"),
            () = context.shutdown.cancelled() => return Some("the host is stopping"),
        }
    }
}
