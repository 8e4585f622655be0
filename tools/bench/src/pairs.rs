//! Compares two hosts, or devices of both kinds on one host, pair by pair: the same load on one side and then on the other, in
//! alternating order, so that a machine that is slower for a while affects both. It reports the ratios and does not judge them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    admin::Admin,
    collector::{Collector, Traced},
    frames::Qos,
    plan::Traffic,
    progress::Progress,
    recorded::Recorded,
    sample::Sample,
    servers::{self, Server},
    table,
    throughput::{Measure, Runs},
};

/// What is different on this program's host: the other one runs with the defaults.
#[derive(Debug, Clone, clap::Args)]
pub struct Pairs {
    /// Compare this program's host with that of another program, pair by pair: another build, or this one again
    #[arg(long, value_name = "FILE", help_heading = "Comparing two hosts")]
    pub against: Option<PathBuf>,
    /// Start both hosts anew this often, and measure all rounds with each start: two processes of one program differ, too
    #[arg(long, value_name = "N", default_value_t = 1, requires = "against", help_heading = "Comparing two hosts",
        value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub starts: u16,
    /// An option of `serve` for this program's host alone, such as --with=--max-connections=500; may be given again
    #[arg(long, value_name = "OPTION", requires = "against", help_heading = "Comparing two hosts")]
    pub with: Vec<String>,
    /// Live pages of the console that are open on this program's host alone
    #[arg(long, value_name = "N", default_value_t = 0, requires = "against", help_heading = "Comparing two hosts")]
    pub with_consoles: u16,
    /// Record the plugin's executions on this program's host alone
    #[arg(long, requires = "against", help_heading = "Comparing two hosts")]
    pub with_recording: bool,
    /// Send traces of this part of the events, such as 0.01, from this program's host alone to a collector that only reads them
    #[arg(long, value_name = "RATIO", requires = "against", help_heading = "Comparing two hosts")]
    pub with_traces: Option<f64>,
    /// Compare devices of Azure IoT Hub with those of IoT Core on one host, pair by pair
    #[arg(long, conflicts_with = "against", help_heading = "Comparing two hosts")]
    pub azure: bool,
}

/// One load, measured on both hosts.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    connections: usize,
    window: usize,
    qos: u8,
    traffic: &'static str,
    /// This host's rate divided by the other's.
    rate: Option<Quartiles>,
    /// Processor time of one round trip, this host's divided by the other's.
    processor: Option<Quartiles>,
    /// Medians.
    this: Option<Sample>,
    other: Option<Sample>,
    pairs: usize,
    /// What was recorded on this host. Absent without `--with-recording`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Recorded>,
    /// What this host sent to the collector. Absent without `--with-traces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    traced: Option<Traced>,
}

/// The two hosts, and what the load on `this` is traced with.
struct Hosts<'a> {
    this: &'a Server,
    other: &'a Server,
    /// The admin API of `this`.
    admin: &'a Admin,
    collector: Option<&'a Collector>,
}

/// One load, and what was measured of it so far.
struct Series {
    qos: Qos,
    load: (usize, usize),
    name: &'static str,
    traffic: Traffic,
    pairs: Vec<[Sample; 2]>,
    /// `None` if the plugin is not recorded.
    recorded: Option<Recorded>,
    /// `None` if no traces are sent.
    traced: Option<Traced>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

impl Quartiles {
    /// Linear interpolation between the two nearest values. Returns `None` if there are no values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * values.len().checked_sub(1)? as f64;
            let (below, above) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
            Some(below + (above - below) * place.fract())
        };
        Some(Self { low: at(0.25)?, median: at(0.5)?, high: at(0.75)? })
    }
}

impl Pairs {
    /// Starts both hosts and measures them alternately. `other`: the program of the other host.
    pub(super) async fn measure(&self, other: &Path, measure: &Measure) -> anyhow::Result<Vec<Compared>> {
        let collector = match self.with_traces {
            Some(ratio) => Some((Collector::start().await?, ratio)),
            None => None,
        };
        let mut all = self.series(measure);
        let mut runs = Runs::default();
        let progress = Progress::new(all.len() * measure.rounds * usize::from(self.starts));
        for start in 1..=self.starts {
            let traces = collector.iter().flat_map(|(collector, ratio)| collector.options(*ratio));
            let options: Vec<_> = self.with.iter().cloned().chain(traces).collect();
            let folder = |name: &str| servers::folder(&measure.folder, name);
            let folders = [folder("this")?, folder("other")?];
            let [of_this, of_other] = &folders;
            let this = Server::host(of_this, None, &options).await?;
            let other = Server::host(of_other, Some(other), &[]).await?;
            let admin = this.admin.as_ref().context("the host has no admin API")?;
            (0..self.with_consoles).for_each(|_| admin.follow());
            let collector = collector.as_ref().map(|(collector, _)| collector);
            let hosts = Hosts { this: &this, other: &other, admin, collector };
            for series in &mut all {
                hosts.add_rounds(series, measure, usize::from(start), &mut runs, &progress).await?;
            }
            this.end().await;
            other.end().await;
            anyhow::ensure!(runs.errors.is_empty(), "a connection broke in {}", runs.errors.join(", "));
            for folder in folders {
                std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        if let Some((collector, _)) = collector {
            collector.end().await;
        }
        Ok(all.into_iter().map(Compared::from).collect())
    }

    /// All loads, with nothing measured.
    fn series(&self, measure: &Measure) -> Vec<Series> {
        let kinds = [("relay", Traffic::Relay), ("plain", Traffic::Echo)];
        let loads = measure.qos.iter().flat_map(|qos| measure.loads.iter().map(move |load| (*qos, *load)));
        loads
            .flat_map(|(qos, load)| kinds.map(|(name, traffic)| (qos, load, name, traffic)))
            .map(|(qos, load, name, traffic)| {
                let recorded = self.with_recording.then(Recorded::default);
                let traced = self.with_traces.map(|_| Traced::default());
                Series { qos, load, name, traffic, pairs: Vec::new(), recorded, traced }
            })
            .collect()
    }
}

/// Measures the relay of devices of Azure IoT Hub and of IoT Core alternately, on one host.
pub(super) async fn azure(measure: &Measure) -> anyhow::Result<Vec<Compared>> {
    let host = Server::host(&servers::folder(&measure.folder, "host")?, None, &[]).await?;
    let (mut runs, mut compared) = (Runs::default(), Vec::new());
    let progress = Progress::new(measure.loads.len() * measure.qos.len() * measure.rounds);
    for qos in &measure.qos {
        for load in &measure.loads {
            let mut samples = Vec::new();
            for round in 0..measure.rounds {
                progress.step(&format!("{} × {}, QoS {}", load.0, load.1, qos.level()));
                let mut pair = [Traffic::AzureRelay, Traffic::Relay].map(|traffic| (traffic, Sample::default()));
                if round % 2 == 1 {
                    pair.reverse();
                }
                for (traffic, sample) in &mut pair {
                    *sample = measure.sample(&host, *traffic, *load, *qos, &mut runs).await?;
                }
                pair.sort_by_key(|(traffic, _)| *traffic != Traffic::AzureRelay);
                samples.push(pair.map(|(_, sample)| sample));
            }
            compared.push(Compared::of(*load, *qos, "relay", &samples));
        }
    }
    anyhow::ensure!(runs.errors.is_empty(), "a connection broke in {}", runs.errors.join(", "));
    host.end().await;
    Ok(compared)
}

impl Hosts<'_> {
    /// Measures the series once for each round. Which host is first alternates from round to round, and from start to start.
    async fn add_rounds(
        &self,
        series: &mut Series,
        measure: &Measure,
        start: usize,
        runs: &mut Runs,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let Series { qos, load, name, traffic, .. } = *series;
        for round in 0..measure.rounds {
            let (connections, window) = load;
            progress.step(&format!("{name}, {connections} × {window}, QoS {}", qos.level()));
            let this_first = (start + round).is_multiple_of(2);
            let this = if this_first { Some(self.sample(series, measure, runs).await?) } else { None };
            let other = measure.sample(self.other, traffic, load, qos, runs).await?;
            let this = match this {
                Some(this) => this,
                None => self.sample(series, measure, runs).await?,
            };
            series.pairs.push([this, other]);
        }
        Ok(())
    }

    /// One run on this program's host.
    async fn sample(&self, series: &mut Series, measure: &Measure, runs: &mut Runs) -> anyhow::Result<Sample> {
        if series.recorded.is_some() {
            Recorded::begin(self.admin).await?;
        }
        let begun = match self.collector {
            Some(collector) => Some((Traced::begin(self.admin, collector).await?, collector)),
            None => None,
        };
        let sample = measure.sample(self.this, series.traffic, series.load, series.qos, runs).await?;
        if let (Some(traced), Some((begun, collector))) = (&mut series.traced, begun) {
            traced.end(begun, self.admin, collector).await?;
        }
        if let Some(recorded) = &mut series.recorded {
            recorded.end(self.admin).await?;
        }
        Ok(sample)
    }
}

impl From<Series> for Compared {
    fn from(series: Series) -> Self {
        let Series { qos, load, name, traffic: _, pairs, recorded, traced } = series;
        Self { recorded, traced, ..Self::of(load, qos, name, &pairs) }
    }
}

impl Compared {
    fn of((connections, window): (usize, usize), qos: Qos, traffic: &'static str, pairs: &[[Sample; 2]]) -> Self {
        let ratios = |of: fn(&Sample) -> Option<f64>| {
            let ratios = pairs.iter().filter_map(|[this, other]| Some(of(this)? / of(other)?));
            Quartiles::of(ratios.filter(|ratio| ratio.is_finite()).collect())
        };
        let side =
            |side: fn(&[Sample; 2]) -> &Sample| Sample::median(&pairs.iter().map(side).cloned().collect::<Vec<_>>());
        Self {
            connections,
            window,
            qos: qos.level(),
            traffic,
            rate: ratios(|sample| Some(sample.round_trips_per_s)),
            processor: ratios(|sample| sample.server_us),
            this: side(|[this, _]| this),
            other: side(|[_, other]| other),
            pairs: pairs.len(),
            recorded: None,
            traced: None,
        }
    }
}

/// The table as text. `this` and `other` name the sides.
pub(super) fn text(all: &[Compared], [this, other]: [&str; 2]) -> String {
    let quartiles = |found: Option<Quartiles>| {
        table::or_dash(found.map(|q| format!("{:.3} ({:.3} to {:.3})", q.median, q.low, q.high)))
    };
    let rate = |sample: &Option<Sample>| {
        table::or_dash(sample.as_ref().map(|sample| table::thousands(sample.round_trips_per_s)))
    };
    let faults = |found: &Compared| {
        let faultless = [&found.this, &found.other].into_iter().flatten().all(Sample::faultless);
        if faultless { "none" } else { "see the JSON" }.to_owned()
    };
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|found| {
            let mut row = vec![
                format!("{} {} × {}, QoS {}", found.traffic, found.connections, found.window, found.qos),
                quartiles(found.rate),
                quartiles(found.processor),
                rate(&found.this),
                rate(&found.other),
                found.pairs.to_string(),
                faults(found),
            ];
            row.extend(found.recorded.map(|recorded| recorded.text()));
            row.extend(found.traced.map(|traced| traced.text()));
            row
        })
        .collect();
    let ratio = |of: &str| format!("{of}, {this} ÷ {other}");
    let (rate, processor) = (ratio("rate"), ratio("processor"));
    let (this, other) = (format!("{this} /s"), format!("{other} /s"));
    let mut header = vec!["load", &rate, &processor, &this, &other, "pairs", "faults"];
    if all.iter().any(|found| found.recorded.is_some()) {
        header.push("recorded");
    }
    if all.iter().any(|found| found.traced.is_some()) {
        header.push("spans");
    }
    table::render(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values() {
        assert_eq!(Quartiles::of(Vec::new()), None);
        assert_eq!(Quartiles::of(vec![2.0]), Some(Quartiles { low: 2.0, median: 2.0, high: 2.0 }));
        let found = Quartiles::of(vec![4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!(found, Some(Quartiles { low: 2.0, median: 3.0, high: 4.0 }));
    }

    #[test]
    fn each_pair_is_a_ratio_of_its_own() {
        let sample = |rate: f64| Sample { round_trips_per_s: rate, server_us: Some(1e6 / rate), ..Sample::default() };
        // The machine was ten times slower in the second pair.
        let pairs = [[sample(200.0), sample(100.0)], [sample(10.0), sample(10.0)]];
        let found = Compared::of((1, 16), Qos::AtLeastOnce, "relay", &pairs);
        assert_eq!(found.rate.map(|rate| rate.median), Some(1.5));
        assert_eq!(found.processor.map(|rate| rate.median), Some(0.75));
    }
}
