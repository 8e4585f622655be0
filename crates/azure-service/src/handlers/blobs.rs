//! A file that a device uploads by the calls of Azure's blob storage: whole, or in blocks that one call commits. The file is on the disk,
//! and its event in the journal, before the device gets the response.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};

use crate::{
    app::{App, RateKey},
    bounds,
    gate::{address_of, check_rate},
    handlers::{blob_description::BlobDescription, device_messages::submit},
    storage::{StorageError, created, created_block, with_common_headers},
};
use switchbox_azure::{
    storage::{self, BlobCall},
    url_encoding::decode,
};
use switchbox_core::ingest::NewEvent;
use switchbox_files::{self as files, Stored, Upload, Writing};
use switchbox_http_server::ConnectionInfo;
use switchbox_model::{
    EventData,
    event::{FILE_UPLOADED, about},
    limits::names,
};
use switchbox_support::log_limit::SiteLimit;
use switchbox_transport::admission::network;

/// At most ten such lines per minute are logged; the others are counted.
static REFUSED: SiteLimit = SiteLimit::new(10);

/// The bytes of a body that one call of the file system writes.
const PIECE_BYTES: usize = 256 * 1024;
/// The bytes of a refused call's body that are read: many clients read no response before they have sent all.
const DRAINED_BYTES: usize = 8 * 1024 * 1024;

pub(crate) async fn call(State(app): State<App>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let answered = match handle_call(&app, &head, &mut body).await {
        Ok(response) => response,
        Err(error) => {
            drain(body).await;
            error.into_response()
        }
    };
    with_common_headers(answered, &head.headers)
}

async fn drain(mut body: Body) {
    let mut left = DRAINED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

async fn handle_call(app: &App, head: &Parts, body: &mut Body) -> Result<Response, StorageError> {
    let (query, upload) = match admit(app, head) {
        Ok(admitted) => admitted,
        Err(error) => {
            app.handles.metrics.refuse("file_address");
            let address = address_of(head);
            if let Some(more) = REFUSED.allow() {
                tracing::info!(%address, %error, "an upload was refused{more}");
            }
            let slow = check_rate(app, RateKey::Address(network(address)), bounds::UNAUTHENTICATED);
            let busy =
                |_| StorageError::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", "too many wrong upload URLs");
            return slow.map_err(|refused| busy(refused).limit(names::HUB_API_RATE)).and(Err(error));
        }
    };
    if let Some(info) = head.extensions.get::<ConnectionInfo>() {
        info.mark_authenticated();
    }
    if head.method != Method::PUT {
        return Err(StorageError::no_permission(head.method.as_str()));
    }
    let only_new = conditions(&head.headers)?;
    match query.operation.as_deref() {
        None => {
            whole_blob(&head.headers)?;
            let description = BlobDescription::read(&head.headers, true)?;
            let writing = receive(app, &upload, &head.headers, body).await?;
            finish(app, upload, description, move || writing.place(only_new)).await
        }
        Some("block") => {
            let id = query.block_id()?;
            let writing = receive(app, &upload, &head.headers, body).await?;
            blocking(move || writing.keep_block(id)).await?;
            Ok(created_block())
        }
        Some("blocklist") => {
            let ids = storage::block_list(&text(body).await?)?;
            let description = BlobDescription::read(&head.headers, false)?;
            let (files, of) = (app.files.clone(), upload.clone());
            finish(app, upload, description, move || files.commit_blocks(&of, &ids, only_new)).await
        }
        Some(other) => Err(StorageError::no_permission(&format!("comp={}", other.escape_default()))),
    }
}

/// The upload that the call's URL allows.
fn admit(app: &App, head: &Parts) -> Result<(BlobCall, Upload), StorageError> {
    let query = BlobCall::parse(head.uri.query().unwrap_or_default())?;
    let path = decode(head.uri.path().trim_start_matches('/')).unwrap_or_default();
    let path = path.strip_prefix(storage::CONTAINER).and_then(|path| path.strip_prefix('/')).unwrap_or_default();
    let upload = app.files.find(&query.id).ok_or_else(StorageError::authentication_failed)?;
    let is_own = path == format!("{}/{}", upload.device.id, upload.name);
    if !is_own || !query.is_signed(upload.key.bytes(), path) || !query.may_write() {
        return Err(StorageError::authentication_failed());
    }
    Ok((query, upload))
}

/// Whether the call fails if there is such a file.
fn conditions(headers: &HeaderMap) -> Result<bool, StorageError> {
    for name in ["if-match", "if-modified-since", "if-unmodified-since", "x-ms-if-tags", "x-ms-lease-id"] {
        if headers.contains_key(name) {
            return Err(StorageError::header(name, "this condition is not supported"));
        }
    }
    match headers.get(header::IF_NONE_MATCH).map(|value| value.as_bytes()) {
        None => Ok(false),
        Some(b"*") => Ok(true),
        Some(_) => Err(StorageError::header("if-none-match", "only * is supported")),
    }
}

fn whole_blob(headers: &HeaderMap) -> Result<(), StorageError> {
    if headers.contains_key("x-ms-copy-source") {
        return Err(StorageError::header("x-ms-copy-source", "a file is not fetched from elsewhere"));
    }
    match headers.get("x-ms-blob-type").map(|value| value.as_bytes()) {
        Some(kind) if kind.eq_ignore_ascii_case(b"BlockBlob") => Ok(()),
        Some(_) => Err(StorageError::header("x-ms-blob-type", "only BlockBlob is supported")),
        None => Err(StorageError::header("x-ms-blob-type", "it is missing; BlockBlob is supported")),
    }
}

/// Writes the body to a partial file, and checks its MD5.
async fn receive(app: &App, upload: &Upload, headers: &HeaderMap, body: &mut Body) -> Result<Writing, StorageError> {
    for name in ["x-ms-content-crc64", "x-ms-structured-body"] {
        if headers.contains_key(name) {
            return Err(StorageError::header(name, "not supported; Content-MD5 is"));
        }
    }
    let expected = headers.get("content-md5").map(|sum| STANDARD.decode(sum));
    let expected = expected.transpose().map_err(|_| StorageError::header("content-md5", "it is no base64"))?;
    let (files, of) = (app.files.clone(), upload.clone());
    let mut writing = blocking(move || files.start_writing(&of)).await?;
    let mut sum = expected.as_ref().map(|_| Md5::new());
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    loop {
        let piece = next(body).await?;
        bytes += piece.as_ref().map_or(0, Bytes::len);
        let is_end = piece.is_none();
        pieces.extend(piece);
        if bytes < PIECE_BYTES && !is_end {
            continue;
        }
        let taken = std::mem::take(&mut pieces);
        bytes = 0;
        (writing, sum) = blocking(move || {
            for piece in &taken {
                writing.write(piece)?;
                sum.iter_mut().for_each(|sum| sum.update(piece));
            }
            Ok((writing, sum))
        })
        .await?;
        if is_end {
            break;
        }
    }
    let found = sum.map(|sum| sum.finalize().to_vec());
    if found != expected {
        let text = "the body is not what Content-MD5 says";
        return Err(StorageError::new(StatusCode::BAD_REQUEST, "Md5Mismatch", text));
    }
    Ok(writing)
}

/// The next piece of the body. Returns `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, StorageError> {
    while let Some(frame) = body.frame().await {
        let broken = |error| {
            StorageError::new(StatusCode::BAD_REQUEST, "InvalidInput", format!("the body cannot be read: {error}"))
        };
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn text(body: &mut Body) -> Result<String, StorageError> {
    let mut all = Vec::new();
    while let Some(piece) = next(body).await? {
        all.extend_from_slice(&piece);
        if all.len() > switchbox_model::limits::HUB_API_BODY_BYTES {
            let text = "the list of blocks is too large";
            let refused = StorageError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge", text);
            return Err(refused.limit(names::HUB_API_BODY));
        }
    }
    String::from_utf8(all)
        .map_err(|_| StorageError::new(StatusCode::BAD_REQUEST, "InvalidXmlDocument", "the list of blocks is no UTF-8"))
}

/// Stores the file and appends its event. It runs as its own task, so that no file lacks its event if the device disconnects.
async fn finish(
    app: &App,
    upload: Upload,
    description: BlobDescription,
    place: impl FnOnce() -> Result<Stored, files::Error> + Send + 'static,
) -> Result<Response, StorageError> {
    let app = app.clone();
    // Supervision: a panic becomes the answer.
    let done = tokio::spawn(async move {
        let stored = blocking(place).await?;
        append_uploaded_event(&app, &upload, &description, stored).await
    });
    done.await.unwrap_or_else(|_| Err(StorageError::failed()))
}

/// Runs work that waits for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, files::Error> + Send + 'static,
) -> Result<T, StorageError> {
    // Supervision: a panic becomes the answer.
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| StorageError::failed())??)
}

/// Appends the event of the stored file to the journal. It returns when the event is on the disk.
async fn append_uploaded_event(
    app: &App,
    upload: &Upload,
    description: &BlobDescription,
    stored: Stored,
) -> Result<Response, StorageError> {
    // A device that was deleted meanwhile has no events, and its file stays.
    let device = app.handles.registry.get(upload.num).ok_or_else(StorageError::authentication_failed)?;
    let payload = description.event(upload.name.as_str(), stored.bytes).to_string();
    let properties = vec![(about::CONTENT_TYPE.to_owned(), "application/json".to_owned())];
    let data = EventData::Telemetry { subfolder: FILE_UPLOADED.to_owned(), payload: payload.into(), properties };
    let written = submit(app, &Arc::clone(&device), vec![NewEvent::new(true, data)]).await;
    written.map_err(|error| StorageError::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", error.to_string()))?;
    tracing::debug!(device = %device.name, file = %upload.name, bytes = stored.bytes, "a device uploaded a file");
    Ok(created(stored))
}
