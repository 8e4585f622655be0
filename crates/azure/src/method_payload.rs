//! The payload of a method call, which the SDKs of devices parse as JSON. Pure.

use serde_json::{from_slice, value::RawValue};

/// Checks that the SDK of a device can read the payload of a call. An empty one is sent as `null`.
pub fn check(payload: &[u8]) -> Result<(), &'static str> {
    if payload.is_empty() || from_slice::<&RawValue>(payload).is_ok() {
        return Ok(());
    }
    Err("the payload of a method call to a device of Azure IoT Hub must be JSON; put a text in double quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_or_empty() {
        for (payload, valid) in [
            (&b""[..], true),
            (b"null", true),
            (b"\"a text\"", true),
            (b" {\"to\": [5]} ", true),
            (b"not json", false),
            (b"{} {}", false),
            (b" ", false),
            (b"\"\xff\"", false),
        ] {
            assert_eq!(check(payload).is_ok(), valid, "{payload:?}");
        }
    }
}
