//! Files that devices have uploaded: also those of devices that are registered no more.

use std::{fs::File, io::Read as _};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;

use super::{RegistryPath, registry_name};
use crate::{
    app::App,
    blocking::blocking,
    convert::{Params, bad_token},
    error::{Error, ErrorStatus},
    reply::{ApiResult, Items, Written},
};
use switchbox_admin_api::{DeviceFile, Empty, Int64, ListFilesResponse, Time};
use switchbox_files::{BadName, FileName};
use switchbox_model::{DeviceId, DeviceName};

/// Files of one page.
const PAGE: usize = 1_000;
/// What is read from a file at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The path of a file: project, location, registry, device, and the file's name.
type FilePath = Path<(String, String, String, String, String)>;

impl From<BadName> for Error {
    fn from(error: BadName) -> Self {
        Self::invalid(error.to_string())
    }
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(ErrorStatus::Internal, format!("the files cannot be read or changed: {error}"))
}

fn named((p, l, r, d, name): (String, String, String, String, String)) -> Result<(DeviceName, FileName), Error> {
    let device = DeviceName { registry: registry_name(&p, &l, &r)?, id: DeviceId::new(&d)? };
    Ok((device, FileName::new(&name)?))
}

fn missing(device: &DeviceName, name: &FileName) -> Error {
    Error::not_found(format!("file {name} of {device}"))
}

/// In the order of devices and names; a page token names the last one.
pub(crate) async fn list(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
) -> ApiResult<ListFilesResponse<Written>> {
    params.only(&["pageSize", "pageToken", "device"])?;
    let registry = registry_name(&p, &l, &r)?;
    let max = params.number("pageSize", PAGE, PAGE)?;
    let device = params.one("device").map(DeviceId::new).transpose()?;
    let place = |token: &str| {
        let (id, name) = token.split_once('/').ok_or_else(|| bad_token(token))?;
        Ok::<_, Error>((id.to_owned(), name.to_owned()))
    };
    let after = params.one("pageToken").map(place).transpose()?;
    let files = app.handles.files.clone();
    let found = blocking(move || {
        let after = after.as_ref().map(|(id, name)| (id.as_str(), name.as_str()));
        // One more says whether there is another page.
        files.list(&registry, device.as_ref(), after, max + 1).map_err(|error| failed(&error))
    })
    .await?;
    let mut list = Items::default();
    let mut last = None;
    for file in found.iter().take(max) {
        let shown = DeviceFile {
            device: file.device.to_string(),
            name: file.name.to_string(),
            bytes: Int64(file.stored.bytes),
            time: Time(file.stored.time_ms),
        };
        if !list.push(&params.shown(&shown)) {
            break;
        }
        last = Some(format!("{}/{}", file.device, file.name));
    }
    let next_page_token = last.filter(|_| list.len() < found.len());
    Ok(Json(ListFilesResponse { files: list.page(&app.handles.counters), next_page_token }))
}

/// The file's bytes.
pub(crate) async fn get(State(app): State<App>, Path(path): FilePath, params: Params) -> Result<Response, Error> {
    params.only(&[])?;
    let (device, name) = named(path)?;
    let (files, of) = (app.handles.files.clone(), (device.clone(), name.clone()));
    let opened = blocking(move || files.open_file(&of.0, &of.1).map_err(|error| failed(&error))).await?;
    let (file, stored) = opened.ok_or_else(|| missing(&device, &name))?;
    let pieces = stream::try_unfold(file, |file| async move { piece(file).await });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, stored.bytes.into());
    // What a device uploads is shown by no browser as a page of this host.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The next piece of the file, and the file. Returns `None` at its end.
async fn piece(mut file: File) -> Result<Option<(Bytes, File)>, Error> {
    blocking(move || {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).map_err(|error| failed(&error))?;
        piece.truncate(read);
        Ok((read > 0).then(|| (piece.into(), file)))
    })
    .await
}

pub(crate) async fn delete(State(app): State<App>, Path(path): FilePath, params: Params) -> ApiResult<Empty> {
    params.only(&[])?;
    let (device, name) = named(path)?;
    let (files, of) = (app.handles.files.clone(), (device.clone(), name.clone()));
    if blocking(move || files.delete(&of.0, &of.1).map_err(|error| failed(&error))).await? {
        Ok(Json(Empty {}))
    } else {
        Err(missing(&device, &name))
    }
}
