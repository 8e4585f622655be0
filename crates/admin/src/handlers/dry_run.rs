//! Dry runs and recordings of plugins. The dispatcher carries them out.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
};

use axum::{
    Json,
    body::{Body as Stream, Bytes},
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::{history::since, of_plugin};
use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    error::{Error, ErrorStatus},
    plugins::DryRunError,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{PluginRecording, RecordPluginRequest, TryPluginRequest, TryPluginResponse};
use switchbox_model::{DeviceName, Event, PluginName, Seq, limits::fields};

/// The size of the pieces in which a recording is read, bytes.
const CHUNK_BYTES: usize = 256 * 1024;

pub(crate) async fn try_event(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(request): Body<TryPluginRequest>,
) -> ApiResult<TryPluginResponse> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let from_journal = match (&request.event, request.event_number) {
        (None, Some(number)) => Some(of_journal(&app, Seq(number.0)).await?),
        (Some(_), None) => None,
        _ => return Err(Error::invalid("a try has either an event or an eventNumber")),
    };
    let tried = app.handles.plugins.try_event(&name, request, from_journal).await;
    tried.map(Json).map_err(refused)
}

/// Reads the event from the journal, and the name of its device.
async fn of_journal(app: &App, seq: Seq) -> Result<(Event, Option<DeviceName>), Error> {
    let history = app.handles.journal.event_history(seq, None).await?;
    let event = history.event.ok_or_else(|| Error::not_found(format!("event {seq} of the journal")))?;
    let device = match event.device {
        None => None,
        Some(num) => Some(app.name_of(num).ok_or_else(|| {
            let text = format!("the device that event {seq} came from was deleted; give the event itself");
            Error::new(ErrorStatus::FailedPrecondition, text)
        })?),
    };
    Ok((event, device))
}

pub(crate) async fn record(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(request): Body<RecordPluginRequest>,
) -> ApiResult<PluginRecording> {
    params.only(&[])?;
    fields::RECORDING_MASKS.check_len("mask", request.mask.len())?;
    fields::RECORDING_TIME.check("seconds", request.seconds.map_or(0, |seconds| seconds.0))?;
    fields::RECORDING_FILE.check("bytes", request.bytes.map_or(0, |bytes| bytes.0))?;
    let name = PluginName::new(&name)?;
    let plugins = app.handles.plugins.clone();
    let begun = blocking(move || plugins.record(&name, request).map_err(refused)).await?;
    Ok(Json(begun))
}

pub(crate) async fn stop_recording(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<PluginRecording> {
    params.only(&[])?;
    of_plugin(&name, "recording", |name| app.handles.plugins.stop_recording(name)).map(Json)
}

/// Returns what has been written when the call arrives.
pub(crate) async fn recording(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let path = app.handles.plugins.recording_file(&name);
    let file = blocking(move || {
        let none = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => Error::not_found(format!("recording of plugin {name}")),
            _ => Error::new(ErrorStatus::Internal, error.to_string()),
        };
        let file = File::open(path).map_err(none)?;
        let bytes = file.metadata().map_err(none)?.len();
        Ok(file.take(bytes))
    })
    .await?;
    let chunks = stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let read = file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
            read.map(|_| (Bytes::from(chunk), file))
                .map_err(|error| Error::new(ErrorStatus::Internal, error.to_string()))
        });
        match read.await {
            Ok((chunk, _)) if chunk.is_empty() => None,
            Ok((chunk, file)) => Some((Ok(chunk), Some(file))),
            Err(error) => Some((Err(std::io::Error::other(error.text)), None)),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Stream::from_stream(chunks)).into_response())
}

pub(crate) async fn journal_recording(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    params.only(&["since", "mask"])?;
    let mask: Vec<_> = params.all("mask").into_iter().map(str::to_owned).collect();
    fields::RECORDING_MASKS.check_len("mask", mask.len())?;
    let (name, since_ms) = (PluginName::new(&name)?, since(&params)?.unwrap_or(0));
    let pieces = app.handles.plugins.journal_recording(&name, since_ms, mask).await.map_err(refused)?;
    let lines = stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.next().await {
            Ok(Some(lines)) => Some((Ok(lines), Some(pieces))),
            Ok(None) => None,
            Err(text) => Some((Err(std::io::Error::other(text)), None)),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Stream::from_stream(lines)).into_response())
}

pub(super) fn refused(error: DryRunError) -> Error {
    match error {
        DryRunError::Refused(text) => Error::new(ErrorStatus::FailedPrecondition, text),
        DryRunError::Invalid(text) => Error::invalid(text),
        DryRunError::Failed(text) => Error::new(ErrorStatus::Internal, text),
    }
}
