//! Tests of the report.

use super::*;

fn cell(relay: f64, mosquitto: Option<f64>) -> Cell {
    let sample = |rate| Sample { round_trips_per_s: rate, ..Sample::default() };
    Cell {
        connections: 100,
        window: 16,
        qos: 1,
        relay: Some(sample(relay)),
        plain: None,
        mosquitto: mosquitto.map(sample),
        relay_to_mosquitto: None,
        plain_to_mosquitto: None,
    }
    .compare()
}

#[test]
fn ratios_are_there_only_where_there_is_something_to_compare() {
    assert_eq!(cell(300.0, Some(100.0)).relay_to_mosquitto, Some(3.0));
    assert_eq!(cell(300.0, Some(0.0)).relay_to_mosquitto, None);
    assert_eq!(cell(300.0, None).relay_to_mosquitto, None);
    let row = cell(300_000.0, Some(100_000.0)).row().join("|");
    assert!(row.starts_with("100 × 16|1|300\u{202f}000|—|100\u{202f}000|3.00 ×|—|"), "{row}");
}
