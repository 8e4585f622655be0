//! A call of a device's method, as it is remembered. Unlike an effect it happens at once, and also when the execution that
//! made it fails.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceNum, PluginName, Seq};

use super::cause::Cause;

/// What is remembered of a request's and of an answer's payload, bytes.
const PAYLOAD_BYTES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: String,
    /// For a plugin, `index` is the call's place among those of the execution.
    pub cause: Cause,
    pub device: DeviceNum,
    pub method: String,
    /// The beginning of the request's payload.
    pub request: Bytes,
    /// When it began, milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub took_ms: u64,
    pub result: CallResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallResult {
    /// `payload` is the beginning of the device's answer.
    Answered { status: u16, payload: Bytes },
    /// There was no answer; the text says why.
    Failed(String),
}

impl CallRecord {
    /// The id of a plugin's call: the same at every attempt of the event.
    #[must_use]
    pub fn id_of(seq: Seq, plugin: &PluginName, index: u32) -> String {
        format!("{seq}.{plugin}.m{index}")
    }

    /// What is kept of a payload.
    #[must_use]
    pub fn beginning(payload: &[u8]) -> Bytes {
        Bytes::copy_from_slice(payload.get(..PAYLOAD_BYTES).unwrap_or(payload))
    }
}
