//! Begins and ends recordings of plugins.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::manager::Manager;
use switchbox_dry_run::{
    mask::Masks,
    sink::{BeginError, Options, Recording, Status},
};
use switchbox_model::{
    PluginName,
    limits::{self, names},
};

/// Options of a recording.
#[derive(Debug, Clone, Default)]
pub struct RecordRequest {
    /// For how long. Is `None` if the recording continues until it is stopped or its file is full.
    pub time: Option<Duration>,
    /// Maximum size of the file. Is `None` if it is the largest that is allowed.
    pub max_bytes: Option<u64>,
    /// Patterns of keys to mask, in addition to the host's own.
    pub mask: Vec<String>,
}

/// What is stored of a recording without a time limit.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRequest {
    max_bytes: Option<u64>,
    mask: Vec<String>,
}

/// Why a recording does not begin.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("plugin {0} is not running")]
    NotRunning(PluginName),
    #[error("plugin {0} is being recorded already")]
    UnderWay(PluginName),
    #[error("the limit \"{}\" is reached: {} plugins are being recorded", names::RECORDINGS, limits::RECORDINGS)]
    TooMany,
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Begin(#[from] BeginError),
}

impl Manager {
    /// Starts to record a plugin. The new recording replaces the previous one.
    pub fn record(&self, name: &PluginName, request: RecordRequest) -> Result<Status, RecordError> {
        let stored =
            request.time.is_none().then(|| StoredRequest { max_bytes: request.max_bytes, mask: request.mask.clone() });
        let status = self.begin(name, request, false)?;
        if let Some(stored) = stored {
            self.store_request(name, &stored);
        }
        Ok(status)
    }

    /// Stores the request, so that the recording continues after a restart of the host. If the request cannot be stored, the recording ends
    /// with the host.
    fn store_request(&self, name: &PluginName, stored: &StoredRequest) {
        let text = serde_json::to_vec(stored).unwrap_or_default();
        if let Err(error) = std::fs::write(self.request_file(name), text) {
            tracing::warn!(plugin = %name, %error, "the recording ends with the host: its options cannot be stored");
        }
    }

    /// The host has been restarted: a recording without a time limit continues.
    pub(super) fn continue_recording(&self, name: &PluginName) {
        if self.context.recordings.of(name).is_some() {
            return;
        }
        let Ok(text) = std::fs::read(self.request_file(name)) else { return };
        let Ok(StoredRequest { max_bytes, mask }) = serde_json::from_slice(&text) else { return };
        match self.begin(name, RecordRequest { time: None, max_bytes, mask }, true) {
            Ok(_) => tracing::info!(plugin = %name, "its recording continues"),
            Err(error) => tracing::warn!(plugin = %name, %error, "its recording does not continue"),
        }
    }

    /// The file with the request of a recording without a time limit.
    fn request_file(&self, name: &PluginName) -> PathBuf {
        self.recordings.join(format!("{name}.always.json"))
    }

    /// `continues`: the recording was begun before the host was restarted.
    fn begin(&self, name: &PluginName, request: RecordRequest, continues: bool) -> Result<Status, RecordError> {
        let runner = self.routes.runner(name).ok_or_else(|| RecordError::NotRunning(name.clone()))?;
        check(&request)?;
        let mut recordings = self.context.recordings.0.lock();
        if recordings.get(name).is_some_and(|recording| !recording.is_closed()) {
            return Err(RecordError::UnderWay(name.clone()));
        }
        if recordings.values().filter(|recording| !recording.is_closed()).count() >= limits::RECORDINGS {
            self.context.metrics.limit(names::RECORDINGS);
            return Err(RecordError::TooMany);
        }
        let options = Options {
            plugin: name.clone(),
            file: self.recording_file(name),
            continues,
            time: request.time,
            max_bytes: request.max_bytes.unwrap_or(limits::RECORDING_BYTES),
            mask: request.mask,
            metrics: self.context.metrics.clone(),
        };
        let recording = Recording::begin(options, &self.context.supervisor)?;
        let status = recording.status();
        recordings.insert(name.clone(), recording);
        drop(recordings);
        runner.versions.recheck_instances();
        Ok(status)
    }

    /// Ends the plugin's recording. Returns `None` if there is none.
    pub fn stop_recording(&self, name: &PluginName) -> Option<Status> {
        let recording = self.context.recordings.0.lock().get(name).cloned()?;
        recording.stop();
        // A recording with a time limit has no such file.
        let _ = std::fs::remove_file(self.request_file(name));
        if let Some(runner) = self.routes.runner(name) {
            runner.versions.recheck_instances();
        }
        Some(recording.status())
    }

    /// The plugin's newest recording since the host started.
    #[must_use]
    pub fn recording(&self, name: &PluginName) -> Option<Status> {
        self.context.recordings.0.lock().get(name).map(|recording| recording.status())
    }

    /// The path of the plugin's newest recording, whether it exists or not.
    #[must_use]
    pub fn recording_file(&self, name: &PluginName) -> PathBuf {
        self.recordings.join(format!("{name}.jsonl"))
    }
}

/// Refuses a recording that could have no content. The largest time and size are checked where a request is received
/// (`fields::RECORDING_TIME`, `fields::RECORDING_FILE`).
fn check(request: &RecordRequest) -> Result<(), RecordError> {
    let is_empty = request.time.is_some_and(|time| time.is_zero()) || request.max_bytes == Some(0);
    if is_empty {
        return Err(RecordError::Invalid("a recording takes at least 1 s, and its file has at least 1 byte".into()));
    }
    Masks::new(&request.mask).map_err(RecordError::Invalid)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_that_is_no_glob_is_a_wrong_request() {
        let masked_by = |mask: &str| check(&RecordRequest { mask: vec![mask.into()], ..RecordRequest::default() });
        assert!(matches!(masked_by("["), Err(RecordError::Invalid(_))));
        assert!(masked_by("*pin*").is_ok());
    }
}
