//! Whether the reported document of a device differs from the desired one, for lists of many devices. Only the newest versions are
//! compared.

use switchbox_rules::json::{Tolerance, differences, object};

use switchbox_model::limits;

/// Whether both documents are JSON objects and `reported` lacks something that `desired` has. A missing document counts as empty.
#[must_use]
pub fn differs(desired: Option<&[u8]>, reported: Option<&[u8]>, tolerance: Tolerance) -> bool {
    let Some(desired) = desired else { return false };
    let (Ok(desired), Ok(reported)) = (object(desired), object(reported.unwrap_or(b"{}"))) else { return false };
    !differences(&desired, &reported, tolerance, (1, limits::TWIN_DIFFERENCE_BYTES)).found.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_differs_where_it_does_not_report_what_is_desired() {
        for (desired, reported, expected) in [
            (None, Some(r#"{"on":true}"#), false),
            (Some(r#"{"on":true}"#), None, true),
            (Some(r#"{"on":true}"#), Some(r#"{"on":true,"more":1}"#), false),
            (Some(r#"{"on":true}"#), Some(r#"{"on":false}"#), true),
            (Some("not JSON"), Some(r#"{"on":false}"#), false),
        ] {
            let bytes = |text: Option<&'static str>| text.map(str::as_bytes);
            assert_eq!(
                differs(bytes(desired), bytes(reported), Tolerance::EXACT),
                expected,
                "{desired:?} {reported:?}"
            );
        }
    }
}
