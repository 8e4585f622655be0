//! The status of the host in one answer, for the console and `switchbox status`.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State};

use crate::{app::App, convert::Params, error::Error, gate::AdminPrincipal, reply::ApiResult, series};
use switchbox_admin_api::{
    HostCaller, HostDevices, HostLatencies, HostSeries, HostStatus, Int64, Latency, Scope, Time,
};
use switchbox_model::Seq;
use switchbox_support::{clock, histogram::Buckets};

/// Dead letters are counted up to this number.
const DEAD_LETTERS: usize = 100;
/// Bytes of the journal that are searched for its oldest event.
const OLDEST_BYTES: usize = 64 * 1024;

pub(crate) async fn status(
    State(app): State<App>,
    Extension(AdminPrincipal(name)): Extension<AdminPrincipal>,
    Extension(scope): Extension<Scope>,
    params: Params,
) -> ApiResult<HostStatus> {
    params.only(&[])?;
    let parts = &app.handles;
    let dead_letters = parts.journal.dead_letters(0, DEAD_LETTERS, None).await?;
    let mut plugins = BTreeMap::<String, usize>::new();
    for plugin in parts.plugins.list(None).await {
        *plugins.entry(plugin.state).or_default() += 1;
    }
    Ok(Json(HostStatus {
        version: env!("CARGO_PKG_VERSION").into(),
        start_time: Time(app.started_ms),
        time: Time(clock::now_ms()),
        problems: problems(&app),
        caller: HostCaller { name, scope },
        devices: HostDevices { registered: parts.registry.device_count(), connected: parts.delivery.connected() },
        connections: parts.counters.connections.get(),
        commands_open: parts.delivery.open_commands(),
        plugins,
        dead_letters: dead_letters.items.len(),
        dead_letters_more: dead_letters.more,
        last_event: Int64(parts.store.journal_end().1.0),
        oldest_event_time: oldest_event_ms(&app).await?.map(Time),
        journal_bytes: Int64(parts.store.journal_bytes_from(0)),
        disk_free_bytes: parts.store.free_bytes().map(Int64),
        latencies: HostLatencies {
            commit: latency(&parts.counters.commit_time.buckets()),
            delivery: latency(&parts.counters.delivery_time.buckets()),
        },
    }))
}

fn latency(of: &Buckets) -> Latency {
    let [p50_us, p95_us, p99_us] = [50, 95, 99].map(|percent| of.percentile_us(percent));
    Latency { count: of.count(), p50_us, p95_us, p99_us }
}

/// The problems of the host, as text.
fn problems(app: &App) -> Vec<String> {
    let failed = app.handles.tasks.failed();
    let failed = failed.iter().map(|(task, how)| format!("the task \"{task}\" {how}; restart the host"));
    let not_ready = (!app.is_ready()).then(|| "the host takes no clients".to_owned());
    let no_audit =
        (!app.audit.is_writable()).then(|| "the audit log cannot be written, so writes are refused".to_owned());
    failed.chain(not_ready).chain(no_audit).collect()
}

async fn oldest_event_ms(app: &App) -> Result<Option<u64>, Error> {
    // This event, or the first one that is stored.
    let Some(row) = app.handles.store.row_of(Seq(1)).await? else { return Ok(None) };
    let page = app.handles.store.journal_page(row, OLDEST_BYTES).await?;
    let entries = page.rows.into_iter().flat_map(|row| row.entries);
    Ok(entries.flat_map(|entry| entry.into_events()).map(|event| event.time_ms).next())
}

pub(crate) async fn series(State(app): State<App>, params: Params) -> ApiResult<HostSeries> {
    params.only(&[])?;
    let mut shown = HostSeries { every_seconds: series::EVERY.as_secs(), ..HostSeries::default() };
    for sample in app.series.samples() {
        shown.times.push(Time(sample.time_ms));
        shown.connections.push(sample.connections);
        shown.devices_connected.push(sample.devices_connected);
        shown.events.push(sample.events);
        shown.executions.push(sample.executions);
        shown.effects.push(sample.effects);
        shown.publishes_in.push(sample.publishes_in);
        shown.publishes_out.push(sample.publishes_out);
        shown.commit_p50_us.push(sample.commit.p50_us);
        shown.commit_p99_us.push(sample.commit.p99_us);
        shown.delivery_p50_us.push(sample.delivery.p50_us);
        shown.delivery_p99_us.push(sample.delivery.p99_us);
    }
    Ok(Json(shown))
}
