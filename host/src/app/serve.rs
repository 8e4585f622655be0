//! `switchbox serve`: runs a host from its settings until it is stopped.

use std::path::Path;

use anyhow::Context as _;

use super::{Host, exit::Ending};
use switchbox_settings::Settings;
use switchbox_store as store;
use switchbox_support::terminal;

/// What a start does about a damaged data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    Refuse,
    /// Repairs it first, as `switchbox repair` does.
    Repair,
}

/// Runs until Ctrl-C or SIGTERM, then drains. Prints one line of JSON on standard output when it is ready, and calls `ready`
/// before that. Blocking.
pub fn serve(settings: &Settings, damage: Damage, ready: &dyn Fn(&Host)) -> anyhow::Result<()> {
    keep_memory_private();
    let ending = Ending::watch().context("the thread that takes signals cannot be started")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run(settings, damage, ready, &ending));
    // A thread that hangs does not keep the process.
    runtime.shutdown_background();
    ended
}

async fn run(settings: &Settings, damage: Damage, ready: &dyn Fn(&Host), ending: &Ending) -> anyhow::Result<()> {
    if damage == Damage::Repair && settings.data.is_dir() {
        // A signal meanwhile takes effect when it is done: a repair that was cut short would be damage.
        let data = settings.data.clone();
        tokio::task::spawn_blocking(move || repair(&data)).await.context("the repair ended badly")??;
    }
    let starting = {
        let settings = settings.clone();
        // In a task of its own, so that a start that computes or waits for the disk keeps no signal waiting.
        // Supervision: its panic is the error of the start.
        tokio::spawn(async move { Host::start(&settings).await })
    };
    let host = tokio::select! {
        started = starting => started.context("the start ended badly")??,
        () = ending.stop_requested() => {
            tracing::info!("stopped before the start was complete; the next start continues");
            return Ok(());
        }
    };
    ready(&host);
    terminal::print(&ready_line(&host, settings).to_string())?;
    let shutdown = host.shutdown();
    tokio::select! {
        () = ending.stop_requested() => {}
        () = shutdown.cancelled() => tracing::info!("stopping, as the store failed"),
    }
    ending.begin();
    let stopped = host.stop_with_reports(&|phase| ending.phase(phase)).await;
    tracing::info!("stopped");
    stopped
}

/// Writes what was done to the log, one line for each thing that was cut.
fn repair(data: &Path) -> Result<(), store::Error> {
    let done = store::repair(data, false)?;
    let Some(aside) = done.aside else {
        tracing::info!(data = %data.display(), "nothing is damaged, so nothing was repaired");
        return Ok(());
    };
    for line in done.lines {
        tracing::warn!(aside = %aside.display(), "repaired: {line}");
    }
    tracing::warn!(
        aside = %aside.display(),
        "the data folder was repaired; the original files are kept aside, and nothing was deleted"
    );
    Ok(())
}

/// Disables core dumps and access of other programs of the same user to the memory: credentials of clients pass through buffers of
/// libraries that are not overwritten.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core dumps cannot be disabled: after a crash, one may contain credentials of clients");
        }
    }
}

fn ready_line(host: &Host, settings: &Settings) -> serde_json::Value {
    let mut line = serde_json::json!({
        "ready": true,
        "mqtt": host.mqtt.to_string(),
        "admin": format!("http://{}", host.admin),
        "data": settings.data,
        "plugins": settings.plugins,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    });
    let admin_tls = host.admin_tls.map(|address| ("admin_tls", format!("https://{address}")));
    let listeners = [("mqtts", host.listeners.mqtts), ("ws", host.listeners.ws), ("wss", host.listeners.wss)];
    let listeners = listeners.into_iter().filter_map(|(name, address)| Some((name, address?.to_string())));
    if let Some(fields) = line.as_object_mut() {
        let there = listeners.chain(admin_tls).chain(host.azure.named());
        fields.extend(there.map(|(name, address)| (name.to_owned(), address.into())));
    }
    line
}
