//! Names, bytes and times in the words of an explanation. Pure.

use std::{fmt::Write as _, time::Duration};

use switchbox_model::{DeviceName, DeviceNum, RegistryName};
use switchbox_support::clock;

/// Characters that are shown of a longer payload.
const SHOWN_CHARS: usize = 200;
/// Bytes that are shown of a payload that is not text.
const SHOWN_BYTES: usize = 16;

/// Looks up the name of a device. Returns `None` if the device is deleted.
pub(super) type Names<'a> = &'a dyn Fn(DeviceNum) -> Option<DeviceName>;

/// The shortest name of the device on this host: without the project, location and registry that are the default ones.
pub(super) fn name(num: DeviceNum, names: Names<'_>) -> String {
    let Some(name) = names(num) else { return format!("a device that is gone (number {})", num.0) };
    let home = RegistryName::default_registry();
    if name.registry == home {
        name.id.to_string()
    } else if (name.registry.project(), name.registry.location()) == (home.project(), home.location()) {
        format!("{}/{}", name.registry.id(), name.id)
    } else {
        name.to_string()
    }
}

/// A payload on one line: as text if it is UTF-8, otherwise in hexadecimal digits.
pub(super) fn bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => "nothing".into(),
        Ok(text) => {
            let mut shown = String::new();
            for c in text.chars().take(SHOWN_CHARS) {
                if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
            }
            if text.chars().nth(SHOWN_CHARS).is_some() {
                let _ = write!(shown, "… ({} bytes)", bytes.len());
            }
            shown
        }
        Err(_) => {
            let mut shown = format!("{} bytes ", bytes.len());
            bytes.iter().take(SHOWN_BYTES).for_each(|byte| shown.push_str(&format!("{byte:02x}")));
            if bytes.len() > SHOWN_BYTES {
                shown.push('…');
            }
            shown
        }
    }
}

/// `2026-10-19 10:02:03.114 UTC`
pub(super) fn time(ms: u64) -> String {
    clock::rfc3339(ms).replace('T', " ").replace('Z', " UTC")
}

/// `12 ms`, `1.2 s`, `3m 20s`
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => humantime::format_duration(Duration::from_secs(ms / 1_000)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_on_one_line_and_never_at_great_length() {
        for (payload, shown) in [
            (&b""[..], "nothing".to_owned()),
            (b"{\"a\":1}", "{\"a\":1}".into()),
            (b"a\nb", "a\\nb".into()),
            ("grün".as_bytes(), "grün".into()),
            (b"\xff\x00", "2 bytes ff00".into()),
            (&[0xff; 17], format!("17 bytes {}…", "ff".repeat(16))),
            (&[b'x'; 300], format!("{}… (300 bytes)", "x".repeat(200))),
        ] {
            assert_eq!(bytes(payload), shown);
        }
    }

    #[test]
    fn a_span_has_the_unit_that_fits() {
        for (ms, shown) in [(0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (200_000, "3m 20s")] {
            assert_eq!(span(ms), shown);
        }
    }

    #[test]
    fn a_device_is_named_as_short_as_it_can_be() {
        for (full, shown) in [
            ("lamp-1", "lamp-1"),
            ("hall/lamp-1", "hall/lamp-1"),
            ("projects/p/locations/l/registries/r/devices/d", "projects/p/locations/l/registries/r/devices/d"),
        ] {
            let full = DeviceName::parse(full, &RegistryName::default_registry()).unwrap();
            assert_eq!(name(DeviceNum(1), &|_| Some(full.clone())), shown);
        }
        assert_eq!(name(DeviceNum(9), &|_| None), "a device that is gone (number 9)");
    }
}
