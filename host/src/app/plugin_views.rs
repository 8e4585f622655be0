//! The plugins as the admin API sees them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{dry_runs, journal_recordings};
use switchbox_admin::{ApprovalError, DeleteError, DryRunError, PluginFuture, Plugins, RecordingPieces, RedriveError};
use switchbox_admin_api::{
    Approval, Builtin, CanaryPluginRequest, Int64, Plugin, PluginCanary, PluginCounters, PluginGuard, PluginMatches,
    PluginRecording, PluginRolledBack, PluginShadow, PluginTimers, PluginVersion, RecordPluginRequest, SettingsField,
    SettingsKind, ShadowPluginRequest, Time, TryPluginRequest, TryPluginResponse, VersionInForce, VersionRolledBack,
};
use switchbox_dispatch as dispatch;
use switchbox_dispatch::{GuardStatus, Manager, PluginState, PluginStatus};
use switchbox_model::{DeviceName, Event, PluginName};
use switchbox_plugin_loader::{grant, store_windows, trigger};
use switchbox_plugin_runtime::{
    PluginSettings, Subject, schema,
    settings::ComponentRef,
    surface::{is_empty, is_refused},
};
use switchbox_plugin_versions::{History, RolledBack, TimeInForce, Version};

pub(super) struct Views {
    plugins: Arc<Manager>,
    history: History,
}

impl Views {
    pub(super) fn new(plugins: Arc<Manager>, history: History) -> Self {
        Self { plugins, history }
    }

    fn view(&self, status: PluginStatus) -> Plugin {
        let name = PluginName::new(&status.name).ok();
        let recording = name.and_then(|name| self.plugins.recording(&name)).map(dry_runs::recording);
        Plugin { recording, ..view(status) }
    }
}

impl Views {
    /// What is kept of a version. Returns `None` if there is no such version.
    fn of_version(
        &self,
        name: &PluginName,
        number: u64,
        read: fn(&History, &Version) -> io::Result<Option<Vec<u8>>>,
    ) -> PluginFuture<'_, io::Result<Option<Vec<u8>>>> {
        let (history, name) = (self.history.clone(), name.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                let version = history.versions(&name).into_iter().find(|version| version.number == number);
                version.map_or(Ok(None), |version| read(&history, &version))
            });
            read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
        })
    }
}

impl Plugins for Views {
    fn list(&self, of: Option<Subject>) -> PluginFuture<'_, Vec<Plugin>> {
        let view = move |status: PluginStatus| {
            let matches = of.as_ref().map(|subject| matches(subject, &status));
            Plugin { matches, ..self.view(status) }
        };
        Box::pin(async move { self.plugins.list().into_iter().map(view).collect() })
    }

    fn builtins(&self) -> Vec<Builtin> {
        let named = |(name, summary): (&str, &str)| Builtin { name: name.into(), summary: summary.into() };
        switchbox_builtins::summaries().map(named).collect()
    }

    fn get(&self, name: &PluginName) -> PluginFuture<'_, Option<Plugin>> {
        let found = self.plugins.get(name).map(|status| self.view(status));
        Box::pin(async { found })
    }

    fn versions(&self, name: &PluginName) -> PluginFuture<'_, Vec<PluginVersion>> {
        let (history, name) = (self.history.clone(), name.clone());
        let running = self.plugins.get(&name).and_then(|status| status.version_id);
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                let versions = history.versions(&name).into_iter().rev();
                let shown = |version: Version| {
                    let (kept, in_force) = (history.has_component(&version), running.as_ref() == Some(&version.id));
                    PluginVersion { kept, in_force, ..self::version(version) }
                };
                versions.map(shown).collect()
            });
            // A history that cannot be read is empty.
            read.await.unwrap_or_default()
        })
    }

    fn version_component(&self, name: &PluginName, number: u64) -> PluginFuture<'_, io::Result<Option<Vec<u8>>>> {
        self.of_version(name, number, History::component)
    }

    fn version_script(&self, name: &PluginName, number: u64) -> PluginFuture<'_, io::Result<Option<Vec<u8>>>> {
        self.of_version(name, number, History::script)
    }

    fn check_settings(&self, name: &PluginName, file: &PluginSettings) -> Result<(), String> {
        let (Some(running), Some(settings)) = (self.plugins.get(name), &file.settings) else { return Ok(()) };
        let (Some(component), Some(described)) = (running.component, running.description) else { return Ok(()) };
        let same = match &file.component {
            Some(ComponentRef::Builtin(builtin)) => component == format!("builtin:{builtin}"),
            Some(ComponentRef::File(file)) => {
                Path::new(&component).file_name().is_some_and(|name| name == file.as_str())
            }
            None => !component.starts_with("builtin:"),
        };
        if same { schema::check(&described.schema, settings) } else { Ok(()) }
    }

    fn delete_kept(&self, name: &PluginName) -> PluginFuture<'_, Result<(), DeleteError>> {
        let name = name.clone();
        Box::pin(async move {
            self.plugins.delete_kept(&name).await.map_err(|error| match error {
                dispatch::DeleteError::Installed(_) => DeleteError::Installed(error.to_string()),
                dispatch::DeleteError::NothingKept(_) => DeleteError::NothingKept(error.to_string()),
                dispatch::DeleteError::Store(error) => DeleteError::Failed(error.to_string()),
            })
        })
    }

    fn check_rollback(&self, name: &PluginName, to: &PluginVersion) -> Result<(), String> {
        let running = self.plugins.get(name).and_then(|status| status.description);
        running.map_or(Ok(()), |described| described.state.may_go_down_to(to.state_schema))
    }

    fn redrive(&self, id: u64) -> PluginFuture<'_, Result<(), RedriveError>> {
        Box::pin(async move {
            self.plugins.redrive(id).await.map_err(|error| match error {
                dispatch::RedriveError::NotFound => RedriveError::NotFound(id),
                dispatch::RedriveError::UnderWay => RedriveError::UnderWay(id),
                dispatch::RedriveError::NotRunning(plugin) => RedriveError::NotRunning(plugin.to_string()),
                dispatch::RedriveError::Store(error) => RedriveError::Failed(error.to_string()),
            })
        })
    }

    fn try_event(
        &self,
        name: &PluginName,
        request: TryPluginRequest,
        from_journal: Option<(Event, Option<DeviceName>)>,
    ) -> PluginFuture<'_, Result<TryPluginResponse, DryRunError>> {
        let name = name.clone();
        Box::pin(async move {
            let request = dry_runs::request(request, from_journal)?;
            let tried = self.plugins.try_event(&name, request).await;
            tried.map(|tried| dry_runs::response(&name, tried)).map_err(|error| dry_runs::not_tried(&error))
        })
    }

    fn record(&self, name: &PluginName, request: RecordPluginRequest) -> Result<PluginRecording, DryRunError> {
        let begun = self.plugins.record(name, dry_runs::record_request(request));
        begun.map(dry_runs::recording).map_err(|error| dry_runs::not_recorded(&error))
    }

    fn journal_recording(
        &self,
        name: &PluginName,
        since_ms: u64,
        mask: Vec<String>,
    ) -> PluginFuture<'_, Result<Box<dyn RecordingPieces>, DryRunError>> {
        let begun = journal_recordings::begin(&self.plugins, self.history.clone(), name.clone(), since_ms, mask);
        Box::pin(begun)
    }

    fn stop_recording(&self, name: &PluginName) -> Option<PluginRecording> {
        self.plugins.stop_recording(name).map(dry_runs::recording)
    }

    fn shadow(
        &self,
        name: &PluginName,
        request: ShadowPluginRequest,
    ) -> PluginFuture<'_, Result<PluginShadow, DryRunError>> {
        let name = name.clone();
        Box::pin(async move {
            let begun = self.plugins.shadow(&name, dry_runs::shadow_request(request)?).await;
            begun.map(dry_runs::shadow).map_err(|error| dry_runs::not_shadowed(&error))
        })
    }

    fn shadow_status(&self, name: &PluginName) -> Option<PluginShadow> {
        self.plugins.shadow_status(name).map(dry_runs::shadow)
    }

    fn stop_shadow(&self, name: &PluginName) -> Option<PluginShadow> {
        self.plugins.stop_shadow(name).map(dry_runs::shadow)
    }

    fn canary(
        &self,
        name: &PluginName,
        request: CanaryPluginRequest,
    ) -> PluginFuture<'_, Result<PluginCanary, DryRunError>> {
        let name = name.clone();
        Box::pin(async move {
            let begun = self.plugins.canary(&name, dry_runs::canary_request(request)?).await;
            store_windows(&self.plugins, &self.history, &name).await;
            begun.map(dry_runs::canary).map_err(|error| dry_runs::not_shadowed(&error))
        })
    }

    fn canaries(&self, name: &PluginName) -> PluginFuture<'_, Vec<PluginCanary>> {
        let (history, name) = (self.history.clone(), name.clone());
        let last = self.plugins.canary_status(&name).map(dry_runs::canary);
        Box::pin(async move {
            // A history that cannot be read is empty.
            let stored = tokio::task::spawn_blocking(move || history.canaries(&name)).await.unwrap_or_default();
            let stored = stored.into_iter().rev().map(dry_runs::canary);
            // The one that ended last may be written down or not.
            let is_last = |canary: &PluginCanary| last.as_ref().is_some_and(|last| last.since == canary.since);
            last.iter().cloned().chain(stored.filter(|canary| !is_last(canary))).collect()
        })
    }

    fn abort_canary(&self, name: &PluginName) -> Option<PluginCanary> {
        self.plugins.abort_canary(name).map(dry_runs::canary)
    }

    fn canary_files(&self, name: &PluginName) -> Option<(Option<Bytes>, Option<String>)> {
        self.plugins.canary_files(name).map(|files| (files.component, files.settings))
    }

    fn approvals(&self) -> Vec<Approval> {
        self.plugins.approvals().into_iter().map(dry_runs::approval).collect()
    }

    fn approve(&self, id: &str, caller: &str) -> PluginFuture<'_, Result<(), ApprovalError>> {
        let (id, caller) = (id.to_owned(), caller.to_owned());
        Box::pin(async move { self.plugins.approve(&id, &caller).await.map_err(|error| not_decided(&error)) })
    }

    fn reject(&self, id: &str, caller: &str, reason: &str) -> PluginFuture<'_, Result<(), ApprovalError>> {
        let (id, caller, reason) = (id.to_owned(), caller.to_owned(), reason.to_owned());
        Box::pin(async move { self.plugins.reject(&id, &caller, &reason).await.map_err(|error| not_decided(&error)) })
    }

    fn recording_file(&self, name: &PluginName) -> PathBuf {
        self.plugins.recording_file(name)
    }
}

/// Its triggers and grants that match the subject.
fn matches(subject: &Subject, status: &PluginStatus) -> PluginMatches {
    PluginMatches {
        triggers: status.triggers.iter().filter(|trigger| subject.is_seen_by(trigger)).map(trigger).collect(),
        grants: status.grants_in_force.iter().filter(|grant| subject.is_allowed_by(grant)).map(grant).collect(),
    }
}

fn view(status: PluginStatus) -> Plugin {
    let totals = status.totals;
    let described = status.description;
    let described_schema = described.as_ref().map_or(0, |described| described.state.current);
    Plugin {
        name: status.name,
        state: state(status.state).into(),
        digest: status.digest.unwrap_or_default(),
        component: status.component.unwrap_or_default(),
        version: described.as_ref().map(|d| d.version.clone()).unwrap_or_default(),
        summary: described.as_ref().map(|d| d.summary.clone()).unwrap_or_default(),
        settings: status.settings,
        limits: status.limits.map(|limits| limits.in_force()).unwrap_or_default(),
        settings_schema: described.iter().flat_map(|d| &d.schema).map(settings_field).collect(),
        default_settings: described.map(|d| d.default_settings).unwrap_or_default(),
        triggers: status.triggers.iter().map(trigger).collect(),
        grants: status.grants.iter().map(grant).collect(),
        grants_in_force: status.grants_in_force.iter().map(grant).collect(),
        refused_imports: status.imports.iter().filter(|import| is_refused(import)).cloned().collect(),
        empty_imports: status.imports.iter().filter(|import| is_empty(import)).cloned().collect(),
        imports: status.imports,
        state_schema: described_schema,
        counters: PluginCounters {
            events: totals.events(),
            done: totals.done,
            retried: totals.retried,
            rejected: totals.rejected,
            failed: totals.failed,
            dead: totals.dead,
            effects: totals.effects,
        },
        queued: status.queued,
        lagging: status.lagging,
        waiting_for_approval: status.waiting_for_approval,
        timers: PluginTimers { count: status.timers, next_time: status.next_timer_ms.map(Time) },
        last_error: status.last_error,
        guard: status.guard.map(guard),
        rolled_back: status.rolled_back.map(|rolled_back| PluginRolledBack {
            stays: rolled_back.is_still_in_force(),
            digest: rolled_back.digest,
            error: rolled_back.error,
            time: Time(rolled_back.time_ms),
            until: "the plugin's files change, or it is disabled and enabled".into(),
        }),
        recording: None,
        limits_hit: totals.limits_hit,
        warnings: status.warnings,
        matches: None,
    }
}

fn not_decided(error: &dispatch::ApprovalError) -> ApprovalError {
    let text = error.to_string();
    match error {
        dispatch::ApprovalError::NotFound(_) => ApprovalError::NotFound(text),
        dispatch::ApprovalError::Stopping | dispatch::ApprovalError::Store(_) => ApprovalError::Failed(text),
    }
}

fn guard(guard: GuardStatus) -> PluginGuard {
    PluginGuard {
        since: Time(guard.since_ms),
        events: Int64(guard.events),
        traps: Int64(guard.traps),
        errors: Int64(guard.errors),
        dead_letters: Int64(guard.dead_letters),
        of_events: Int64(guard.of_events),
        seconds: Int64(guard.time.as_secs()),
    }
}

/// Without the host's current data about it.
fn version(version: Version) -> PluginVersion {
    let about = version.about;
    PluginVersion {
        number: version.number,
        digest: version.digest,
        component: version.component,
        version: about.version,
        settings: version.settings.to_string(),
        time: Time(version.time_ms),
        by: version.by,
        earlier: version.earlier.into_iter().rev().map(in_force_before).collect(),
        triggers: about.triggers,
        grants: about.grants,
        grants_in_force: about.grants_in_force,
        imports: about.imports,
        state_schema: about.state_schema,
        rolled_back: version.rolled_back.map(version_rolled_back),
        ..PluginVersion::default()
    }
}

fn in_force_before(before: TimeInForce) -> VersionInForce {
    let TimeInForce { time_ms, by, rolled_back } = before;
    VersionInForce { time: Time(time_ms), by, rolled_back: rolled_back.map(version_rolled_back) }
}

fn version_rolled_back(back: RolledBack) -> VersionRolledBack {
    VersionRolledBack { why: back.why, time: Time(back.time_ms), stays: back.stays }
}

fn settings_field(field: &schema::Field) -> SettingsField {
    let schema::Field { name, title, help, kind } = field;
    let shown =
        SettingsField { name: name.clone(), title: title.clone(), help: help.clone(), ..SettingsField::default() };
    match kind {
        schema::Kind::Text { least, most } => {
            SettingsField { kind: SettingsKind::Text, least: Some((*least).into()), most: most.map(f64::from), ..shown }
        }
        schema::Kind::Number { least, most, whole } => {
            SettingsField { kind: SettingsKind::Number, least: *least, most: *most, whole: *whole, ..shown }
        }
        schema::Kind::Flag => SettingsField { kind: SettingsKind::Flag, ..shown },
        schema::Kind::Choice(choices) => {
            SettingsField { kind: SettingsKind::Choice, choices: choices.clone(), ..shown }
        }
    }
}

fn state(state: PluginState) -> &'static str {
    match state {
        PluginState::Running => "running",
        PluginState::Disabled => "disabled",
        PluginState::WaitingForConsent => "waiting-for-consent",
        PluginState::Broken => "broken",
    }
}
