//! The two text formats of metrics: OpenMetrics, which has exemplars, and the older one of Prometheus, which every scraper reads.

use std::collections::{BTreeMap, BTreeSet};

/// The text format that a scraper asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exposition {
    #[default]
    Plain,
    OpenMetrics,
}

impl Exposition {
    /// From the header `Accept`: OpenMetrics for those that name it.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        let open = accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == OPEN_METRICS);
        if open { Self::OpenMetrics } else { Self::Plain }
    }

    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text";

/// One observation of a histogram's bucket, and the trace that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    pub trace: String,
    pub value: f64,
    pub time_ms: u64,
}

/// OpenMetrics' text with exemplars on a histogram's buckets, by their places.
#[must_use]
pub fn with_exemplars(open_metrics: &str, histogram: &str, exemplars: &BTreeMap<usize, Exemplar>) -> String {
    let bucket = format!("{histogram}_bucket{{");
    let (mut text, mut at) = (String::with_capacity(open_metrics.len()), 0);
    for line in open_metrics.lines() {
        text.push_str(line);
        if line.starts_with(&bucket) {
            if let Some(Exemplar { trace, value, time_ms }) = exemplars.get(&at) {
                text.push_str(&format!(" # {{trace_id=\"{trace}\"}} {value} {:.3}", *time_ms as f64 / 1_000.0));
            }
            at += 1;
        }
        text.push('\n');
    }
    text
}

/// OpenMetrics' text in the older format: a counter's family is named as its sample is, with `_total`; no units, no exemplars and no
/// mark of the end.
#[must_use]
pub fn plain(open_metrics: &str) -> String {
    let counters: BTreeSet<_> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let about = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let counter = about.and_then(|about| about.split_once(' ')).filter(|(name, _)| counters.contains(name));
        if let Some((name, rest)) = counter {
            text.extend([&line[..7], name, "_total ", rest]);
        } else if about.is_some() {
            text.push_str(line);
        } else if line.starts_with('#') {
            continue;
        } else {
            text.push_str(line.split_once(" # {").map_or(line, |(sample, _)| sample));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_has_no_exemplars_and_names_counters_as_their_samples() {
        let open = "# HELP a Some.\n# TYPE a counter\na_total{x=\"# {\"} 1\n# HELP b B.\n# TYPE b histogram\n# UNIT b seconds\n\
                    b_bucket{le=\"1.0\"} 2 # {trace_id=\"ab\"} 0.5\n# EOF\n";
        let expected = "# HELP a_total Some.\n# TYPE a_total counter\na_total{x=\"# {\"} 1\n# HELP b B.\n# TYPE b histogram\n\
                        b_bucket{le=\"1.0\"} 2\n";
        assert_eq!(plain(open), expected);
    }

    #[test]
    fn a_bucket_has_its_exemplar() {
        let text = "h_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 2\nother_h_bucket{le=\"1.0\"} 1\n";
        let exemplar = Exemplar { trace: "ab".into(), value: 0.5, time_ms: 1_500 };
        let expected = "h_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 2 # {trace_id=\"ab\"} 0.5 1.500\nother_h_bucket{le=\"1.0\"} 1\n";
        assert_eq!(with_exemplars(text, "h", &BTreeMap::from([(1, exemplar)])), expected);
    }

    #[test]
    fn a_scraper_that_names_open_metrics_gets_it() {
        for (accept, expected) in [
            ("", Exposition::Plain),
            ("*/*", Exposition::Plain),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Exposition::Plain),
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", Exposition::OpenMetrics),
            ("text/plain, application/openmetrics-text", Exposition::OpenMetrics),
        ] {
            assert_eq!(Exposition::of_accept(accept), expected, "{accept}");
        }
    }
}
