//! `switchbox bench`: measures this host on this machine, and mosquitto for comparison. It starts both as child processes and
//! drives them with one load client. It measures a running host only on request.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use switchbox_support::{clock, terminal};

mod admin;
mod collector;
mod frames;
mod histogram;
mod link;
mod load;
mod machine;
mod memory;
mod pairs;
mod plan;
mod progress;
mod recorded;
mod report;
mod running;
mod sample;
mod servers;
mod streams;
mod swap;
mod table;
#[cfg(test)]
mod tests;
mod throughput;

use frames::Qos;
use plan::Traffic;
use progress::Progress;
use report::{Memory, Method, Mosquitto, Report, divide};
use running::Running;
use sample::Timing;
use servers::Server;
use throughput::{Measure, Runs, Servers};

/// Measure this host, and also mosquitto if it is installed
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How long each load is measured
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub time: Duration,
    /// How long each load runs before it is measured
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub warm_up: Duration,
    /// How often each load is measured, in turn; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
    /// Numbers of connections
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,10,100",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: Vec<u16>,
    /// Qualities of service: 0, 1 or both
    #[arg(long, value_name = "QOS,…", value_delimiter = ',', default_value = "0,1",
        value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: Vec<u8>,
    /// Messages under way on each connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub window: u16,
    /// Measure these loads instead: connections, and messages under way on each, such as 100x1,10x16
    #[arg(long, value_name = "CONNECTIONSxMESSAGES,…", value_delimiter = ',', value_parser = parse_load, conflicts_with_all = ["connections", "window", "host"])]
    pub loads: Vec<(usize, usize)>,
    /// Threads of the load client
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub client_threads: u16,
    /// Idle connections whose memory is measured; 0 = none
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub idle: u16,
    /// Measure each load once for half a second, as a check that everything works
    #[arg(long)]
    pub quick: bool,
    /// A hop relay to swap in while the built-in runs [default: copies of the built-in]
    #[arg(long, value_name = "FILE.wasm")]
    pub component: Option<PathBuf>,
    /// The host's data folder during the benchmark: a disk, not a memory file system [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The mosquitto to compare with [default: the one that is installed]
    #[arg(long, value_name = "FILE")]
    pub mosquitto: Option<PathBuf>,
    /// Do not compare with mosquitto
    #[arg(long, conflicts_with = "mosquitto")]
    pub no_mosquitto: bool,
    /// Measure only the relay of this running host, which needs `builtin:hop-relay`; prints a line for each load
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["component", "data", "mosquitto", "json"])]
    pub host: Option<std::net::SocketAddr>,
    /// Write the results to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Be the collector of traces of another benchmark
    #[arg(long, hide = true)]
    pub collector: bool,
    #[command(flatten)]
    pub pairs: pairs::Pairs,
}

/// Measures and prints; ends by itself. Ctrl-C ends the child processes and is an error.
///
/// # Errors
/// The host or mosquitto cannot be started or driven, or a file cannot be written.
pub async fn run(options: Options) -> anyhow::Result<()> {
    if options.collector {
        return tokio::task::spawn_blocking(collector::run).await?;
    }
    if let Some(host) = options.host {
        let Options { qos, connections, window, client_threads: threads, warm_up, time, .. } = &options;
        let (window, threads, warm_up, time) = (*window, *threads, *warm_up, *time);
        return running::measure(&Running { host, qos, connections, window, threads, warm_up, time }).await;
    }
    let parent = options.data.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("switchbox-bench-").tempdir_in(&parent);
    let folder = folder.with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    tokio::select! {
        done = measure(&options, folder.path()) => done,
        signal = interrupted() => Err(anyhow::anyhow!("interrupted by {signal}")),
    }
}

/// Prints the text, and writes the report as JSON if requested.
fn show(options: &Options, text: &str, report: &impl serde::Serialize) -> anyhow::Result<()> {
    terminal::print(text.trim_end_matches('\n'))?;
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(report)? + "\n";
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
    }
}

async fn measure(options: &Options, folder: &Path) -> anyhow::Result<()> {
    if let Some(other) = &options.pairs.against {
        let pairs = options.pairs.measure(other, &measurement(options, folder)).await?;
        return show(options, &pairs::text(&pairs, ["this", "other"]), &pairs);
    }
    if options.pairs.azure {
        let pairs = pairs::azure(&measurement(options, folder)).await?;
        return show(options, &pairs::text(&pairs, ["Azure IoT Hub", "IoT Core"]), &pairs);
    }
    let bench = Bench::new(options, folder).await?;
    let report = bench.run().await?;
    show(options, &report.text(), &report)
}

fn measurement(options: &Options, folder: &Path) -> Measure {
    let half_a_second = Duration::from_millis(500);
    Measure {
        duration: if options.quick { half_a_second } else { options.time },
        warm_up: if options.quick { half_a_second / 2 } else { options.warm_up },
        rounds: if options.quick { 1 } else { usize::from(options.rounds) },
        threads: usize::from(options.client_threads),
        loads: match options.loads.as_slice() {
            [] => loads(&options.connections, usize::from(options.window)),
            loads => loads.to_vec(),
        },
        qos: options.qos.iter().map(|qos| if *qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce }).collect(),
        folder: folder.to_owned(),
    }
}

/// Parses `CONNECTIONSxWINDOW`.
fn parse_load(text: &str) -> Result<(usize, usize), String> {
    let parsed =
        text.split_once('x').and_then(|(connections, window)| Some((connections.parse().ok()?, window.parse().ok()?)));
    parsed
        .filter(|(connections, window)| (1..=10_000).contains(connections) && (1..=1_000).contains(window))
        .ok_or_else(|| "expected CONNECTIONSxMESSAGES, at most 10000x1000, such as 100x1".into())
}

/// Connections and messages in flight on each: one connection alone, the largest number with one message each (a house full of
/// devices), and all numbers of connections with a full window.
fn loads(connections: &[u16], window: usize) -> Vec<(usize, usize)> {
    let connections = || connections.iter().map(|connections| usize::from(*connections));
    let single = [1].into_iter().chain(connections().max()).map(|connections| (connections, 1));
    let mut loads: Vec<_> = Vec::new();
    for load in single.chain(connections().map(|connections| (connections, window))) {
        if !loads.contains(&load) {
            loads.push(load);
        }
    }
    loads
}

/// The whole benchmark with its settings.
struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
    mosquitto: Option<(PathBuf, String)>,
    measure: Measure,
    /// How often each kind of swap is repeated.
    swaps: usize,
}

impl<'a> Bench<'a> {
    async fn new(options: &'a Options, folder: &'a Path) -> anyhow::Result<Self> {
        let mosquitto = match options.no_mosquitto {
            true => None,
            false => servers::find_mosquitto(options.mosquitto.as_deref()).await,
        };
        anyhow::ensure!(options.mosquitto.is_none() || mosquitto.is_some(), "the mosquitto given cannot be run");
        Ok(Self {
            options,
            folder,
            mosquitto,
            measure: measurement(options, folder),
            swaps: if options.quick { 1 } else { 3 },
        })
    }

    async fn run(&self) -> anyhow::Result<Report> {
        let mut report = self.empty_report();
        let mut runs = Runs::default();
        self.throughput(&mut report, &mut runs).await?;
        if self.options.idle > 0 {
            report.memory = Some(self.memory().await?);
        }
        report.swap = Some(self.swap(&mut runs).await?);
        self.remark(&mut report, runs);
        Ok(report)
    }

    async fn throughput(&self, report: &mut Report, runs: &mut Runs) -> anyhow::Result<()> {
        let servers = Servers { host: Some(self.host("throughput").await?), mosquitto: self.start_mosquitto().await? };
        let progress = Progress::new(self.measure.runs(&servers));
        report.throughput = self.measure.all(&servers, runs, &progress).await?;
        report.fsync = Timing::of(&runs.disk);
        report.unloaded = throughput::unloaded(&report.throughput, report.fsync);
        let guest_us = match servers.host.as_ref().and_then(|host| host.admin.as_ref()) {
            Some(admin) => admin.guest_us().await,
            None => None,
        };
        report.plugin = Some(throughput::plugin_cost(&report.throughput, guest_us));
        for server in [servers.host, servers.mosquitto].into_iter().flatten() {
            server.end().await;
        }
        Ok(())
    }

    /// Measures memory with a host that has done nothing else before.
    async fn memory(&self) -> anyhow::Result<Memory> {
        let progress = Progress::new(2);
        let connections = usize::from(self.options.idle);
        progress.step(&format!("{connections} idle connections"));
        let server = self.host("memory").await?;
        let host = memory::idle(&server, Traffic::Relay, connections).await?;
        server.end().await;
        let mut mosquitto = None;
        if let Some(server) = self.start_mosquitto().await? {
            progress.step(&format!("{connections} idle connections, mosquitto"));
            mosquitto = memory::idle(&server, Traffic::Echo, connections).await?;
            server.end().await;
        }
        let each = |resident: Option<report::Resident>| resident.map(|resident| resident.per_connection_bytes);
        Ok(Memory { connections, host, mosquitto, host_to_mosquitto: divide(each(host), each(mosquitto)) })
    }

    async fn swap(&self, runs: &mut Runs) -> anyhow::Result<report::Swap> {
        let progress = Progress::new(1);
        progress.step("swapping the plugin under load");
        let server = self.host("swap").await?;
        let load = swap::SwapLoad {
            connections: 10,
            window: usize::from(self.options.window),
            threads: self.measure.threads,
            times: self.swaps,
            warm_up: self.measure.warm_up,
        };
        let plugins = self.folder.join("swap/plugins");
        let swap = swap::under_load(&server, &plugins, self.options.component.as_deref(), &load, runs).await?;
        server.end().await;
        Ok(swap)
    }

    /// Starts a host with the hop relay and a data folder of its own.
    async fn host(&self, name: &str) -> anyhow::Result<Server> {
        Server::host(&servers::folder(self.folder, name)?, None, &[]).await
    }

    async fn start_mosquitto(&self) -> anyhow::Result<Option<Server>> {
        match &self.mosquitto {
            Some((program, _)) => Server::mosquitto(program, self.folder).await.map(Some),
            None => Ok(None),
        }
    }

    fn empty_report(&self) -> Report {
        let mut message = Vec::new();
        streams::first_message(&mut message, "hop-1", 1, 0, streams::HopsRaisedBy::Server);
        Report {
            switchbox: env!("CARGO_PKG_VERSION"),
            started: clock::rfc3339(clock::now_ms()),
            optimised: !cfg!(debug_assertions),
            machine: machine::Machine::inspect(self.folder),
            mosquitto: self.mosquitto.as_ref().map(|(_, version)| Mosquitto {
                version: version.clone(),
                settings: servers::MOSQUITTO_SETTINGS.lines().map(str::to_owned).collect(),
            }),
            method: Method {
                seconds: self.measure.duration.as_secs_f64(),
                warm_up_s: self.measure.warm_up.as_secs_f64(),
                rounds: self.measure.rounds,
                client_threads: self.measure.threads,
                payload_bytes: message.len(),
            },
            fsync: None,
            throughput: Vec::new(),
            unloaded: Vec::new(),
            plugin: None,
            memory: None,
            swap: None,
            remarks: Vec::new(),
        }
    }

    fn remark(&self, report: &mut Report, runs: Runs) {
        let mut say = |text: String| report.remarks.push(text);
        if !report.optimised {
            say("this build is not optimised; run it with --release".to_owned());
        }
        if self.mosquitto.is_none() {
            say("mosquitto was not measured, so there are no ratios".to_owned());
        }
        if report.machine.file_system.as_deref() == Some("tmpfs") {
            say("the data folder is in memory, where an fsync costs nothing; --data names another".to_owned());
        }
        let samples = |cell: &report::Cell| {
            [&cell.relay, &cell.plain, &cell.mosquitto].into_iter().flatten().cloned().collect::<Vec<_>>()
        };
        if !report.throughput.iter().flat_map(samples).all(|sample| sample.faultless()) {
            say("messages were lost, doubled or skipped; see the column of faults and the JSON".to_owned());
        }
        let fsync = report.fsync.map(|fsync| fsync.p50).unwrap_or_default();
        if report.unloaded.iter().any(|row| row.qos > 0 && row.relay.is_some_and(|relay| relay.p50 < fsync)) {
            say("the disk was faster while the relay waited for it than when it was timed: others use it".to_owned());
        }
        if report.swap.iter().flat_map(|swap| &swap.swaps).any(|swap| swap.in_force.is_none()) {
            say("the host did not say of every swap that the new version runs".to_owned());
        }
        for error in runs.errors {
            say(format!("a connection broke in {error}"));
        }
    }
}
