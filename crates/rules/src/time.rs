//! Times as texts. Pure.

/// RFC 3339 in UTC with milliseconds, as the API writes times. Empty for a time that cannot be written so.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX))
        .map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(super::rfc3339(1_792_404_123_114), "2026-10-19T10:02:03.114Z");
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00.000Z");
    }
}
