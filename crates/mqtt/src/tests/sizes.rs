//! What a connection costs while nothing happens on it.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::super::{connection::Connection, listen::ListenerOptions, server_context::ServerContext, service::serve};
use switchbox_transport::admission::ConnectionPermit;

type Served = (Arc<ServerContext>, TcpStream, Arc<ListenerOptions>, ConnectionPermit, CancellationToken);

/// Of the future that the function gives.
fn size<A, F>(_: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_connections_task_is_small() {
    let task =
        size(|(shared, stream, listener, pass, shutdown): Served| serve(shared, stream, listener, pass, shutdown));
    let bytes = task + size_of::<Connection>();
    assert!(bytes <= 1_600, "{bytes}");
}
