//! `/metrics`: the counters of all components, and what the plugins' status says, as text.

use std::{
    fmt::{Display, Write as _},
    sync::Arc,
};

use prometheus_client::registry::Registry;

use super::handles::HostHandles;
use switchbox_dispatch::PluginStatus;
use switchbox_mqtt_session::topics::Counts;
use switchbox_support::{
    clock,
    exposition::{self, Exposition},
    memory,
    metrics::{self, Spec},
};

/// A function that writes the metrics as they are when it is called.
pub(super) fn render(handles: &HostHandles) -> Arc<dyn Fn(Exposition) -> String + Send + Sync> {
    let started_secs = clock::now_ms() as f64 / 1_000.0;
    let mut registry = Registry::with_prefix("switchbox");
    handles.metrics.register(&mut registry);
    let (store, topics) = (handles.store.clone(), handles.topics.clone());
    let (plugins, delivery, devices) = (handles.plugins.clone(), handles.delivery.clone(), handles.registry.clone());
    let counters = handles.metrics.clone();
    Arc::new(move |format| {
        let mut text = String::new();
        // Fails only when a label cannot be written, and a String takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        let text = text.trim_end().trim_end_matches("# EOF").trim_end().to_owned();
        let mut text = format!("{text}\n");
        head(&mut text, metrics::BUILD_INFO);
        let _ = writeln!(text, "switchbox_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        gauge(&mut text, metrics::START_TIME_SECONDS, started_secs);
        if let Some(resident) = memory::resident_bytes() {
            gauge(&mut text, metrics::RESIDENT_MEMORY_BYTES, resident);
        }
        if let Some(free) = store.free_bytes() {
            gauge(&mut text, metrics::DISK_FREE_BYTES, free);
        }
        gauge(&mut text, metrics::DEVICES, devices.device_count());
        gauge(&mut text, metrics::DEVICES_CONNECTED, delivery.connected());
        let Counts { subscriptions, retained, .. } = topics.counts();
        gauge(&mut text, metrics::MQTT_SUBSCRIPTIONS, subscriptions);
        gauge(&mut text, metrics::MQTT_RETAINED_MESSAGES, retained);
        gauge(&mut text, metrics::COMMANDS_OPEN, delivery.open_commands());
        counter(&mut text, metrics::METHOD_LATE_ANSWERS, delivery.late_answers());
        per_plugin(&mut text, &plugins.list());
        text.push_str("# EOF\n");
        match format {
            Exposition::OpenMetrics => counters.histograms().into_iter().fold(text, |text, (spec, histogram)| {
                let exemplars = histogram.exemplars();
                if exemplars.is_empty() {
                    text
                } else {
                    exposition::with_exemplars(&text, &format!("switchbox_{}", spec.name), &exemplars)
                }
            }),
            Exposition::Plain => exposition::plain(&text),
        }
    })
}

fn gauge(text: &mut String, spec: Spec, value: impl Display) {
    head(text, spec);
    let _ = writeln!(text, "switchbox_{} {value}", spec.name);
}

fn counter(text: &mut String, spec: Spec, value: u64) {
    head(text, spec);
    let _ = writeln!(text, "switchbox_{}_total {value}", spec.name);
}

fn head(text: &mut String, spec: Spec) {
    let Spec { name, kind, description, .. } = spec;
    let _ = writeln!(text, "# HELP switchbox_{name} {description}.\n# TYPE switchbox_{name} {kind}");
}

fn per_plugin(text: &mut String, plugins: &[PluginStatus]) {
    head(text, metrics::PLUGIN_EVENTS);
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
    head(text, metrics::PLUGIN_GUEST_SECONDS);
    for plugin in plugins {
        let totals = &plugin.totals;
        let count = totals.executions;
        let seconds = totals.guest_time.as_secs_f64();
        let _ = writeln!(text, "switchbox_plugin_guest_seconds_sum{{plugin=\"{}\"}} {seconds}", plugin.name);
        let _ = writeln!(text, "switchbox_plugin_guest_seconds_count{{plugin=\"{}\"}} {count}", plugin.name);
    }
    head(text, metrics::PLUGIN_QUEUED);
    for plugin in plugins {
        let _ = writeln!(text, "switchbox_plugin_queued{{plugin=\"{}\"}} {}", plugin.name, plugin.queued);
    }
    head(text, metrics::PLUGIN_LIMIT_HITS);
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
