//! Times as text: relative on a terminal, elsewhere as in the API.

use switchbox_admin_api::Time;
use switchbox_support::{clock, terminal};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time of the API for a cell of a list. Other text stays as it is.
pub(super) fn when(text: String) -> String {
    if terminal::is_terminal() { ago(&text, clock::now_ms()).unwrap_or(text) } else { text }
}

/// A time of the API, absolute and relative.
pub(super) fn at(text: String) -> String {
    if !terminal::is_terminal() {
        return text;
    }
    match ago(&text, clock::now_ms()) {
        Some(ago) => format!("{text} ({ago})"),
        None => text,
    }
}

/// Returns `None` if the text is not a time.
fn ago(text: &str, now_ms: u64) -> Option<String> {
    let Time(at_ms) = text.parse().ok()?;
    let difference = now_ms.abs_diff(at_ms);
    let (count, unit) = match difference {
        0..MINUTE => (difference / SECOND, "s"),
        MINUTE..HOUR => (difference / MINUTE, "min"),
        HOUR..=DAY => (difference / HOUR, "h"),
        _ => (difference / DAY, "d"),
    };
    Some(if at_ms > now_ms { format!("in {count} {unit}") } else { format!("{count} {unit} ago") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_how_long_ago_it_was() {
        let now = "2026-11-29T12:00:00Z".parse::<Time>().unwrap().0;
        for (time, expect) in [
            ("2026-11-29T11:59:59.001Z", Some("0 s ago")),
            ("2026-11-29T11:58:59Z", Some("1 min ago")),
            ("2026-11-28T12:00:00Z", Some("24 h ago")),
            ("2026-11-20T12:00:00Z", Some("9 d ago")),
            ("2026-11-29T14:00:00Z", Some("in 2 h")),
            ("-", None),
            ("never", None),
        ] {
            assert_eq!(ago(time, now).as_deref(), expect, "{time}");
        }
    }
}
