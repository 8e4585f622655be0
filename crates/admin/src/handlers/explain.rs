//! Explanations of what happened.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    app::App,
    convert::{self, Params},
    error::{Error, ErrorStatus},
    reply::ApiResult,
};
use switchbox_admin_api::{Explanation, Int64, PluginCanary, PluginVersion, Time, VersionRolledBack};
use switchbox_core::explain::{self, Branch, ExecutionStep, Id, PendingApproval, Step};
use switchbox_model::{JournaledDigest, PluginName, Seq, limits::names};

/// Ids that are resource names contain slashes.
pub(crate) async fn explain(State(app): State<App>, Path(id): Path<String>, params: Params) -> ApiResult<Explanation> {
    params.only(&[])?;
    let requested = Id::parse(&id).map_err(|error| Error::invalid(error.to_string()))?;
    let pending = match &requested {
        Id::Event(seq) | Id::Execution { seq, .. } | Id::Effect { seq, .. } => pending(&app, *seq),
        _ => Vec::new(),
    };
    let explanation = app.handles.explain.explain(&requested, pending).await?;
    if explanation.cut || explanation.chain.contains(&Step::EarlierNotShown) {
        app.handles.counters.limit(names::EXPLANATION);
    }
    let notes = notes(&app, &explanation).await;
    let mut text = app.handles.explain.text(&explanation);
    notes.iter().for_each(|note| text.push_str(&format!("\n{note}")));
    let names = |num| app.name_of(num);
    Ok(Json(Explanation {
        id,
        text,
        chain: convert::chain(&explanation.chain, &names),
        branches: convert::branches(&explanation.branches, &names),
        notes,
        cut: explanation.cut,
    }))
}

/// The effects for the event that wait for approval.
fn pending(app: &App, seq: Seq) -> Vec<PendingApproval> {
    let approvals = app.handles.plugins.approvals().into_iter().filter(|approval| approval.event.0 == seq.0);
    let pending = approvals.filter_map(|approval| {
        let plugin = PluginName::new(&approval.plugin).ok()?;
        let (since_ms, why, effects) = (approval.since.0, approval.why, approval.effect_count);
        Some(PendingApproval { seq, plugin, since_ms, why, effects })
    });
    pending.collect()
}

/// Plugins whose versions are looked up for one explanation.
const PLUGINS: usize = 16;
/// How soon the previous version handles an event again after the new version failed, milliseconds.
const AFTER_MS: u64 = 60_000;

/// The versions of a plugin, and its canaries.
#[derive(Default)]
struct PluginHistory {
    versions: Vec<PluginVersion>,
    canaries: Vec<PluginCanary>,
}

impl PluginHistory {
    async fn of(app: &App, plugin: &PluginName) -> Self {
        let plugins = &app.handles.plugins;
        Self { versions: plugins.versions(plugin).await, canaries: plugins.canaries(plugin).await }
    }

    fn notes(&self, execution: &ExecutionStep) -> Vec<String> {
        let mut notes = Vec::new();
        for version in &self.versions {
            let last = (version.time, version.rolled_back.as_ref());
            let earlier = version.earlier.iter().map(|one| (one.time, one.rolled_back.as_ref()));
            let mut until_ms = u64::MAX;
            for (since, back) in std::iter::once(last).chain(earlier) {
                notes.extend(back.and_then(|back| note(execution, version, (since, until_ms), back)));
                until_ms = since.0;
            }
        }
        notes.extend(canary_note(execution, &self.canaries));
        notes
    }
}

/// The rollbacks of versions, and the ends of canaries, that are related to the explained steps.
async fn notes(app: &App, explanation: &explain::Explanation) -> Vec<String> {
    let mut executions = Vec::new();
    explanation.chain.iter().for_each(|step| add_execution(step, &mut executions));
    explanation.branches.iter().for_each(|branch| add_executions(branch, &mut executions));
    let mut plugins: BTreeMap<_, PluginHistory> = BTreeMap::new();
    for execution in &executions {
        if plugins.len() < PLUGINS && !plugins.contains_key(&execution.plugin) {
            plugins.insert(execution.plugin.clone(), PluginHistory::of(app, &execution.plugin).await);
        }
    }
    let mut notes = Vec::new();
    for execution in executions {
        for note in plugins.get(&execution.plugin).into_iter().flat_map(|known| known.notes(execution)) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

fn add_executions<'a>(branch: &'a Branch, to: &mut Vec<&'a ExecutionStep>) {
    add_execution(&branch.step, to);
    branch.branches.iter().for_each(|branch| add_executions(branch, to));
}

fn add_execution<'a>(step: &'a Step, to: &mut Vec<&'a ExecutionStep>) {
    if let Step::Execution(execution) = step {
        to.push(execution);
    }
}

/// The version came into force at the time `since`, and was rolled back then. `next_ms`: when it came into force again. Returns `None` if
/// the execution is unrelated to the rollback.
fn note(
    execution: &ExecutionStep,
    version: &PluginVersion,
    (since, next_ms): (Time, u64),
    back: &VersionRolledBack,
) -> Option<String> {
    let at_ms = execution.record.as_ref()?.time_ms;
    // A version that stays in force does so until its files change, which is not known here.
    let until_ms = if back.stays { next_ms } else { back.time.0 };
    let did_it = *execution.digest == *version.digest && (since.0..=until_ms).contains(&at_ms);
    let failed_before = execution.attempt > 1 && (since.0..=back.time.0 + AFTER_MS).contains(&at_ms);
    let (plugin, number, seq) = (&execution.plugin, version.number, execution.seq);
    let what = match (did_it, failed_before) {
        (true, _) if back.stays => {
            format!("version {number} of {plugin} was in force when event {seq} was handled. It failed its guard")
        }
        (_, true) if back.stays => format!("version {number} of {plugin} had event {seq} before and failed its guard"),
        (true, _) => {
            format!("version {number} of {plugin} was in force when event {seq} was handled. It was rolled back")
        }
        (_, true) => format!("version {number} of {plugin} had event {seq} before and was rolled back"),
        _ => return None,
    };
    Some(format!("{what} at {}: {}", back.time, back.why))
}

/// Returns `None` if no canary that its guard ended had the event.
fn canary_note(execution: &ExecutionStep, canaries: &[PluginCanary]) -> Option<String> {
    let JournaledDigest { component, by_canary } = JournaledDigest::parse(&execution.digest);
    let (plugin, seq) = (&execution.plugin, execution.seq);
    let (what, canary) = if by_canary {
        // There is one canary at a time, and the newest is the first.
        let at_ms = execution.record.as_ref()?.time_ms;
        let it = canaries.iter().find(|canary| canary.digest == component && canary.since.0 <= at_ms)?;
        (format!("a canary of {plugin} handled event {seq}"), it)
    } else {
        let it = canaries.iter().find(|canary| canary.ended_by_event == Some(Int64(seq.0)))?;
        (format!("a canary of {plugin} had event {seq} before"), it)
    };
    let (why, at) = (canary.ended.as_ref().filter(|_| canary.ended_by_guard)?, canary.ended_time?);
    Some(format!("{what}. At {at} {why}"))
}

impl From<explain::Error> for Error {
    fn from(error: explain::Error) -> Self {
        match error {
            explain::Error::NotFound(text) => Self::new(ErrorStatus::NotFound, text),
            explain::Error::Store(error) => error.into(),
        }
    }
}
