//! Plugins.

use super::call::{Call, Shape::Other, delete, get, json, patch, put, verb};
use crate::handlers::{approvals, canary, dry_run, grant, plugins, rollback, shadow};

/// The largest component, bytes.
const COMPONENT_BYTES: usize = 64 * 1024 * 1024;
use switchbox_admin_api::{
    Approval, CanaryPluginRequest, GrantRequest, GrantResponse, ListApprovalsResponse, ListBuiltinsResponse,
    ListPluginVersionsResponse, ListPluginsResponse, Plugin, PluginCanary, PluginFile, PluginPatch, PluginRecording,
    PluginShadow, RecordPluginRequest, RejectRequest, RollbackRequest, ShadowPluginRequest, TryPluginRequest,
    TryPluginResponse,
};

/// A try that brings a component, bytes: the component in base64, and the event.
const TRY_BYTES: usize = COMPONENT_BYTES / 3 * 4 + 2 * 1024 * 1024;

const PLUGIN: &str = "/v1/plugins/{name}";

pub(super) fn calls() -> Vec<Call> {
    let mut calls = vec![
        get("/v1/plugins", plugins::list)
            .says("All plugins; with a device, a topic or an event, also which of their triggers and grants match it")
            .params(&["kind", "device", "subfolder", "topic"])
            .answers(json::<ListPluginsResponse>()),
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
        verb(PLUGIN, "enable", plugins::enable).says("Enables a plugin").answers(json::<PluginFile>()),
        verb(PLUGIN, "disable", plugins::disable).says("Disables a plugin").answers(json::<PluginFile>()),
        verb(PLUGIN, "reload", plugins::reload).says("Reads a plugin's files again").answers(json::<PluginFile>()),
        verb(PLUGIN, "rollback", rollback::rollback)
            .says("Restores a version that ran before, by writing it into the watched folder: the previous one, or that in the body")
            .takes(json::<RollbackRequest>())
            .answers(json::<PluginFile>()),
        get("/v1/plugins/{name}/versions", rollback::versions)
            .says("The versions of a plugin that have run, the newest in force first")
            .answers(json::<ListPluginVersionsResponse>()),
        get("/v1/plugins/{name}/versions/{number}/component", rollback::component)
            .says("The component of a version, by its number or the beginning of its digest")
            .answers(Other(&["application/wasm"])),
        verb(PLUGIN, "grant", grant::grant)
            .says("Writes grants into a plugin's settings file: those in the body, or all that it asks for")
            .takes(json::<GrantRequest>())
            .answers(json::<GrantResponse>()),
    ];
    calls.extend(candidates());
    calls
}

/// What is tried before it acts, acts for some, or waits for an operator.
fn candidates() -> Vec<Call> {
    vec![
        verb(PLUGIN, "try", dry_run::try_event)
            .says("Tries a plugin on an event, and answers what it would do; nothing is carried out")
            .takes(json::<TryPluginRequest>())
            .body_bytes(TRY_BYTES)
            .answers(json::<TryPluginResponse>()),
        verb(PLUGIN, "record", dry_run::record)
            .says("Records a plugin's executions, with its calls of the host; replaces its earlier recording")
            .takes(json::<RecordPluginRequest>())
            .answers(json::<PluginRecording>()),
        verb(PLUGIN, "stopRecording", dry_run::stop_recording)
            .says("Ends a plugin's recording")
            .answers(json::<PluginRecording>()),
        get("/v1/plugins/{name}/recording", dry_run::recording)
            .says("A plugin's newest recording so far, in the format of docs/recordings.md")
            .answers(Other(&["application/jsonl"])),
        get("/v1/plugins/{name}/journalRecording", dry_run::journal_recording)
            .says("A recording made of a plugin's executions in the journal, which has no calls of the host")
            .params(&["since", "mask"])
            .answers(Other(&["application/jsonl"])),
        verb(PLUGIN, "shadow", shadow::begin)
            .says("Runs a candidate beside a plugin: it sees the plugin's events, and its effects are compared and not carried out")
            .takes(json::<ShadowPluginRequest>())
            .body_bytes(TRY_BYTES)
            .answers(json::<PluginShadow>()),
        verb(PLUGIN, "stopShadow", shadow::stop).says("Ends a plugin's shadow").answers(json::<PluginShadow>()),
        get("/v1/plugins/{name}/shadow", shadow::status)
            .says("The results of a plugin's shadow so far")
            .answers(json::<PluginShadow>()),
        verb(PLUGIN, "canary", canary::begin)
            .says("Lets a candidate act for some devices, or changes the devices of the running one")
            .takes(json::<CanaryPluginRequest>())
            .body_bytes(TRY_BYTES)
            .answers(json::<PluginCanary>()),
        verb(PLUGIN, "promoteCanary", canary::promote)
            .says("Writes a plugin's canary into the watched folder, so that it acts for all devices")
            .answers(json::<PluginFile>()),
        verb(PLUGIN, "abortCanary", canary::abort).says("Ends a plugin's canary").answers(json::<PluginCanary>()),
        get("/v1/plugins/{name}/canary", canary::status)
            .says("The status of a plugin's canary")
            .answers(json::<PluginCanary>()),
        get("/v1/approvals", approvals::list)
            .says("Effects of plugins that wait for an operator's approval, oldest first")
            .answers(json::<ListApprovalsResponse>()),
        get("/v1/approvals/{id}", approvals::get).says("Effects that wait for approval").answers(json::<Approval>()),
        verb("/v1/approvals/{id}", "approve", approvals::approve).says("Commits effects that wait for approval"),
        verb("/v1/approvals/{id}", "reject", approvals::reject)
            .says("Drops effects that wait for approval; their event becomes a dead letter")
            .takes(json::<RejectRequest>()),
    ]
}
