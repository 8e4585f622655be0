//! The result of a replay. Only data.

use serde::Serialize;

/// Differences that are reported in detail.
const MAX_DIFFERENCES: usize = 100;

/// The difference of one execution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The line in the recording.
    pub line: u64,
    /// The event's number; 0 for the start of an instance.
    pub event: u64,
    pub device: String,
    /// The differences, in the order of the effects.
    pub differs: Vec<String>,
    /// Whether values in this line of the recording are masked.
    pub masked: bool,
    /// Whether its instance was started again without its memory.
    pub restarted: bool,
}

/// A component whose executions were not replayed, because it is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingComponent {
    /// `sha256:…`
    pub digest: String,
    pub executions: u64,
}

/// The result of a replay.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    pub plugin: String,
    /// The component that was recorded last.
    pub digest: String,
    /// Executions that were compared.
    pub executions: u64,
    pub different: u64,
    /// Those of them whose events the triggers do not match.
    pub not_triggered: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Executions that were not replayed, because the component that they were recorded with is not here.
    pub not_replayed: u64,
    /// Those components.
    pub missing: Vec<MissingComponent>,
    /// Instances that were started again without their memory, because too many others ran.
    pub restarted: u64,
    /// Executions that the recording left out.
    pub skipped: u64,
    /// Whether the recording's last line is incomplete.
    pub cut_off: bool,
    /// The recording is made of the journal, so it has no calls of the host.
    pub from_journal: bool,
}

impl Replayed {
    /// Whether everything that the recording has was replayed without a difference.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.different == 0 && self.differences.is_empty() && self.not_replayed == 0
    }

    pub(crate) fn add(&mut self, difference: Difference) {
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(difference);
        }
    }

    /// An execution with the component was not replayed.
    pub(crate) fn add_not_replayed(&mut self, digest: &str) {
        self.not_replayed += 1;
        match self.missing.iter_mut().find(|missing| missing.digest == digest) {
            Some(missing) => missing.executions += 1,
            None => self.missing.push(MissingComponent { digest: digest.to_owned(), executions: 1 }),
        }
    }
}
