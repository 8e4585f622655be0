//! The events of a registry that a link sends.

/// Which events of a registry a reader selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EventSelection {
    /// The telemetry of devices in this partition.
    Telemetry { partition: u16 },
    /// How commands ended.
    CommandEnds,
    /// Files that devices uploaded.
    FileUploads,
}
