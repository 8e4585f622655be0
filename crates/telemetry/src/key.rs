//! What is remembered to belong to a trace, and its hash. Pure.

use switchbox_model::{DeviceNum, Seq};

/// What belongs to a trace that it did not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Event(Seq),
    /// An operator's config: its device, and when it was asked for, milliseconds since the Unix epoch.
    Config(DeviceNum, u64),
    /// An operator's command, by the hash of its id.
    Command(u64),
    /// A method call that a device is sent.
    Method(u64),
}

impl Key {
    pub(crate) fn hash(self) -> u64 {
        match self {
            Self::Event(seq) => seq.0,
            Self::Config(device, time_ms) => mix(mix(device.0) ^ time_ms),
            Self::Command(id) | Self::Method(id) => id,
        }
    }
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
pub(crate) fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
