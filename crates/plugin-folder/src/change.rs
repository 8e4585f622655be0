//! Changes in the folder, as they are reported to the host.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;

use switchbox_model::PluginName;
use switchbox_plugin_model::PluginSettings;

/// A plugin's component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// By its name among those in the host.
    Builtin(String),
    File {
        path: PathBuf,
        bytes: Bytes,
    },
    /// A rule in JavaScript, of which a component has to be made.
    Script {
        path: PathBuf,
        bytes: Bytes,
    },
}

/// What happened in the folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The plugin is new, or its component or settings are.
    Upsert {
        name: PluginName,
        component: Source,
        settings: Box<PluginSettings>,
        /// The settings as they are in their file.
        text: Arc<str>,
    },
    /// The plugin's files are gone.
    Removed { name: PluginName },
    /// The plugin's files cannot be used; the text names the file or the key.
    Broken { name: PluginName, error: String },
    /// The first scan of the folder is complete: all plugins that have files are reported, except the `unreported` ones, whose files are still
    /// being written. Reported once.
    FirstScanDone { unreported: Vec<PluginName> },
}

impl Change {
    /// The plugin whose files changed. Returns `None` if the change is of the folder.
    #[must_use]
    pub fn plugin(&self) -> Option<&PluginName> {
        match self {
            Self::Upsert { name, .. } | Self::Removed { name } | Self::Broken { name, .. } => Some(name),
            Self::FirstScanDone { .. } => None,
        }
    }
}
