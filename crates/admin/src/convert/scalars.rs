//! Bytes, 64-bit integers and durations, as protobuf's JSON mapping writes them.

use std::time::Duration;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, de::Error};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Bytes: base64 in both alphabets, with or without padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl Base64 {
    pub(crate) fn encode(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(text);
        bytes.map(Self).map_err(|e| D::Error::custom(format!("bytes must be base64: {e}")))
    }
}

/// A 64-bit integer: a text or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Int64(pub(crate) u64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        let wanted = || D::Error::custom("must be a whole number, as a text or a number");
        match Either::deserialize(deserializer).map_err(|_| wanted())? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text.parse().map(Self).map_err(|_| wanted()),
        }
    }
}

/// A length of time: `"1.5s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
        let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        span.map(Self).ok_or_else(|| D::Error::custom(format!("a duration is written as \"1.5s\", not {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_every_way_of_writing_base64() {
        for (text, bytes) in [("", &b""[..]), ("/+8=", b"\xff\xef"), ("_-8=", b"\xff\xef"), ("_-8", b"\xff\xef")] {
            let read: Base64 = serde_json::from_value(text.into()).unwrap();
            assert_eq!(read.0, bytes, "{text}");
        }
        assert!(serde_json::from_str::<Base64>("\"?\"").unwrap_err().to_string().contains("base64"));
    }

    #[test]
    fn integers_are_texts_or_numbers() {
        for text in ["7", "\"7\""] {
            assert_eq!(serde_json::from_str::<Int64>(text).unwrap(), Int64(7));
        }
        for text in ["-1", "\"x\"", "1.5", "null"] {
            assert!(serde_json::from_str::<Int64>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds() {
        assert_eq!(serde_json::from_str::<Span>("\"1.5s\"").unwrap().0, Duration::from_millis(1500));
        for text in ["\"1m\"", "\"-1s\"", "\"NaNs\"", "3"] {
            assert!(serde_json::from_str::<Span>(text).is_err(), "{text}");
        }
    }
}
