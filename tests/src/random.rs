//! Random numbers for the tests that kill the host. The seed is printed first, so that a failure can be repeated.

use std::env;

/// Pseudo-random numbers, the same for the same seed.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// How often to kill, and when: `SWITCHBOX_CRASH_ROUNDS` (or the given number) and `SWITCHBOX_CRASH_SEED`. Both are printed.
///
/// # Panics
///
/// Panics if a variable is not a number.
#[must_use]
pub fn crash_plan(rounds: u64) -> (u64, Random) {
    let setting = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
    };
    let (rounds, seed) = (setting("SWITCHBOX_CRASH_ROUNDS", rounds), setting("SWITCHBOX_CRASH_SEED", 1_763_000_000));
    eprintln!("SWITCHBOX_CRASH_ROUNDS={rounds} SWITCHBOX_CRASH_SEED={seed}");
    (rounds, Random(seed))
}
