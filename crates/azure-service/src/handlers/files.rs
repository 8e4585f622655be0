//! A device asks for a URL to upload a file to, and reports the end of the upload.

use axum::{
    Json,
    extract::{FromRequest as _, Path, Request, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    body::Body,
    device::DeviceCaller,
    error::{Code, ServiceError},
    gate::host,
};
use switchbox_azure::storage;
use switchbox_files::{self as files, FileName};
use switchbox_support::clock;

/// Its size is bounded by that of the body; the name is checked by [`FileName`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UploadRequest {
    blob_name: String,
}

/// The result of an upload, as the device reports it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Notification {
    correlation_id: String,
    is_success: bool,
    status_code: Value,
    status_description: Value,
}

impl From<files::Error> for ServiceError {
    fn from(error: files::Error) -> Self {
        let code = match &error {
            files::Error::NoUpload => Code::NotFound,
            files::Error::Full { .. } => Code::Throttled,
            files::Error::Disk(_) => Code::ServiceUnavailable,
            files::Error::Exists | files::Error::Block(_) => Code::ArgumentInvalid,
        };
        let refused = Self::new(code, error.to_string());
        if let files::Error::Full { limit, .. } = error { refused.limit(limit) } else { refused }
    }
}

/// The upload URL is on this host, with the host name of the device's request.
pub(crate) async fn begin(
    State(app): State<App>,
    DeviceCaller(device): DeviceCaller,
    request: Request,
) -> Result<Json<Value>, ServiceError> {
    let (parts, body) = request.into_parts();
    let host = host(&parts).to_owned();
    let Body(request) = Body::<UploadRequest>::from_request(Request::from_parts(parts, body), &app).await?;
    let name =
        FileName::new(&request.blob_name).map_err(|error| ServiceError::invalid(format!("blobName: {error}")))?;
    let upload = app.files.begin(&device.name, device.num, name)?;
    let blob = format!("{}/{}", device.name.id, upload.name);
    let expires = clock::rfc3339(upload.expires_ms);
    Ok(Json(json!({
        "correlationId": &*upload.id,
        "hostName": host,
        "containerName": storage::CONTAINER,
        "blobName": blob,
        "sasToken": storage::sas_token(upload.key.bytes(), &blob, &upload.id, &expires),
    })))
}

pub(crate) async fn end(
    State(app): State<App>,
    caller: DeviceCaller,
    Body(notification): Body<Notification>,
) -> Result<StatusCode, ServiceError> {
    end_upload(&app, &caller, &notification.correlation_id, &notification)
}

/// The path that older SDKs use.
pub(crate) async fn end_by_path(
    State(app): State<App>,
    caller: DeviceCaller,
    Path((_, correlation_id)): Path<(String, String)>,
    Body(notification): Body<Notification>,
) -> Result<StatusCode, ServiceError> {
    end_upload(&app, &caller, &correlation_id, &notification)
}

/// Ends the upload and deletes its unused blocks.
fn end_upload(
    app: &App,
    DeviceCaller(device): &DeviceCaller,
    id: &str,
    notification: &Notification,
) -> Result<StatusCode, ServiceError> {
    let stored = app.files.end(id, device.num)?;
    let Notification { is_success, status_code, status_description, .. } = notification;
    if *is_success && !stored {
        return Err(ServiceError::invalid("isSuccess is true, and no file was uploaded to the URL"));
    }
    if !is_success {
        tracing::info!(device = %device.name, %status_code, %status_description, "a device could not upload a file");
    }
    Ok(StatusCode::NO_CONTENT)
}
