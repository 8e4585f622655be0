//! Turns an accepted socket into an admitted client, or refuses it by a CONNACK. Does not read a second packet.

mod admit;
mod refuse;

use std::{io, pin::Pin, sync::Arc};

use bytes::BytesMut;
use tokio::{io::Interest, net::TcpStream, time::Instant};
use zeroize::Zeroizing;

use self::{
    admit::admit,
    refuse::{address, log_broken, log_failure, log_late, refuse, text_with_advice},
};
use crate::{
    connection::{Connection, finish::send_and_close},
    listen::ListenerOptions,
    server_context::ServerContext,
    socket::Socket,
    web::{Closing, status},
};
use switchbox_model::limits;
use switchbox_mqtt_codec::{
    connect::{self, Reader},
    fault::{Fault, reason},
    frame,
    packet::Connect,
};

/// Admits a client. Returns `None` if it was refused, sent no CONNECT in time, or was asked to leave. `leaving` ends when another client
/// needs the connection's place, or the host shuts down.
pub(crate) async fn handshake(
    shared: Arc<ServerContext>,
    stream: TcpStream,
    listener: Arc<ListenerOptions>,
    leaving: impl Future<Output = ()>,
) -> Option<Box<Connection>> {
    tokio::pin!(leaving);
    let deadline = Instant::now() + shared.options.connect_deadline;
    let mut socket = open(&shared, stream, &listener, deadline, leaving.as_mut()).await?;
    let (connect, rest) = first_packet(&shared, &mut socket, deadline, leaving.as_mut()).await?;
    let name = connect.client_id.clone();
    let reader = Reader { version: connect.version, maximum_packet: connect.maximum_packet };
    let admitted = tokio::select! {
        admitted = admit(shared.clone(), connect, &socket) => admitted,
        () = leaving => Err(Fault::new(reason::UNAVAILABLE, "the server is busy, or shuts down").into()),
    };
    match admitted {
        Ok(admitted) => Some(Box::new(Connection::new(socket, rest, admitted))),
        Err(refused) => {
            refuse(&shared, &mut socket, &name, refused, Some(reader)).await;
            None
        }
    }
}

/// Does the TLS and WebSocket handshakes, if the listener has them.
async fn open(
    shared: &ServerContext,
    stream: TcpStream,
    listener: &ListenerOptions,
    deadline: Instant,
    leaving: Pin<&mut impl Future<Output = ()>>,
) -> Option<Socket> {
    let address = stream.peer_addr().ok()?.ip();
    let opened = tokio::select! {
        opened = tokio::time::timeout_at(deadline, listener.open(stream, &shared.metrics)) => opened,
        () = leaving => return None,
    };
    match opened {
        Ok(Ok(socket)) => return Some(socket),
        Ok(Err(error)) => {
            shared.metrics.refuse("handshake");
            log_failure(shared, address, &format!("{} failed: {}", listener.handshakes(), text_with_advice(&error)));
        }
        Err(_) => log_late(shared, address, listener.handshakes()),
    }
    None
}

/// Reads CONNECT. Returns it with the bytes after it.
async fn first_packet(
    shared: &ServerContext,
    socket: &mut Socket,
    deadline: Instant,
    leaving: Pin<&mut impl Future<Output = ()>>,
) -> Option<(Connect, BytesMut)> {
    let address = address(socket);
    let result = tokio::select! {
        result = tokio::time::timeout_at(deadline, read_connect(socket)) => Some(result),
        () = leaving => None,
    };
    match result {
        Some(Ok(Ok(Ok(connect)))) => return Some(connect),
        Some(Ok(Ok(Err((fault, reader))))) => refuse(shared, socket, "", fault.into(), reader).await,
        Some(Ok(Err(error))) => log_broken(shared, socket, address, error).await,
        Some(Err(_)) => {
            log_late(shared, address, "CONNECT");
            let text = "CONNECT did not come in time";
            send_and_close(socket, &[], Closing { status: status::POLICY, text }).await;
        }
        None => {
            let text = "the host makes room, or shuts down";
            send_and_close(socket, &[], Closing { status: status::GOING_AWAY, text }).await;
        }
    }
    None
}

/// Reads until CONNECT is complete. Returns it with the bytes after it.
async fn read_connect(socket: &mut Socket) -> io::Result<Result<(Connect, BytesMut), connect::ConnectError>> {
    const READ_BYTES: usize = 512;
    // No buffer is allocated for a client that sends nothing. The buffer does not grow, because growing would leave a copy of the secret in memory.
    socket.ready(Interest::READABLE).await?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(limits::CONNECT_PACKET_BYTES + READ_BYTES));
    let mut chunk = Zeroizing::new([0; READ_BYTES]);
    loop {
        socket.ready(Interest::READABLE).await?;
        match socket.try_read(chunk.as_mut_slice()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => buffer.extend_from_slice(chunk.get(..length).unwrap_or_default()),
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

/// The fault of a first packet that is not CONNECT, with the protocol that it seems to be.
fn no_connect(bytes: &[u8]) -> Fault {
    Fault::protocol(match bytes {
        [0x16, 3, ..] => "the first packet is not CONNECT: TLS begins, and this listener is without",
        [b'G', b'E', b'T', b' ', ..] => {
            "the first packet is not CONNECT: HTTP begins, and WebSocket has a listener of its own"
        }
        _ => "the first packet is not CONNECT",
    })
}
