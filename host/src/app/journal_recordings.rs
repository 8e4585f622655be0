//! Recordings made of the journal, between the API and the parts that know the versions of a plugin and its executions.

use bytes::Bytes;

use switchbox_admin::{DryRunError, PluginFuture, RecordingPieces};
use switchbox_dispatch::{JournalRecording, Manager};
use switchbox_dry_run::journal_lines::RanVersion;
use switchbox_model::PluginName;
use switchbox_plugin_runtime::PluginSettings;
use switchbox_plugin_versions::{History, Version};

struct Pieces(JournalRecording);

impl RecordingPieces for Pieces {
    fn next(&mut self) -> PluginFuture<'_, Result<Option<Bytes>, String>> {
        Box::pin(async { self.0.next().await.map_err(|error| error.to_string()) })
    }
}

/// Begins to make a recording. It reads the history of the plugin's versions.
pub(super) async fn begin(
    plugins: &Manager,
    history: History,
    name: PluginName,
    since_ms: u64,
    mask: Vec<String>,
) -> Result<Box<dyn RecordingPieces>, DryRunError> {
    let plugin = name.clone();
    let read = tokio::task::spawn_blocking(move || history.versions(&plugin)).await;
    let versions: Vec<_> = read.unwrap_or_default().into_iter().filter_map(ran).collect();
    if versions.is_empty() {
        return Err(DryRunError::Refused(format!("no version of {name} is known that has run")));
    }
    let recording = plugins.journal_recording(&name, since_ms, versions, &mask).map_err(DryRunError::Invalid)?;
    Ok(Box::new(Pieces(recording)))
}

/// Returns `None` if this version of the host cannot read the settings.
fn ran(version: Version) -> Option<RanVersion> {
    let Version { digest, time_ms, settings, earlier, .. } = version;
    let times_ms = earlier.into_iter().map(|before| before.time_ms).chain([time_ms]).collect();
    Some(RanVersion { digest, times_ms, settings: PluginSettings::parse(&settings).ok()? })
}
