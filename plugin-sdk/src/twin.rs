//! The twin of a device, typed. Never asks the host: [`Host::twin`](crate::Host::twin) does.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, from_value};

use crate::{Error, Result};

/// The desired and the reported document of a device. Numbers are as in `serde_json`: 64-bit integers are exact, others are the
/// nearest 64-bit floating point number (1e400 is the largest). `differs` compares them exactly.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Twin {
    /// The newest config as a JSON object, `{}` if there is none yet; null if it is not an object ([`desired_problem`]).
    ///
    /// [`desired_problem`]: Self::desired_problem
    pub desired: Value,
    /// 0 = none yet.
    #[serde(deserialize_with = "number")]
    pub desired_version: u64,
    /// Why desired is not a JSON object.
    pub desired_problem: Option<String>,
    /// The newest config version that the device has acknowledged; 0 = none of those that are kept.
    #[serde(deserialize_with = "number")]
    pub acknowledged_version: u64,
    /// The newest reported state, as `desired`.
    pub reported: Value,
    /// 0 = none yet.
    #[serde(deserialize_with = "number")]
    pub reported_version: u64,
    /// Why reported is not a JSON object.
    pub reported_problem: Option<String>,
    /// Where reported is not as desired; empty if one of them is not a JSON object.
    pub differs: Vec<Difference>,
}

/// One place where reported is not what desired asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Difference {
    /// A JSON pointer (RFC 6901), such as `/light/level`.
    pub path: String,
    pub desired: Value,
    /// `None` when the device has not reported it.
    pub reported: Option<Value>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// How much deeper than a document the host's answer is.
const AROUND: usize = 8;

impl Twin {
    /// Reads the host's answer, whatever numbers a device put into it.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let depth = switchbox_rules::json::DEPTH + AROUND;
        let read = switchbox_rules::json::parse_within(text.as_bytes(), depth).map_err(|e| e.to_string());
        let read =
            read.and_then(|value| from_value(switchbox_rules::json::to_serde(&value)).map_err(|e| e.to_string()));
        read.map_err(|e| Error::Unavailable(format!("the host's twin cannot be read: {e}")))
    }

    /// Whether the device says that it is as it should be.
    #[must_use]
    pub fn in_sync(&self) -> bool {
        self.differs.is_empty() && self.desired_problem.is_none() && self.reported_problem.is_none()
    }
}

/// The host writes 64-bit numbers as texts.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| de::Error::custom(format!("{value} is not a version")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_document_is_read() {
        let twin: Twin = serde_json::from_str(
            r#"{"desired": {"on": true}, "desiredVersion": "7", "desiredTime": "2026-11-20T10:00:00.000Z",
                "reported": {}, "reportedVersion": "0",
                "differs": [{"path": "/on", "desired": true, "since": "2026-11-20T10:00:00.000Z", "orBefore": true}]}"#,
        )
        .unwrap();
        assert_eq!((twin.desired_version, twin.acknowledged_version, twin.reported_version), (7, 0, 0));
        assert_eq!((twin.differs[0].path.as_str(), &twin.differs[0].reported), ("/on", &None));
        assert!(!twin.in_sync());
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        let twin = Twin::read(&format!(r#"{{"desired": {{"a": 1e400}}, "reported": {{"a": "\ud800", "b": {deep}}}}}"#))
            .unwrap();
        assert_eq!(twin.desired["a"], f64::MAX);
        assert!(twin.reported["b"].is_array());
        assert!(serde_json::from_str::<Twin>(r#"{"desiredVersion": "x"}"#).is_err());
    }
}
