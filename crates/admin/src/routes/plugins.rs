//! Plugins.

use super::call::{
    Call,
    Shape::{Json, Other},
    delete, get, patch, put, verb,
};
use crate::handlers::{grant, plugins, rollback};

/// The largest component, bytes.
const COMPONENT_BYTES: usize = 64 * 1024 * 1024;

const PLUGIN: &str = "/v1/plugins/{name}";

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/v1/plugins", plugins::list).says("All plugins").answers(Json("ListPluginsResponse")),
        get(PLUGIN, plugins::get).says("A plugin: its state, versions, counters and limits").answers(Json("Plugin")),
        put(PLUGIN, plugins::put)
            .says("Writes a component or a settings file into the watched folder")
            .takes(Other(&["application/wasm", "application/toml"]))
            .body_bytes(COMPONENT_BYTES)
            .answers(Json("PluginFile")),
        patch(PLUGIN, plugins::patch)
            .says("Changes the settings file")
            .takes(Json("PluginPatch"))
            .answers(Json("PluginFile")),
        delete(PLUGIN, plugins::delete)
            .says("Removes its files from the watched folder, and with purgeState=true also its state and its timers")
            .params(&["purgeState"]),
        verb(PLUGIN, "enable", plugins::enable).says("Switches it on").answers(Json("PluginFile")),
        verb(PLUGIN, "disable", plugins::disable).says("Switches it off").answers(Json("PluginFile")),
        verb(PLUGIN, "reload", plugins::reload).says("Loads its files again").answers(Json("PluginFile")),
        verb(PLUGIN, "rollback", rollback::rollback)
            .says("Writes the component that ran before into the watched folder again")
            .answers(Json("PluginFile")),
        verb(PLUGIN, "grant", grant::grant)
            .says("Consents to all that it asks for, or to these grants: writes them into its settings file")
            .takes(Json("GrantRequest"))
            .answers(Json("GrantResponse")),
    ]
}
