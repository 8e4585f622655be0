//! The main figures: round trips a second and their duration, for the relay, for plain forwarding by the same host, and for
//! mosquitto, one after the other under the same load.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    frames::Qos,
    histogram::Histogram,
    load::{DRAIN, Load},
    machine,
    plan::{Plan, Traffic},
    progress::Progress,
    report::{Cell, PluginCost, Unloaded, divide},
    sample::{Sample, Timing},
    servers::Server,
};

/// How long the disk is timed directly before a run that is compared with it: the speed of a shared disk changes by the minute.
const DISK: Duration = Duration::from_millis(250);

/// The parameters of all measurements.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    pub(super) duration: Duration,
    pub(super) warm_up: Duration,
    /// How often each load is measured, in turn.
    pub(super) rounds: usize,
    pub(super) threads: usize,
    /// (connections, window) pairs.
    pub(super) loads: Vec<(usize, usize)>,
    pub(super) qos: Vec<Qos>,
    /// A folder on the host's disk.
    pub(super) folder: PathBuf,
}

/// The servers to measure.
pub(super) struct Servers {
    pub(super) host: Option<Server>,
    pub(super) mosquitto: Option<Server>,
}

impl Measure {
    /// The number of runs of `all`.
    pub(super) fn runs(&self, servers: &Servers) -> usize {
        let subjects = servers.host.iter().count() * 2 + servers.mosquitto.iter().count();
        self.loads.len() * self.qos.len() * self.rounds * subjects
    }

    /// Every load at every QoS.
    pub(super) async fn all(
        &self,
        servers: &Servers,
        runs: &mut Runs,
        progress: &Progress,
    ) -> anyhow::Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for qos in &self.qos {
            for load in &self.loads {
                cells.push(self.cell(servers, *load, *qos, runs, progress).await?);
            }
        }
        Ok(cells)
    }

    async fn cell(
        &self,
        servers: &Servers,
        (connections, window): (usize, usize),
        qos: Qos,
        runs: &mut Runs,
        progress: &Progress,
    ) -> anyhow::Result<Cell> {
        let subjects = [
            ("relay", &servers.host, Traffic::Relay),
            ("plain", &servers.host, Traffic::Echo),
            ("mosquitto", &servers.mosquitto, Traffic::Echo),
        ];
        let mut samples = [const { Vec::new() }; 3];
        for _ in 0..self.rounds {
            for ((name, server, traffic), samples) in subjects.iter().zip(&mut samples) {
                let Some(server) = server else { continue };
                progress.step(&format!("{name}, {connections} × {window}, QoS {}", qos.level()));
                if *name == "relay" && connections * window == 1 && qos == Qos::AtLeastOnce {
                    runs.disk.merge(&machine::fsync(&self.folder, DISK)?);
                }
                samples.push(self.sample(server, *traffic, (connections, window), qos, runs).await?);
            }
        }
        let [relay, plain, mosquitto] = samples.map(|samples| Sample::median(&samples));
        let qos = qos.level();
        Ok(Cell {
            connections,
            window,
            qos,
            relay,
            plain,
            mosquitto,
            relay_to_mosquitto: None,
            plain_to_mosquitto: None,
        }
        .compare())
    }

    /// One run against one server.
    pub(super) async fn sample(
        &self,
        server: &Server,
        traffic: Traffic,
        (connections, window): (usize, usize),
        qos: Qos,
        runs: &mut Runs,
    ) -> anyhow::Result<Sample> {
        let (addr, run, threads) = (server.mqtt, runs.next(), self.threads);
        let plan = Plan { addr, traffic, connections, window, qos, run, threads, drain: DRAIN };
        let pid = server.pid;
        let load = Load::start(&plan).await?;
        tokio::time::sleep(self.warm_up).await;
        let (begun, completed) = (Instant::now(), load.completed());
        let used = || (machine::processor_time(pid), machine::processor_time(std::process::id()));
        let (server, client) = used();
        let rate = load.measure(self.duration).await;
        let (server_then, client_then) = used();
        let (took, completed) = (begun.elapsed(), load.completed() - completed);
        let result = load.finish().await?;
        runs.add_errors(&result.errors);
        let spent =
            |before: Option<Duration>, after: Option<Duration>| Some(after?.saturating_sub(before?).as_secs_f64());
        Ok(Sample {
            server_us: divide(spent(server, server_then).map(|seconds| seconds * 1e6), Some(completed as f64)),
            client_cores: divide(spent(client, client_then), Some(took.as_secs_f64())),
            ..Sample::new(rate, &result)
        })
    }
}

/// Numbers the runs and collects their errors.
#[derive(Debug, Default)]
pub(super) struct Runs {
    last: u64,
    pub(super) errors: Vec<String>,
    /// 4 KiB and fdatasync, timed between the unloaded runs.
    pub(super) disk: Histogram,
}

impl Runs {
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn add_errors(&mut self, errors: &[String]) {
        self.errors.extend(errors.iter().map(|error| format!("run {}: {error}", self.last)));
    }
}

/// The cells with one connection and one message under way, compared with the disk.
pub(super) fn unloaded(cells: &[Cell], fsync: Option<Timing>) -> Vec<Unloaded> {
    let timing = |sample: &Option<Sample>| sample.as_ref().map(|sample| Timing { p50: sample.p50, p99: sample.p99 });
    cells
        .iter()
        .filter(|cell| cell.connections == 1 && cell.window == 1)
        .map(|cell| {
            let (relay, plain, mosquitto) = (timing(&cell.relay), timing(&cell.plain), timing(&cell.mosquitto));
            let p50 = |timing: Option<Timing>| timing.map(|timing| timing.p50.as_secs_f64());
            let bound =
                fsync.filter(|_| cell.qos > 0).zip(mosquitto).map(|(fsync, m)| (fsync.p50 * 3 + m.p50).as_secs_f64());
            Unloaded {
                qos: cell.qos,
                relay,
                plain,
                mosquitto,
                relay_to_mosquitto: divide(p50(relay), p50(mosquitto)),
                relay_to_three_fsync_and_mosquitto: divide(p50(relay), bound),
            }
        })
        .collect()
}

/// The difference between the relay and plain forwarding by the same host.
pub(super) fn plugin_cost(cells: &[Cell], guest_us: Option<f64>) -> PluginCost {
    let at_qos_0 = || cells.iter().filter(|cell| cell.qos == 0);
    let single = at_qos_0().find(|cell| cell.connections == 1 && cell.window == 1);
    let largest = at_qos_0().max_by_key(|cell| cell.connections * cell.window);
    let more = |cell: Option<&Cell>, of: fn(&Sample) -> Option<f64>| {
        let cell = cell?;
        Some(of(cell.relay.as_ref()?)? - of(cell.plain.as_ref()?)?)
    };
    let p50 = |sample: &Sample| Some(sample.p50.as_secs_f64() * 1e6);
    let added_p50_us = more(single, p50);
    PluginCost {
        added_p50_us,
        added_to_mosquitto: divide(added_p50_us, single.and_then(|cell| cell.mosquitto.as_ref()).and_then(p50)),
        added_processor_us: more(largest, |sample| sample.server_us),
        guest_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(qos: u8, connections: usize, p50: [u64; 3], server_us: [f64; 2]) -> Cell {
        let [relay, plain, mosquitto] =
            p50.map(|micros| Sample { p50: Duration::from_micros(micros), ..Sample::default() });
        let [relay_us, plain_us] = server_us.map(Some);
        Cell {
            connections,
            window: 1,
            qos,
            relay: Some(Sample { server_us: relay_us, ..relay }),
            plain: Some(Sample { server_us: plain_us, ..plain }),
            mosquitto: Some(mosquitto),
            relay_to_mosquitto: None,
            plain_to_mosquitto: None,
        }
    }

    #[test]
    fn the_unloaded_relay_is_held_against_the_disk_only_where_it_waits_for_it() {
        let micros = Duration::from_micros;
        let cells =
            [cell(0, 1, [90, 60, 60], [0.0; 2]), cell(1, 1, [720, 70, 60], [0.0; 2]), cell(1, 9, [9; 3], [0.0; 2])];
        let rows = unloaded(&cells, Some(Timing { p50: micros(100), p99: micros(900) }));
        let ratios: Vec<_> =
            rows.iter().map(|row| (row.qos, row.relay_to_mosquitto, row.relay_to_three_fsync_and_mosquitto)).collect();
        assert_eq!(ratios, [(0, Some(1.5), None), (1, Some(12.0), Some(2.0))]);
    }

    #[test]
    fn a_plugins_cost_is_relay_less_plain_at_qos_0() {
        let cells =
            [cell(0, 1, [90, 60, 60], [40.0, 30.0]), cell(0, 100, [9; 3], [7.0, 2.5]), cell(1, 1, [999; 3], [9.0; 2])];
        let cost = plugin_cost(&cells, Some(4.0));
        assert!((cost.added_p50_us.expect("measured") - 30.0).abs() < 1e-6);
        assert!((cost.added_to_mosquitto.expect("measured") - 0.5).abs() < 1e-6);
        assert_eq!(cost.added_processor_us, Some(4.5));
    }
}
