//! `/metrics`: the counters that the rooms keep, and what the plugins' status says, in Prometheus' text format.

use std::{fmt::Write as _, sync::Arc};

use prometheus_client::registry::Registry;

use super::Parts;
use switchbox_dispatch::PluginStatus;

/// A function that writes the metrics as they are when it is called.
pub(super) fn render(parts: &Parts) -> Arc<dyn Fn() -> String + Send + Sync> {
    let mut registry = Registry::with_prefix("switchbox");
    parts.metrics.register(&mut registry);
    let store = parts.store.clone();
    let (plugins, delivery, devices) = (parts.plugins.clone(), parts.delivery.clone(), parts.registry.clone());
    Arc::new(move || {
        let mut text = String::new();
        // Fails only when a label cannot be written, and a String takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        let text = text.trim_end().trim_end_matches("# EOF").trim_end().to_owned();
        let mut text = format!("{text}\n");
        if let Some(free) = store.free_bytes().and_then(|free| usize::try_from(free).ok()) {
            gauge(&mut text, "switchbox_disk_free_bytes", "Bytes free where the data folder is", free);
        }
        gauge(&mut text, "switchbox_devices", "Devices registered", devices.devices());
        gauge(&mut text, "switchbox_devices_connected", "Devices connected now", delivery.connected());
        gauge(&mut text, "switchbox_commands_open", "Commands without a final status", delivery.open_commands());
        counter(
            &mut text,
            "switchbox_method_late_answers",
            "Answers after the caller had gone",
            delivery.late_answers(),
        );
        per_plugin(&mut text, &plugins.list());
        text.push_str("# EOF\n");
        text
    })
}

fn gauge(text: &mut String, name: &str, help: &str, value: usize) {
    let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}");
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} counter\n{name}_total {value}");
}

fn per_plugin(text: &mut String, plugins: &[PluginStatus]) {
    let head = |text: &mut String, name: &str, help: &str, kind: &str| {
        let _ = writeln!(text, "# HELP switchbox_plugin_{name} {help}.\n# TYPE switchbox_plugin_{name} {kind}");
    };
    head(text, "events", "Executions by how they ended", "counter");
    for plugin in plugins {
        let totals = &plugin.totals;
        for (outcome, count) in [
            ("done", totals.done),
            ("rejected", totals.rejected),
            ("failed", totals.failed),
            ("retried", totals.retried),
            ("dead", totals.dead),
        ] {
            let _ = writeln!(
                text,
                "switchbox_plugin_events_total{{plugin=\"{}\",outcome=\"{outcome}\"}} {count}",
                plugin.name
            );
        }
    }
    head(text, "guest_seconds", "Time that guests computed", "summary");
    for plugin in plugins {
        let totals = &plugin.totals;
        let count = totals.done + totals.rejected + totals.failed;
        let seconds = totals.guest_time.as_secs_f64();
        let _ = writeln!(text, "switchbox_plugin_guest_seconds_sum{{plugin=\"{}\"}} {seconds}", plugin.name);
        let _ = writeln!(text, "switchbox_plugin_guest_seconds_count{{plugin=\"{}\"}} {count}", plugin.name);
    }
    head(text, "queued", "Events that wait in memory", "gauge");
    for plugin in plugins {
        let _ = writeln!(text, "switchbox_plugin_queued{{plugin=\"{}\"}} {}", plugin.name, plugin.queued);
    }
    head(text, "limit_hits", "Times a limit was hit", "counter");
    for plugin in plugins {
        for (limit, count) in &plugin.totals.limits_hit {
            let _ = writeln!(
                text,
                "switchbox_plugin_limit_hits_total{{plugin=\"{}\",limit=\"{limit}\"}} {count}",
                plugin.name
            );
        }
    }
}
