//! One request and one answer on a connection of their own.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

use super::{
    call::{Call, Error, Response},
    endpoint::Endpoint,
};
use switchbox_model::limits;

pub(super) async fn exchange<S>(stream: S, endpoint: &Endpoint, call: Call) -> Result<Response, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| match error.is_parse_too_large() {
        true => Error::HeadTooLarge,
        false => Error::Broken(error.to_string()),
    };
    let mut http = http1::Builder::new();
    http.max_buf_size(limits::ENDPOINT_HEAD_BYTES);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with this call, however that ends. Supervision: after a panic the request below fails.
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // An error of the connection reaches the request below as well.
        let _ = connection.await;
    }));
    let response = sender.send_request(request(endpoint, call)?).await.map_err(broken)?;
    let status = response.status().as_u16();
    if !(100..=599).contains(&status) {
        return Err(Error::Broken(format!("its status is {status}")));
    }
    Ok(Response { status, body: collect(response.into_body()).await? })
}

fn request(endpoint: &Endpoint, call: Call) -> Result<Request<Full<Bytes>>, Error> {
    let path = endpoint.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = endpoint.uri.authority().map_or(endpoint.host.as_str(), |authority| authority.as_str());
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("switchbox/", env!("CARGO_PKG_VERSION")))
        .header("switchbox-method", call.method)
        .header("switchbox-call-id", call.id)
        .header("switchbox-device", call.device);
    let request = match call.traceparent {
        Some(traceparent) => request.header("traceparent", traceparent),
        None => request,
    };
    request.body(Full::new(call.payload)).map_err(|error| Error::Invalid(error.to_string()))
}

/// Reads no more than may be kept.
async fn collect(mut body: Incoming) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > limits::METHOD_BYTES {
            return Err(Error::TooLarge);
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}
