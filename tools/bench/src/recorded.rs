//! What a host's recording of the hop relay took in while a load ran.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use super::{admin::Admin, table};

/// How often, and how many times, it is looked whether a recording has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;
/// The plugin that is recorded.
const PLUGIN: &str = "hop";

/// What the recordings of one load have, and what they lack because it came faster than it could be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Recorded {
    executions: u64,
    left_out: u64,
    /// Recordings whose file was full before the load ended.
    full: u64,
}

impl Recorded {
    /// Begins a recording. Each turn has its own, so that none ends within it because its file is full.
    pub(super) async fn begin(admin: &Admin) -> anyhow::Result<()> {
        admin.record(PLUGIN).await.context("the recording cannot be started")
    }

    /// Ends the recording, and adds what it has.
    pub(super) async fn end(&mut self, admin: &Admin) -> anyhow::Result<()> {
        let was_full = admin.recording(PLUGIN).await.is_some_and(|recording| ended(&recording));
        admin.stop_recording(PLUGIN).await.context("the recording cannot be ended")?;
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(recording) = admin.recording(PLUGIN).await.filter(ended) {
                self.add(&recording, was_full);
                return Ok(());
            }
        }
        anyhow::bail!("the recording does not end")
    }

    fn add(&mut self, recording: &Value, was_full: bool) {
        let count = |name: &str| recording.get(name).and_then(Value::as_str)?.parse::<u64>().ok();
        self.executions += count("executions").unwrap_or(0);
        self.left_out += count("skipped").unwrap_or(0);
        self.full += u64::from(was_full);
    }

    /// `12 345, 67 left out`.
    pub(super) fn text(&self) -> String {
        let number = |count: u64| table::thousands(count as f64);
        let full = if self.full == 0 { String::new() } else { format!(", {} full", self.full) };
        format!("{}, {} left out{full}", number(self.executions), number(self.left_out))
    }
}

fn ended(recording: &Value) -> bool {
    recording.get("ended").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_turns_recorded_is_added_up() {
        let mut recorded = Recorded::default();
        recorded.add(&json!({"executions": "1200", "skipped": "34"}), false);
        recorded.add(&json!({"executions": "800", "skipped": "0"}), true);
        assert_eq!(recorded.text(), "2\u{202f}000, 34 left out, 1 full");
    }
}
