//! Which plugins the files define, and how that differs from what was reported before. Reads nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{Change, Source},
    files::{Content, Files, SCRIPT},
};
use switchbox_model::PluginName;
use switchbox_plugin_model::{PluginSettings, settings::ComponentRef};

/// What was reported of each plugin.
#[derive(Debug, Default)]
pub(super) struct Plan {
    reported: BTreeMap<PluginName, PluginSource>,
    /// Files that can make no plugin, already logged.
    invalid_names: BTreeSet<String>,
}

/// What a plugin's files define.
#[derive(Debug, Clone, PartialEq)]
enum PluginSource {
    Builtin(String, Box<PluginSettings>),
    /// File name and the hash of its bytes.
    File(String, [u8; 32], Box<PluginSettings>),
    Broken(String),
}

impl Plan {
    /// What has changed since the last time.
    pub(super) fn changes(&mut self, files: &mut Files) -> Vec<Change> {
        let names = self.plugins(files);
        let gone = self.reported.keys().filter(|name| !names.contains(*name)).cloned().collect::<Vec<_>>();
        let mut changes = Vec::new();
        for name in gone {
            self.reported.remove(&name);
            changes.push(Change::Removed { name });
        }
        for name in names {
            let Some(made) = make(&name, files).filter(|made| self.reported.get(&name) != Some(made)) else { continue };
            let Some(change) = change(&name, &made, files) else { continue };
            self.reported.insert(name, made);
            changes.push(change);
        }
        files.forget_bytes();
        changes
    }

    /// Plugins that have files and are not reported yet, because the files are still being written.
    pub(super) fn unreported(&mut self, files: &Files) -> Vec<PluginName> {
        self.plugins(files).into_iter().filter(|name| !self.reported.contains_key(name)).collect()
    }

    fn plugins(&mut self, files: &Files) -> BTreeSet<PluginName> {
        let mut names = BTreeSet::new();
        for file in files.names() {
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            match PluginName::new(stem) {
                Ok(name) => drop(names.insert(name)),
                Err(error) if self.invalid_names.insert(file.to_owned()) => {
                    tracing::warn!(file, %error, "the plugin cannot be used")
                }
                Err(_) => {}
            }
        }
        self.invalid_names.retain(|file| files.has(file));
        names
    }
}

/// Returns `None` while one of its files is still being written.
fn make(name: &PluginName, files: &Files) -> Option<PluginSource> {
    let toml = format!("{name}.toml");
    let settings = match files.content(&toml) {
        Some(Content::Settings(Ok(settings))) => settings.clone(),
        Some(Content::Settings(Err(error)) | Content::Component(Err(error))) => {
            return Some(PluginSource::Broken(error.clone()));
        }
        Some(Content::Component(Ok(_))) => return None,
        None if files.has(&toml) => return None,
        None => Box::default(),
    };
    let file = match &settings.component {
        Some(ComponentRef::Builtin(builtin)) => return Some(PluginSource::Builtin(builtin.clone(), settings)),
        Some(ComponentRef::File(file)) => file.clone(),
        None => component_file(name, files),
    };
    match files.content(&file) {
        Some(Content::Component(Ok(hash))) => Some(PluginSource::File(file, *hash, settings)),
        Some(Content::Component(Err(error)) | Content::Settings(Err(error))) => {
            Some(PluginSource::Broken(error.clone()))
        }
        Some(Content::Settings(Ok(_))) => None,
        None if files.has(&file) => None,
        None => Some(PluginSource::Broken(format!("{toml}: component: there is no {file} in the folder"))),
    }
}

/// A component goes before a rule in JavaScript that it may have been made of.
fn component_file(name: &PluginName, files: &Files) -> String {
    let (component, script) = (format!("{name}.wasm"), format!("{name}{SCRIPT}"));
    if !files.has(&component) && files.has(&script) { script } else { component }
}

/// Returns `None` if the file has to be read again.
fn change(name: &PluginName, made: &PluginSource, files: &mut Files) -> Option<Change> {
    let name = name.clone();
    Some(match made {
        PluginSource::Broken(error) => Change::Broken { name, error: error.clone() },
        PluginSource::Builtin(builtin, settings) => {
            let text = files.text(&format!("{name}.toml")).unwrap_or_default();
            Change::Upsert { name, component: Source::Builtin(builtin.clone()), settings: settings.clone(), text }
        }
        PluginSource::File(file, _, settings) => {
            let (path, bytes) = (files.path(file), files.bytes(file)?);
            let component =
                if file.ends_with(SCRIPT) { Source::Script { path, bytes } } else { Source::File { path, bytes } };
            let text = files.text(&format!("{name}.toml")).unwrap_or_default();
            Change::Upsert { name, component, settings: settings.clone(), text }
        }
    })
}
