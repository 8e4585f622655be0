//! Statistics of a plugin version: failures, computing time and number of effects and method calls. They are used to compare a new version with the
//! one before it. Pure: no clock.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use switchbox_plugin_runtime::{Execution, Verdict};

use super::loop_guard::target_counts;

/// Buckets in one octave of the histogram.
const PARTS: usize = 4;
/// Octaves of nanoseconds: up to more than a quarter of an hour.
const OCTAVES: usize = 40;

/// What is recorded of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observation {
    guest_ns: u64,
    /// Effects and method calls.
    effects: u32,
    /// Devices and topics that they reach.
    targets: u32,
    /// Effects and method calls that have a target.
    on_targets: u32,
    ended: ExecutionEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExecutionEnd {
    Done,
    /// The guest rejected the event or asked for a retry.
    Error,
    /// A trap, a limit, or a panic of the host in the call.
    Trap,
}

impl Observation {
    pub(super) fn of(execution: &Execution) -> Self {
        let ended = match execution.verdict {
            Verdict::Done => ExecutionEnd::Done,
            Verdict::Retry(_) | Verdict::Reject(_) => ExecutionEnd::Error,
            Verdict::GuestFailed(_) | Verdict::HostPanicked(_) => ExecutionEnd::Trap,
        };
        // A method call reaches a device as an effect does.
        let (effects, calls) = (&execution.effects, &execution.calls);
        let (targets, on_targets) = target_counts(effects, calls);
        Self {
            guest_ns: u64::try_from(execution.guest_time.as_nanos()).unwrap_or(u64::MAX),
            effects: u32::try_from(effects.len() + calls.len()).unwrap_or(u32::MAX),
            targets,
            on_targets,
            ended,
        }
    }
}

/// The statistics of all executions of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Behaviour {
    pub(super) events: u64,
    pub(super) traps: u64,
    /// Executions in which the guest rejected the event or asked for a retry.
    pub(super) errors: u64,
    pub(super) dead_letters: u64,
    /// Executions that succeeded. The three sums below are of these.
    done: u64,
    effects: u64,
    targets: u64,
    on_targets: u64,
    /// Executions by their guest time.
    #[serde(serialize_with = "write_buckets", deserialize_with = "read_buckets")]
    guest: Box<[u32; PARTS * OCTAVES]>,
}

/// Writes the buckets that are not empty, each with its index.
fn write_buckets<S: Serializer>(buckets: &[u32; PARTS * OCTAVES], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(buckets.iter().enumerate().filter(|(_, count)| **count > 0))
}

fn read_buckets<'de, D: Deserializer<'de>>(from: D) -> Result<Box<[u32; PARTS * OCTAVES]>, D::Error> {
    let mut buckets = Box::new([0; PARTS * OCTAVES]);
    for (index, count) in Vec::<(usize, u32)>::deserialize(from)? {
        if let Some(bucket) = buckets.get_mut(index) {
            *bucket = count;
        }
    }
    Ok(buckets)
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            events: 0,
            traps: 0,
            errors: 0,
            dead_letters: 0,
            done: 0,
            effects: 0,
            targets: 0,
            on_targets: 0,
            guest: Box::new([0; PARTS * OCTAVES]),
        }
    }
}

impl Behaviour {
    pub(super) fn add(&mut self, observation: Observation) {
        self.events += 1;
        match observation.ended {
            ExecutionEnd::Trap => self.traps += 1,
            ExecutionEnd::Error => self.errors += 1,
            ExecutionEnd::Done => {
                self.done += 1;
                self.effects += u64::from(observation.effects);
                self.targets += u64::from(observation.targets);
                self.on_targets += u64::from(observation.on_targets);
            }
        }
        if let Some(bucket) = self.guest.get_mut(bucket(observation.guest_ns)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// The median guest time, rounded down to the begin of its bucket. Returns `None` without events.
    pub(super) fn median_guest_time(&self) -> Option<Duration> {
        let mut sum = 0;
        let index = self.guest.iter().position(|count| {
            sum += u64::from(*count);
            self.events > 0 && sum * 2 >= self.events
        })?;
        Some(Duration::from_nanos(begin_of(index)))
    }

    /// Effects and method calls of an execution that succeeded, on average.
    pub(super) fn effects_per_event(&self) -> Option<f64> {
        ratio(self.effects, self.done)
    }

    /// Effects and method calls for each target that an execution reaches, on average.
    pub(super) fn effects_per_target(&self) -> Option<f64> {
        ratio(self.on_targets, self.targets)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts that are compared by their ratio")]
fn ratio(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

/// The bucket of a time: four in each octave.
fn bucket(ns: u64) -> usize {
    let ns = ns.max(PARTS as u64);
    let octave = ns.ilog2();
    let part = usize::try_from(ns >> (octave - 2)).unwrap_or(0) & (PARTS - 1);
    (octave as usize * PARTS + part).min(PARTS * OCTAVES - 1)
}

/// The shortest time of a bucket.
fn begin_of(bucket: usize) -> u64 {
    let (octave, part) = (bucket / PARTS, (bucket % PARTS) as u64);
    (1_u64 << octave) + (part << octave.saturating_sub(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_the_executions_within_a_quarter() {
        let mut behaviour = Behaviour::default();
        assert_eq!(behaviour.median_guest_time(), None);
        for us in [10, 20, 50_000, 20, 21] {
            behaviour.add(Observation {
                guest_ns: us * 1_000,
                effects: 2,
                targets: 1,
                on_targets: 2,
                ended: ExecutionEnd::Done,
            });
        }
        let median = behaviour.median_guest_time().unwrap();
        assert!((15..=20).contains(&median.as_micros()), "{median:?}");
        assert_eq!((behaviour.effects_per_event(), behaviour.effects_per_target()), (Some(2.0), Some(2.0)));
        let stored = serde_json::to_string(&behaviour).unwrap();
        assert_eq!(serde_json::from_str::<Behaviour>(&stored).unwrap(), behaviour, "{stored}");
        for bucket in [8, 17, 90, PARTS * OCTAVES - 1] {
            assert_eq!(super::bucket(begin_of(bucket)), bucket);
        }
    }
}
