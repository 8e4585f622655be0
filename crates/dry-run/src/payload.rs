//! Bytes in a file that users read and write: text as text, other bytes as base64. Pure.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value;

/// `"text"`, or `{"base64": "…"}` if the bytes are not UTF-8. A file may also have `{"json": …}`, which stands for that JSON
/// without white space.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payload(pub Bytes);

/// Bytes up to which a payload is copied. That costs less than to count one more reference, which the threads that deliver the payload share.
const COPIED_BYTES: usize = 512;

impl From<&Bytes> for Payload {
    fn from(bytes: &Bytes) -> Self {
        Self(if bytes.len() <= COPIED_BYTES { Bytes::copy_from_slice(bytes) } else { bytes.clone() })
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, {\"base64\": …} or {\"json\": …}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Payload, E> {
        Ok(Payload(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Payload, E> {
        Ok(Payload(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let wrong = || de::Error::custom("a payload is text, {\"base64\": …} or {\"json\": …}");
        let key: String = map.next_key()?.ok_or_else(wrong)?;
        let payload = match key.as_str() {
            "base64" => STANDARD.decode(map.next_value::<String>()?).map(Bytes::from).map_err(de::Error::custom)?,
            "json" => map.next_value::<Value>()?.to_string().into(),
            _ => return Err(wrong()),
        };
        match map.next_key::<String>()? {
            None => Ok(Payload(payload)),
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_of_a_file_is_written_without_white_space() {
        let payload: Payload = serde_json::from_str(r#"{"json": {"on": true, "level": 1.50}}"#).unwrap();
        assert_eq!(payload.0, r#"{"level":1.5,"on":true}"#);
        for wrong in [r#"{"base64": "?"}"#, r#"{"text": "a"}"#, "{}", "1", r#"{"json":1,"base64":""}"#] {
            assert!(serde_json::from_str::<Payload>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back_as_they_were(bytes: Vec<u8>, text: String) {
            for payload in [Payload(bytes.into()), Payload(text.into())] {
                let written = serde_json::to_string(&payload).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Payload>(&written).unwrap(), &payload);
            }
        }
    }
}
