//! The recordings of all plugins.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use switchbox_dry_run::sink::Recording;
use switchbox_model::PluginName;

/// The recordings of all plugins, those that have ended included.
#[derive(Default)]
pub(super) struct Recordings(pub(super) Mutex<BTreeMap<PluginName, Arc<Recording>>>);

impl Recordings {
    /// The running recording of the plugin.
    pub(super) fn of(&self, plugin: &PluginName) -> Option<Arc<Recording>> {
        self.0.lock().get(plugin).filter(|recording| !recording.is_closed()).cloned()
    }
}
