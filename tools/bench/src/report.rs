//! All results, as JSON and as tables. Figures that mosquitto has too are also given as ratios.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{
    machine::Machine,
    sample::{Sample, Timing, maybe_micros, micros},
    table::{duration, or_dash, ratio, render, thousands},
};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) switchbox: &'static str,
    pub(super) started: String,
    /// False for a build without optimisation: its figures are not meaningful.
    pub(super) optimised: bool,
    pub(super) machine: Machine,
    pub(super) mosquitto: Option<Mosquitto>,
    pub(super) method: Method,
    pub(super) fsync: Option<Timing>,
    pub(super) throughput: Vec<Cell>,
    pub(super) unloaded: Vec<Unloaded>,
    pub(super) plugin: Option<PluginCost>,
    pub(super) memory: Option<Memory>,
    pub(super) swap: Option<Swap>,
    /// Remarks that a reader needs to judge the figures.
    pub(super) remarks: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Mosquitto {
    pub(super) version: String,
    pub(super) settings: Vec<String>,
}

/// How it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Method {
    pub(super) seconds: f64,
    pub(super) warm_up_s: f64,
    pub(super) rounds: usize,
    pub(super) client_threads: usize,
    pub(super) payload_bytes: usize,
}

/// One load, with the results of all servers.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) connections: usize,
    pub(super) window: usize,
    pub(super) qos: u8,
    /// Through the plugin; durable at QoS 1.
    pub(super) relay: Option<Sample>,
    /// Ordinary publish/subscribe on the same host.
    pub(super) plain: Option<Sample>,
    pub(super) mosquitto: Option<Sample>,
    pub(super) relay_to_mosquitto: Option<f64>,
    pub(super) plain_to_mosquitto: Option<f64>,
}

/// One connection with one message in flight.
#[derive(Debug, Serialize)]
pub(super) struct Unloaded {
    pub(super) qos: u8,
    pub(super) relay: Option<Timing>,
    pub(super) plain: Option<Timing>,
    pub(super) mosquitto: Option<Timing>,
    /// p50 of the relay ÷ mosquitto's.
    pub(super) relay_to_mosquitto: Option<f64>,
    /// QoS 1: p50 of the relay ÷ (3 fsync + mosquitto's p50).
    pub(super) relay_to_three_fsync_and_mosquitto: Option<f64>,
}

/// What the plugin adds to the time of an event.
#[derive(Debug, Default, Serialize)]
pub(super) struct PluginCost {
    /// p50 of the unloaded relay at QoS 0 minus that of plain forwarding by the same host.
    pub(super) added_p50_us: Option<f64>,
    /// The same as a share of mosquitto's round trip.
    pub(super) added_to_mosquitto: Option<f64>,
    /// Processor time a round trip under the largest load at QoS 0: relay minus plain.
    pub(super) added_processor_us: Option<f64>,
    /// Mean time in the guest, from the host's metrics.
    pub(super) guest_us: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) connections: usize,
    pub(super) host: Option<Resident>,
    pub(super) mosquitto: Option<Resident>,
    pub(super) host_to_mosquitto: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Resident {
    pub(super) before_bytes: u64,
    pub(super) after_bytes: u64,
    pub(super) per_connection_bytes: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Swap {
    pub(super) connections: usize,
    /// The longest pause between two round trips without a swap.
    #[serde(rename = "undisturbed_us", serialize_with = "micros")]
    pub(super) undisturbed: Duration,
    pub(super) swaps: Vec<SwapPause>,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) skipped: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct SwapPause {
    pub(super) what: &'static str,
    /// From the change of the folder until the host reported the new version. `None` if it never did.
    #[serde(rename = "in_force_after_us", serialize_with = "maybe_micros")]
    pub(super) in_force: Option<Duration>,
    /// Longest time between two completed round trips after the change of the folder.
    #[serde(rename = "pause_us", serialize_with = "micros")]
    pub(super) pause: Duration,
}

pub(super) fn divide(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.zip(other).filter(|(_, other)| *other > 0.0).map(|(one, other)| one / other)
}

impl Cell {
    pub(super) fn compare(mut self) -> Self {
        let rate = |sample: &Option<Sample>| sample.as_ref().map(|sample| sample.round_trips_per_s);
        self.relay_to_mosquitto = divide(rate(&self.relay), rate(&self.mosquitto));
        self.plain_to_mosquitto = divide(rate(&self.plain), rate(&self.mosquitto));
        self
    }

    fn row(&self) -> Vec<String> {
        let rate = |sample: &Option<Sample>| or_dash(sample.as_ref().map(|sample| thousands(sample.round_trips_per_s)));
        let faults = [&self.relay, &self.plain, &self.mosquitto].into_iter().flatten();
        let faults: u64 = faults.map(|sample| sample.lost + sample.duplicated + sample.skipped).sum();
        vec![
            format!("{} × {}", self.connections, self.window),
            self.qos.to_string(),
            rate(&self.relay),
            rate(&self.plain),
            rate(&self.mosquitto),
            or_dash(self.relay_to_mosquitto.map(ratio)),
            or_dash(self.plain_to_mosquitto.map(ratio)),
            or_dash(self.relay.as_ref().map(|sample| duration(sample.p50))),
            or_dash(self.relay.as_ref().map(|sample| duration(sample.p99))),
            or_dash(self.relay.as_ref().and_then(|sample| sample.server_us).map(|micros| format!("{micros:.1} µs"))),
            faults.to_string(),
        ]
    }
}

impl Unloaded {
    fn row(&self) -> Vec<String> {
        let pair = |timing: Option<Timing>| {
            or_dash(timing.map(|timing| format!("{} / {}", duration(timing.p50), duration(timing.p99))))
        };
        vec![
            self.qos.to_string(),
            pair(self.relay),
            pair(self.plain),
            pair(self.mosquitto),
            or_dash(self.relay_to_mosquitto.map(ratio)),
            or_dash(self.relay_to_three_fsync_and_mosquitto.map(ratio)),
        ]
    }
}

impl Report {
    /// The whole report as text.
    pub(super) fn text(&self) -> String {
        let mut text = self.head();
        let tables = [
            self.throughput_table(),
            self.unloaded_table(),
            self.plugin_lines(),
            self.memory_table(),
            self.swap_table(),
        ];
        for part in tables.into_iter().flatten() {
            text.push('\n');
            text.push_str(&part);
        }
        for remark in &self.remarks {
            let _ = write!(text, "\nNote: {remark}\n");
        }
        text
    }

    fn head(&self) -> String {
        let Machine { cores, memory_mib, processor, kernel, file_system } = &self.machine;
        let mut text = format!("switchbox {}, {}\n", self.switchbox, self.started);
        let memory = memory_mib.map(|mib| format!("{:.0} GiB", mib as f64 / 1024.0));
        let of =
            [processor.clone(), memory, kernel.as_ref().map(|kernel| format!("Linux {kernel}")), file_system.clone()];
        let of: Vec<_> = of.into_iter().flatten().collect();
        let _ = writeln!(text, "{cores} cores, {}", of.join(", "));
        if let Some(Mosquitto { version, settings }) = &self.mosquitto {
            let _ = writeln!(text, "{version}: {}", settings.join(", "));
        }
        if let Some(fsync) = self.fsync {
            let _ = writeln!(
                text,
                "4 KiB and fdatasync, between the unloaded runs: p50 {}, p99 {}",
                duration(fsync.p50),
                duration(fsync.p99)
            );
        }
        text
    }

    fn throughput_table(&self) -> Option<String> {
        let header = [
            "connections × window",
            "QoS",
            "relay/s",
            "plain/s",
            "mosquitto/s",
            "relay:m",
            "plain:m",
            "relay p50",
            "p99",
            "CPU",
            "faults",
        ];
        let rows: Vec<_> = self.throughput.iter().map(Cell::row).collect();
        (!rows.is_empty()).then(|| {
            let table = render(&header, &rows);
            format!("Round trips a second: the hop relay through the plugin, plain forwarding by the same host, mosquitto\n{table}")
        })
    }

    fn unloaded_table(&self) -> Option<String> {
        let header =
            ["QoS", "relay p50 / p99", "plain p50 / p99", "mosquitto p50 / p99", "relay:m", "relay : (3 fsync + m)"];
        let rows: Vec<_> = self.unloaded.iter().map(Unloaded::row).collect();
        (!rows.is_empty())
            .then(|| format!("Unloaded round trip: one connection, one message under way\n{}", render(&header, &rows)))
    }

    fn plugin_lines(&self) -> Option<String> {
        let cost = self.plugin.as_ref()?;
        let micros = |value: Option<f64>| value.map(|value| format!("{value:.1} µs"));
        let rows: Vec<_> = [
            ("on an unloaded QoS 0 round trip, p50", micros(cost.added_p50_us)),
            ("  as a share of mosquitto's round trip", cost.added_to_mosquitto.map(ratio)),
            ("processor time, largest load, QoS 0", micros(cost.added_processor_us)),
            ("in the guest, mean (host's metrics)", micros(cost.guest_us)),
        ]
        .into_iter()
        .filter_map(|(what, value)| Some(vec![what.to_owned(), value?]))
        .collect();
        (!rows.is_empty()).then(|| render(&["What a plugin adds to an event", ""], &rows))
    }

    fn memory_table(&self) -> Option<String> {
        let memory = self.memory.as_ref()?;
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        let row = |name: &str, resident: Option<Resident>| {
            let Resident { before_bytes, after_bytes, per_connection_bytes } = resident?;
            let more = mib(after_bytes.saturating_sub(before_bytes));
            let each = format!("{:.1} KiB", per_connection_bytes / 1024.0);
            Some(vec![name.to_owned(), mib(before_bytes), mib(after_bytes), more, each])
        };
        let rows: Vec<_> =
            [row("switchbox", memory.host), row("mosquitto", memory.mosquitto)].into_iter().flatten().collect();
        let title = format!("{} idle connections", thousands(memory.connections as f64));
        let table = render(&[&title, "before", "after", "more", "each"], &rows);
        let compared = memory
            .host_to_mosquitto
            .map(|value| format!("a connection here : one of mosquitto's = {}\n", ratio(value)));
        Some(table + &compared.unwrap_or_default())
    }

    fn swap_table(&self) -> Option<String> {
        let swap = self.swap.as_ref()?;
        let mut rows = vec![vec!["none, for comparison".to_owned(), duration(swap.undisturbed), String::new()]];
        rows.extend(
            swap.swaps
                .iter()
                .map(|swap| vec![swap.what.to_owned(), duration(swap.pause), or_dash(swap.in_force.map(duration))]),
        );
        let title = format!("Swap under load, {} connections", swap.connections);
        let table = render(&[&title, "longest pause", "in force after"], &rows);
        Some(format!("{table}lost {}, duplicated {}, skipped {}\n", swap.lost, swap.duplicated, swap.skipped))
    }
}

#[cfg(test)]
mod tests;
