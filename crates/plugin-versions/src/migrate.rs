//! Takes over what earlier versions of the host kept: the component that ran and the one before it, as two files a plugin, and the
//! settings of the last few versions.

use std::{fs, path::Path, sync::Arc, time::UNIX_EPOCH};

use serde::Deserialize;

use super::{
    components,
    version::{Summary, Version},
};
use switchbox_model::PluginName;
use switchbox_plugin_model::digest;

/// A version as earlier hosts kept it.
#[derive(Deserialize)]
struct EarlierVersion {
    version: String,
    /// `builtin:…`, or the digest of a component of the watched folder.
    component: String,
    settings: Arc<str>,
}

/// The versions that an earlier host kept of the plugin, oldest first. Their components are kept by their digests from now on. None
/// where there is nothing, or nothing that can be read: it costs no more than going back.
pub(super) fn versions(folder: &Path, plugin: &PluginName) -> Vec<Version> {
    let list = folder.join(format!("{plugin}.versions.json"));
    let (Ok(text), Ok(about)) = (fs::read(&list), fs::metadata(&list)) else { return Vec::new() };
    let time_ms = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time_ms = time_ms.and_then(|time| u64::try_from(time.as_millis()).ok()).unwrap_or(0);
    for which in ["previous", "current"] {
        if let Ok(bytes) = fs::read(folder.join(format!("{plugin}.{which}.wasm"))) {
            // That one cannot be kept costs no more than going back to it.
            let _ = components::keep(folder, &digest(&bytes), components::COMPONENT, &bytes);
        }
    }
    let ran: Vec<EarlierVersion> = serde_json::from_slice(&text).unwrap_or_default();
    let version = |(number, ran): (u64, EarlierVersion)| Version {
        number,
        id: ran.version,
        // Which bytes a built-in had then is not known any more.
        digest: if ran.component.starts_with("builtin:") { String::new() } else { ran.component.clone() },
        component: if ran.component.starts_with("builtin:") { ran.component } else { format!("{plugin}.wasm") },
        script: None,
        settings: ran.settings,
        time_ms,
        by: None,
        about: Summary::default(),
        rolled_back: None,
        earlier: Vec::new(),
    };
    (1..).zip(ran).map(version).collect()
}

/// Deletes the files of an earlier host.
pub(super) fn forget(folder: &Path, plugin: &PluginName) {
    for name in [format!("{plugin}.versions.json"), format!("{plugin}.current.wasm"), format!("{plugin}.previous.wasm")]
    {
        // There may be none.
        let _ = fs::remove_file(folder.join(name));
    }
}
