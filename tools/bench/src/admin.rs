//! Calls of the host's admin API by the benchmark. If the host does not answer, a figure is missing.

use std::{path::Path, time::Duration};

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Fields of a plugin's description that differ between versions.
const VERSION_FIELDS: [&str; 2] = ["digest", "settings"];
/// The file of the host's token, in its data folder.
const TOKEN_FILE: &str = "admin-token";
/// Events a second that a live page of the console requests: `PER_SECOND` in its `stream.js`.
const FOLLOWED_PER_SECOND: u32 = 40;

#[derive(Clone)]
pub(super) struct Admin {
    url: String,
    token: String,
}

impl Admin {
    /// `data`: the host's data folder.
    pub(super) fn new(url: &str, data: &Path) -> Self {
        let token = std::fs::read_to_string(data.join(TOKEN_FILE)).unwrap_or_default();
        Self { url: url.trim_end_matches('/').to_owned(), token: token.trim().to_owned() }
    }

    /// A text that distinguishes this version of a plugin from others.
    pub(super) async fn plugin_version(&self, name: &str) -> Option<String> {
        let text = self.get(&format!("/v1/plugins/{name}")).await?;
        let plugin: Value = serde_json::from_str(&text).ok()?;
        let fields: Vec<_> =
            VERSION_FIELDS.iter().filter_map(|field| plugin.get(field)).map(Value::to_string).collect();
        (!fields.is_empty()).then(|| fields.join(" "))
    }

    /// Mean time that a plugin spends on an event, in microseconds.
    pub(super) async fn guest_us(&self) -> Option<f64> {
        mean_guest_us(&self.get("/metrics").await?)
    }

    /// The spans of traces that were sent, and those that were dropped.
    pub(super) async fn spans(&self) -> Option<(u64, u64)> {
        Some(spans(&self.get("/metrics").await?))
    }

    /// Records the plugin's executions from now on.
    pub(super) async fn record(&self, plugin: &str) -> anyhow::Result<()> {
        self.post(&format!("/v1/plugins/{plugin}:record")).await
    }

    /// Ends the plugin's recording, which is written to its end soon after.
    pub(super) async fn stop_recording(&self, plugin: &str) -> anyhow::Result<()> {
        self.post(&format!("/v1/plugins/{plugin}:stopRecording")).await
    }

    /// What the host says of the plugin's recording. Returns `None` if there is none.
    pub(super) async fn recording(&self, plugin: &str) -> Option<Value> {
        let plugin: Value = serde_json::from_str(&self.get(&format!("/v1/plugins/{plugin}")).await?).ok()?;
        plugin.get("recording").cloned()
    }

    /// Reads the events as the live page of the console does, until the host ends.
    pub(super) fn follow(&self) {
        let url = format!("{}/v1/events:follow?executions=true&perSecond={FOLLOWED_PER_SECOND}", self.url);
        let token = format!("Bearer {}", self.token);
        std::thread::spawn(move || {
            let Ok(mut events) = ureq::get(&url).header("Authorization", &token).call() else { return };
            let _ = std::io::copy(&mut events.body_mut().as_reader(), &mut std::io::sink());
        });
    }

    async fn post(&self, path: &str) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.url);
        let token = format!("Bearer {}", self.token);
        let call = move || {
            let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().new_agent();
            agent.post(&url).header("Authorization", &token).send_json(serde_json::json!({})).map(drop)
        };
        Ok(tokio::task::spawn_blocking(call).await??)
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("{}{path}", self.url);
        let token = format!("Bearer {}", self.token);
        let call = move || {
            let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().new_agent();
            agent.get(&url).header("Authorization", &token).call().ok()?.body_mut().read_to_string().ok()
        };
        tokio::task::spawn_blocking(call).await.ok()?
    }
}

/// Sum ÷ count of the histogram of guest time, in Prometheus' text format and in seconds.
fn mean_guest_us(metrics: &str) -> Option<f64> {
    let total = |suffix: &str| {
        let values = metrics.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.split('{').next()?;
            (name.contains("guest") && name.ends_with(suffix)).then(|| value.parse::<f64>().ok())?
        });
        values.reduce(|one, other| one + other)
    };
    let (sum, count) = (total("_sum")?, total("_count")?);
    (count > 0.0).then(|| sum / count * 1e6)
}

/// Of all outcomes of spans, what was sent and the sum of the others.
fn spans(metrics: &str) -> (u64, u64) {
    let counted =
        metrics.lines().filter_map(|line| line.strip_prefix("switchbox_trace_spans_total{")?.rsplit_once(' '));
    let counted =
        counted.filter_map(|(outcome, count)| Some((outcome.contains("\"sent\""), count.parse::<u64>().ok()?)));
    counted.fold(
        (0, 0),
        |(sent, dropped), (is_sent, count)| {
            if is_sent { (sent + count, dropped) } else { (sent, dropped + count) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_sent_or_dropped() {
        let metrics = "\
            switchbox_trace_spans_total{outcome=\"sent\"} 40\n\
            switchbox_trace_spans_total{outcome=\"dropped: queue full\"} 2\n\
            switchbox_trace_spans_total{outcome=\"dropped: not taken\"} 3\n\
            switchbox_other_total 7\n";
        assert_eq!((spans(metrics), spans("")), ((40, 5), (0, 0)));
    }

    #[test]
    fn guest_time_is_a_mean_over_all_plugins() {
        let metrics = "\
            # HELP switchbox_guest_seconds Time in the guest.\n\
            switchbox_guest_seconds_bucket{plugin=\"a\",le=\"1\"} 3\n\
            switchbox_guest_seconds_sum{plugin=\"a\"} 0.000012\n\
            switchbox_guest_seconds_count{plugin=\"a\"} 3\n\
            switchbox_guest_seconds_sum{plugin=\"b\"} 0.000008\n\
            switchbox_guest_seconds_count{plugin=\"b\"} 1\n\
            switchbox_other_seconds_sum 7\n";
        assert!((mean_guest_us(metrics).expect("there") - 5.0).abs() < 1e-9);
        assert_eq!(mean_guest_us("switchbox_guest_seconds_count 0\nswitchbox_guest_seconds_sum 0\n"), None);
        assert_eq!(mean_guest_us(""), None);
    }
}
