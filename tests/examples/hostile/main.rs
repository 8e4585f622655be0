//! Measures what hostile clients, many clients and many new clients do to the service of a normal device, and how soon one that is
//! shut out is. Prints tables; times are not asserted, but a row that fails is an error. Where the machine has few cores, the attacker's own work is in the figures, less so with `HOSTILE_IDLE=1`.
//!
//! ```sh
//! export SWITCHBOX_PROGRAM=target/release/switchbox
//! cargo run --example hostile -p switchbox-tests -- rows [ROUNDS [NAME…]]
//! cargo run --example hostile -p switchbox-tests -- idle [DEVICES]
//! cargo run --example hostile -p switchbox-tests -- connects [PER_SECOND [SECONDS]]
//! cargo run --example hostile -p switchbox-tests -- revoke [ROUNDS]
//! ```

mod connects;
mod idle;
mod revoke;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use switchbox_tests::{
    HostFolder,
    hostile::{Attack, Healthy, Row, Target, rows},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: f64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    match arguments.first().map(String::as_str) {
        Some("rows") => return table(number(1, 3.0) as usize, arguments.get(2..).unwrap_or_default()),
        Some("idle") => idle::run(number(1, 10_000.0) as usize),
        Some("connects") => connects::run(number(1, 5_000.0 / 60.0), Duration::from_secs_f64(number(2, 20.0))),
        Some("revoke") => revoke::run(number(1, 20.0) as usize),
        _ => eprintln!("rows [ROUNDS [NAME…]], idle [DEVICES], connects [PER_SECOND [SECONDS]] or revoke [ROUNDS]"),
    }
    ExitCode::SUCCESS
}

/// Sorted.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// As many round trips as there is time for.
    fn of(healthy: &mut Healthy, time: Duration) -> Self {
        let until = Instant::now() + time;
        let trips = std::iter::from_fn(|| (Instant::now() < until).then(|| healthy.round_trip()));
        Self::sorted(trips.collect())
    }

    fn sorted(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn add(&mut self, more: Self) {
        self.0.extend(more.0);
        self.0.sort();
    }

    fn at(&self, share: f64) -> Duration {
        let index = (self.0.len() as f64 * share) as usize;
        self.0.get(index.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// p50, p99 and the longest, µs.
    fn shown(&self) -> String {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| self.at(share).as_micros());
        format!("{p50:>7} {p99:>8} {most:>8}")
    }
}

/// How long a stretch of round trips is.
const STRETCH: Duration = Duration::from_secs(1);
/// Time for what a row has left to do.
const SETTLE: Duration = Duration::from_millis(300);

/// What was measured of a row, over all rounds.
struct Measured {
    row: Row,
    quiet: Times,
    attacked: Times,
    failed: bool,
    most_mib: u64,
}

/// Each row once in every round, with a quiet stretch before it. A row's p99 over its stretches is held against the p99 over all
/// quiet ones: the machine has quick and slow moments of its own, and a single stretch is as good as its luck. Fails if a row failed.
fn table(rounds: usize, names: &[String]) -> ExitCode {
    let host_folder = HostFolder::new();
    let (_host, target) = Target::start(&host_folder, &[]);
    let target = Arc::new(target);
    let mut healthy = Healthy::connect(&target);
    let matches = |row: &Row| names.is_empty() || names.iter().any(|part| row.name.contains(part.as_str()));
    let mut table: Vec<_> = rows().into_iter().filter(matches).map(Measured::new).collect();
    for round in 1..=rounds {
        for measured in &mut table {
            measured.once(&target, &mut healthy);
        }
        eprintln!("round {round} of {rounds}");
    }
    print(&table);
    if table.iter().any(|measured| measured.failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Measured {
    fn new(row: Row) -> Self {
        Self { row, quiet: Times::default(), attacked: Times::default(), failed: false, most_mib: 0 }
    }

    fn once(&mut self, target: &Arc<Target>, healthy: &mut Healthy) {
        // What the row before has left to do is not quiet, and is not this row's either.
        let _ = Times::of(healthy, SETTLE);
        self.quiet.add(Times::of(healthy, STRETCH));
        let attack = || Attack::run(target, self.row, || Times::of(healthy, STRETCH));
        match catch_unwind(AssertUnwindSafe(attack)) {
            Ok(times) => self.attacked.add(times),
            Err(_) => {
                self.failed = true;
                *healthy = Healthy::connect(target);
            }
        }
        self.most_mib = self.most_mib.max(target.resident_mib());
    }

    fn ratio(&self, quiet: Duration) -> f64 {
        self.attacked.at(0.99).as_secs_f64() / quiet.as_secs_f64()
    }

    fn print(&self, quiet: Duration) {
        let Self { row, most_mib, failed, .. } = self;
        let note = if *failed { "   the attack succeeded, or could not be made" } else { "" };
        let (before, attacked, ratio) = (self.quiet.shown(), self.attacked.shown(), self.ratio(quiet));
        println!("{:28} {before}   {attacked}   {ratio:9.2} {most_mib:5}{note}", row.name);
    }
}

/// Each row, and how many are within which ratio. A row that failed is in none of these.
fn print(table: &[Measured]) {
    let quiet = Times::sorted(table.iter().flat_map(|measured| measured.quiet.0.iter().copied()).collect()).at(0.99);
    println!("{:28}    quiet: p50, p99, most µs     attacked: p50, p99, most   p99 ratio   MiB", "");
    table.iter().for_each(|measured| measured.print(quiet));
    let passed: Vec<_> = table.iter().filter(|measured| !measured.failed).collect();
    let within = |most: f64| passed.iter().filter(|measured| measured.ratio(quiet) <= most).count();
    println!(
        "{} rows failed; the p99 of all quiet trips is {} µs; of the other {} rows {} are within 2 × of it, {} within 5 ×; beyond 2 ×:",
        table.len() - passed.len(),
        quiet.as_micros(),
        passed.len(),
        within(2.0),
        within(5.0)
    );
    for measured in passed.iter().filter(|measured| measured.ratio(quiet) > 2.0) {
        println!("{:6.2}  {}", measured.ratio(quiet), measured.row.name);
    }
}
