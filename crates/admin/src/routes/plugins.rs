//! Plugins.

use super::call::{Call, Shape::Other, delete, get, json, patch, put, verb};
use crate::handlers::{dry_run, grant, plugins, rollback};

/// The largest component, bytes.
const COMPONENT_BYTES: usize = 64 * 1024 * 1024;
use switchbox_admin_api::{
    GrantRequest, GrantResponse, ListBuiltinsResponse, ListPluginVersionsResponse, ListPluginsResponse, Plugin,
    PluginFile, PluginPatch, PluginRecording, RecordPluginRequest, RollbackRequest, TryPluginRequest,
    TryPluginResponse,
};

/// A try that brings a component, bytes: the component in base64, and the event.
const TRY_BYTES: usize = COMPONENT_BYTES / 3 * 4 + 2 * 1024 * 1024;

const PLUGIN: &str = "/v1/plugins/{name}";

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/v1/plugins", plugins::list).says("All plugins").answers(json::<ListPluginsResponse>()),
        get("/v1/builtins", plugins::builtins)
            .says("The plugins that are part of the host")
            .answers(json::<ListBuiltinsResponse>()),
        get(PLUGIN, plugins::get).says("A plugin: its state, versions, counters and limits").answers(json::<Plugin>()),
        put(PLUGIN, plugins::put)
            .says("Writes a component or a settings file into the watched folder")
            .takes(Other(&["application/wasm", "application/toml"]))
            .body_bytes(COMPONENT_BYTES)
            .answers(json::<PluginFile>()),
        patch(PLUGIN, plugins::patch)
            .says("Changes a plugin's settings file")
            .takes(json::<PluginPatch>())
            .answers(json::<PluginFile>()),
        delete(PLUGIN, plugins::delete)
            .says("Removes a plugin's files from the watched folder; with purgeState=true also its state and timers")
            .params(&["purgeState"]),
        verb(PLUGIN, "enable", plugins::enable).says("Switches a plugin on").answers(json::<PluginFile>()),
        verb(PLUGIN, "disable", plugins::disable).says("Switches a plugin off").answers(json::<PluginFile>()),
        verb(PLUGIN, "reload", plugins::reload).says("Reads a plugin's files again").answers(json::<PluginFile>()),
        verb(PLUGIN, "rollback", rollback::rollback)
            .says("Writes a version that ran before into the watched folder again: the one before, or that in the body")
            .takes(json::<RollbackRequest>())
            .answers(json::<PluginFile>()),
        get("/v1/plugins/{name}/versions", rollback::versions)
            .says("The versions of a plugin that have run, the one that came into force last first")
            .answers(json::<ListPluginVersionsResponse>()),
        get("/v1/plugins/{name}/versions/{number}/component", rollback::component)
            .says("The component of a version, by its number or the beginning of its digest")
            .answers(Other(&["application/wasm"])),
        verb(PLUGIN, "grant", grant::grant)
            .says("Writes grants into a plugin's settings file: those in the body, or all that it asks for")
            .takes(json::<GrantRequest>())
            .answers(json::<GrantResponse>()),
        verb(PLUGIN, "try", dry_run::try_event)
            .says("Gives a plugin an event in an instance of its own, and answers what it would do; nothing is carried out")
            .takes(json::<TryPluginRequest>())
            .body_bytes(TRY_BYTES)
            .answers(json::<TryPluginResponse>()),
        verb(PLUGIN, "record", dry_run::record)
            .says("Records a plugin's executions, with all that it asks of the host; takes the place of its recording before")
            .takes(json::<RecordPluginRequest>())
            .answers(json::<PluginRecording>()),
        verb(PLUGIN, "stopRecording", dry_run::stop_recording)
            .says("Ends a plugin's recording")
            .answers(json::<PluginRecording>()),
        get("/v1/plugins/{name}/recording", dry_run::recording)
            .says("A plugin's newest recording so far, in the form of docs/recordings.md")
            .answers(Other(&["application/jsonl"])),
    ]
}
