//! The record that is relayed: the fields that the relay reads, and the same bytes with one hop more.

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The fields that matter here; all others are kept as they are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    device_id: Cow<'a, str>,
    #[serde(borrow, default)]
    registry_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    hops: &'a RawValue,
}

/// The device that gets the record, and the record for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// `registry/device`, or the device alone where the record names no registry.
    pub(crate) device: String,
    pub(crate) payload: String,
}

/// Reads a record. The error says what is wrong with it.
pub(crate) fn next(text: &str) -> Result<Next, String> {
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|e| format!("no hop record: {e}"))?;
    let device = device_ref(&fields)?;
    let payload = with_hops(text, fields.hops.get(), more(fields.hops.get())?)?;
    Ok(Next { device, payload })
}

fn device_ref(fields: &Fields<'_>) -> Result<String, String> {
    let id = plain("deviceId", &fields.device_id)?;
    match &fields.registry_id {
        Some(registry) => Ok([plain("registryId", registry)?, "/", id].concat()),
        None => Ok(id.to_owned()),
    }
}

/// An id, and not one of the longer forms of a device's name, which would lead elsewhere.
fn plain<'a>(field: &str, id: &'a str) -> Result<&'a str, String> {
    if id.is_empty() || id.contains('/') {
        return Err(format!("{field} {id:?} is not an id"));
    }
    Ok(id)
}

fn more(hops: &str) -> Result<u64, String> {
    if hops.is_empty() || !hops.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("hops is {hops}, not a whole number from 0 on"));
    }
    hops.parse::<u64>().ok().and_then(|n| n.checked_add(1)).ok_or_else(|| format!("hops {hops} is too large"))
}

/// The text with the value of `hops` replaced in place: every other byte stays, so numbers stay exact, unknown fields
/// and their order too, and nothing is written anew.
fn with_hops(text: &str, old: &str, new: u64) -> Result<String, String> {
    // `old` is a slice of `text`.
    let at = (old.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    let parts = text.get(..at).zip(at.checked_add(old.len()).and_then(|end| text.get(end..)));
    let (before, after) = parts.ok_or("hops cannot be replaced")?;
    // One digit more at most.
    let mut next = String::with_capacity(text.len() + 1);
    next.push_str(before);
    // Writing to a String cannot fail.
    let _ = write!(next, "{new}");
    next.push_str(after);
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hop_more_and_every_other_byte_as_it_was() {
        for (text, device, payload) in [
            (
                r#"{"deviceId":"hop-2","registryId":"default","cloudRegion":"local","hops":0}"#,
                "default/hop-2",
                r#"{"deviceId":"hop-2","registryId":"default","cloudRegion":"local","hops":1}"#,
            ),
            (r#"{"deviceId":"a","hops":9}"#, "a", r#"{"deviceId":"a","hops":10}"#),
            (r#"{"deviceId":"a","registryId":null,"hops":1}"#, "a", r#"{"deviceId":"a","registryId":null,"hops":2}"#),
            (
                r#" { "x" : 1e400, "hops" : 9007199254740993 , "big" : 123456789012345678901234567890, "deviceId" : "a" } "#,
                "a",
                r#" { "x" : 1e400, "hops" : 9007199254740994 , "big" : 123456789012345678901234567890, "deviceId" : "a" } "#,
            ),
            (
                r#"{"deviceId":"\u0061","hops":18446744073709551614,"hops2":{"hops":3}}"#,
                "a",
                r#"{"deviceId":"\u0061","hops":18446744073709551615,"hops2":{"hops":3}}"#,
            ),
        ] {
            assert_eq!(next(text), Ok(Next { device: device.into(), payload: payload.into() }), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no hop record"),
            ("hops", "no hop record"),
            ("[]", "no hop record"),
            (r#"{"hops":1}"#, "missing field `deviceId`"),
            (r#"{"deviceId":"a"}"#, "missing field `hops`"),
            (r#"{"deviceId":7,"hops":1}"#, "invalid type"),
            (r#"{"deviceId":"","hops":1}"#, "deviceId \"\" is not an id"),
            (r#"{"deviceId":"a/b","hops":1}"#, "deviceId \"a/b\" is not an id"),
            (r#"{"deviceId":"a","registryId":"r/s","hops":1}"#, "registryId \"r/s\" is not an id"),
            (r#"{"deviceId":"a","registryId":5,"hops":1}"#, "invalid type"),
            (r#"{"deviceId":"a","hops":"1"}"#, "hops is \"1\", not a whole number"),
            (r#"{"deviceId":"a","hops":-1}"#, "hops is -1, not a whole number"),
            (r#"{"deviceId":"a","hops":1.0}"#, "hops is 1.0, not a whole number"),
            (r#"{"deviceId":"a","hops":1e2}"#, "hops is 1e2, not a whole number"),
            (r#"{"deviceId":"a","hops":null}"#, "hops is null, not a whole number"),
            (r#"{"deviceId":"a","hops":18446744073709551615}"#, "too large"),
            (r#"{"deviceId":"a","hops":18446744073709551616}"#, "too large"),
            (r#"{"deviceId":"a","hops":1,"hops":2}"#, "duplicate field"),
            (r#"{"deviceId":"a","hops":1} x"#, "trailing characters"),
        ] {
            let error = next(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
