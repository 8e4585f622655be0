//! AMQP over WebSocket: the upgrade of a call to a stream, which the AMQP endpoint then serves.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hyper_util::rt::TokioIo;
use tungstenite::handshake::derive_accept_key;

use crate::{
    app::App,
    error::{Code, ServiceError},
    gate::{address_of, host},
};
use switchbox_http_server::ConnectionInfo;
use switchbox_support::tasks::spawn_contained;
use switchbox_transport::websocket::WebSocketStream;

/// The subprotocol of AMQP 1.0.
const PROTOCOL: &str = "AMQPWSB10";

/// Who calls shows that in AMQP, as over TCP.
pub(crate) async fn upgrade(State(app): State<App>, request: Request) -> Result<Response, ServiceError> {
    let (mut parts, _) = request.into_parts();
    let accept = accepted(&parts.headers)?;
    let address = address_of(&parts);
    let host = host(&parts).split(':').next().unwrap_or_default().to_owned();
    let info = parts.extensions.get::<ConnectionInfo>().cloned();
    let info = info.ok_or_else(|| ServiceError::invalid("a WebSocket needs a connection of its own"))?;
    let upgraded = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let upgraded = upgraded.ok_or_else(|| ServiceError::invalid("this connection cannot become a WebSocket"))?;
    let endpoint = app.amqp.clone();
    drop(spawn_contained(app.handles.metrics.panics.clone(), "amqp over websocket", async move {
        match upgraded.await {
            Ok(stream) => {
                let stream = WebSocketStream::new(TokioIo::new(stream));
                endpoint.serve(stream, address, &host, info.certificates(), &info.permit()).await;
            }
            Err(error) => tracing::debug!(%address, %error, "a call did not become a WebSocket"),
        }
    }));
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The answer to the client's key, if the headers are those of RFC 6455 and offer AMQP.
fn accepted(headers: &HeaderMap) -> Result<HeaderValue, ServiceError> {
    let tokens = |name: &HeaderName| {
        let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).map(|token| token.trim().to_owned()).collect::<Vec<_>>()
    };
    let has = |name: &HeaderName, token: &str| tokens(name).iter().any(|found| found.eq_ignore_ascii_case(token));
    if !has(&header::UPGRADE, "websocket") || !has(&header::CONNECTION, "upgrade") {
        return Err(ServiceError::invalid(
            "this path begins a WebSocket, and the header Upgrade: websocket is missing",
        ));
    }
    if !has(&header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(ServiceError::invalid("the version of the WebSocket (Sec-WebSocket-Version) must be 13"));
    }
    if has(&header::SEC_WEBSOCKET_PROTOCOL, "mqtt") {
        let text = "MQTT over WebSocket has a listener of its own (mqtt.wss-listen); this one has AMQP";
        return Err(ServiceError::new(Code::NotSupported, text));
    }
    if !has(&header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(ServiceError::invalid(format!("the subprotocol of the WebSocket must be {PROTOCOL}")));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let key =
        key.ok_or_else(|| ServiceError::invalid("the header Sec-WebSocket-Key is missing, or has another length"))?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|error| ServiceError::invalid(error.to_string()))
}
