//! Measures what hostile clients, many clients and many newcomers do to a device that only wants to be served. Prints tables;
//! asserts nothing. Where the machine has few cores, the attacker's own work is in the figures, less so with `HOSTILE_IDLE=1`.
//!
//! ```sh
//! export SWITCHBOX_PROGRAM=target/release/switchbox
//! cargo run --example hostile -p switchbox-tests -- rows [SECONDS [NAME…]]
//! cargo run --example hostile -p switchbox-tests -- idle [DEVICES]
//! cargo run --example hostile -p switchbox-tests -- connects [PER_SECOND [SECONDS]]
//! ```

mod connects;
mod idle;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use switchbox_tests::{
    Place,
    hostile::{Attack, Healthy, Target, rows},
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: f64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    match arguments.first().map(String::as_str) {
        Some("rows") => table(Duration::from_secs_f64(number(1, 1.0)), arguments.get(2..).unwrap_or_default()),
        Some("idle") => idle::run(number(1, 10_000.0) as usize),
        Some("connects") => connects::run(number(1, 5_000.0 / 60.0), Duration::from_secs_f64(number(2, 20.0))),
        _ => eprintln!("rows [SECONDS [NAME…]], idle [DEVICES] or connects [PER_SECOND [SECONDS]]"),
    }
}

/// Time for what a row has left to do.
const SETTLE: Duration = Duration::from_millis(300);

/// Sorted.
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

/// Each row, with quiet time before it. What a row's p99 is held against is the middle one of all quiet stretches' p99: a single
/// one is as good as its luck.
fn table(time: Duration, names: &[String]) {
    let place = Place::new();
    let (_host, target) = Target::start(&place, &[]);
    let target = Arc::new(target);
    let mut healthy = Healthy::connect(&target);
    println!("{:28}    quiet: p50, p99, most µs     attacked: p50, p99, most   p99 ratio   MiB", "");
    let mut measured: Vec<(&str, Duration, Duration)> = Vec::new();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    for row in rows().into_iter().filter(|row| wanted(row.name)) {
        // What the row before has left to do is not quiet, and is not this row's either.
        let _ = Times::of(&mut healthy, SETTLE);
        let quiet = Times::of(&mut healthy, time);
        let attack = || Attack::run(&target, row, || Times::of(&mut healthy, time));
        let Ok(attacked) = catch_unwind(AssertUnwindSafe(attack)) else {
            println!("{:28} {}   the attack succeeded, or could not be made", row.name, quiet.shown());
            healthy = Healthy::connect(&target);
            continue;
        };
        let ratio = attacked.at(0.99).as_secs_f64() / quiet.at(0.99).as_secs_f64();
        let mib = target.resident_mib();
        println!("{:28} {}   {}   {ratio:9.2} {mib:5}", row.name, quiet.shown(), attacked.shown());
        measured.push((row.name, quiet.at(0.99), attacked.at(0.99)));
    }
    summary(&measured);
}

/// How many rows are within which ratio, and the worst.
fn summary(measured: &[(&str, Duration, Duration)]) {
    let quiet = Times::sorted(measured.iter().map(|(_, quiet, _)| *quiet).collect()).at(0.5).as_secs_f64();
    let mut ratios: Vec<_> =
        measured.iter().map(|(name, _, attacked)| (attacked.as_secs_f64() / quiet, *name)).collect();
    ratios.sort_by(|one, other| other.0.total_cmp(&one.0));
    let within = |most: f64| ratios.iter().filter(|(ratio, _)| *ratio <= most).count();
    println!(
        "the middle quiet p99 is {:.0} µs; of {} rows {} are within 2 × of it, {} within 5 ×",
        quiet * 1e6,
        ratios.len(),
        within(2.0),
        within(5.0)
    );
    for (ratio, name) in ratios.iter().take_while(|(ratio, _)| *ratio > 2.0) {
        println!("{ratio:6.2}  {name}");
    }
}
