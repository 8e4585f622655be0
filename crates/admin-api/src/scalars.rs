//! Bytes, 64-bit integers, times and durations in protobuf's JSON format; documents of devices.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    display::Base64Display,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::value::RawValue;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Bytes: written as base64, parsed in both alphabets, with or without padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(&self.0, &base64::engine::general_purpose::STANDARD))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(text);
        bytes.map(|bytes| Self(bytes.into())).map_err(|e| D::Error::custom(format!("bytes must be base64: {e}")))
    }
}

/// A 64-bit integer: written as text, parsed from text or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Int64(pub u64);

impl fmt::Display for Int64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        let invalid = || D::Error::custom("must be a whole number, as a text or a number");
        match Either::deserialize(deserializer).map_err(|_| invalid())? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text.parse().map(Self).map_err(|_| invalid()),
        }
    }
}

/// A time, milliseconds since the Unix epoch: written as RFC 3339. A time before the epoch is parsed as 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(i64::try_from(self.0).unwrap_or(i64::MAX)) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => Ok(()),
        }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.parse::<jiff::Timestamp>();
        let time = time.map_err(|_| format!("must be like 2030-01-01T00:00:00Z, not {text:?}"))?;
        Ok(Self(u64::try_from(time.as_millisecond()).unwrap_or(0)))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A duration: `1.5s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs_f64())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
        let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        span.map(Self).ok_or_else(|| D::Error::custom(format!("a duration is written as \"1.5s\", not {text:?}")))
    }
}

/// A JSON value, byte for byte as it was set; `null` by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub Box<RawValue>);

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Document {}

macro_rules! schemas {
    ($($name:ident $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    Base64 {"type": "string", "contentEncoding": "base64"}
    Int64 {"type": "string", "format": "int64"}
    Time {"type": "string", "format": "date-time"}
    Span {"type": "string", "pattern": "^[0-9]+([.][0-9]+)?s$"}
    Document true
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
        assert_eq!(serde_json::to_value(Base64(b"\xff\xef".as_slice().into())).unwrap(), "/+8=");
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
    fn times_have_milliseconds_and_begin_at_the_epoch() {
        assert_eq!(Time(1_000).to_string(), "1970-01-01T00:00:01.000Z");
        assert_eq!("1970-01-01T01:00:01.5+01:00".parse(), Ok(Time(1_500)));
        assert_eq!("1960-01-01T00:00:00Z".parse(), Ok(Time(0)));
        assert!("soon".parse::<Time>().unwrap_err().contains("not \"soon\""));
    }

    #[test]
    fn a_document_keeps_its_bytes() {
        let text = r#"{"z" : 1.50,"a":12345678901234567890123}"#;
        let read: Document = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(serde_json::to_string(&Document::default()).unwrap(), "null");
    }

    #[test]
    fn durations_are_seconds() {
        assert_eq!(serde_json::from_str::<Span>("\"1.5s\"").unwrap().0, Duration::from_millis(1500));
        assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1.5s");
        for text in ["\"1m\"", "\"-1s\"", "\"NaNs\"", "3"] {
            assert!(serde_json::from_str::<Span>(text).is_err(), "{text}");
        }
    }
}
