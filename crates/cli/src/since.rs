//! `--since`: a duration until now, or a time.

use switchbox_admin_api::Time;
use switchbox_support::clock;

pub(super) fn parse(text: &str) -> Result<Time, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(Time(clock::now_ms().saturating_sub(ago)));
    }
    text.parse::<Time>()
        .map_err(|_| "write how long ago, such as 1h, or a time, such as 2030-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_or_a_time_is_taken() {
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(Time(1_000)));
        let before = clock::now_ms();
        let begin = parse("1h").unwrap().0 + 3_600_000;
        assert!((before..=clock::now_ms()).contains(&begin), "{begin} is not after {before}");
        assert!(parse("yesterday").unwrap_err().contains("such as 1h"));
    }
}
