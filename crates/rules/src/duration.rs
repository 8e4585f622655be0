//! A duration and its text form, for the settings of the host and of plugins: `100ms`, `20s`, `5m`. For serde: `with =
//! "switchbox_rules::duration"`. Pure.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// Reads a duration with its unit. The error says how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write it as 100ms, 5s or 1m");
    humantime::parse_duration(text).map_err(|_| wrong())
}

/// As [`parse`] reads it.
#[must_use]
pub fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Writes [`text`].
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads what [`parse`] reads.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for (text, ms) in [("100ms", 100), ("20s", 20_000), ("1m", 60_000), ("1h 30m", 5_400_000), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)));
            assert_eq!(super::text(Duration::from_millis(ms)), text);
        }
        for text in ["", "20", "s", "-1s", "1 fortnight"] {
            assert!(parse(text).unwrap_err().contains("write it as"), "{text}");
        }
    }
}
