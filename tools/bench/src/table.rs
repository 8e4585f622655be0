//! Lays out tables as text.

use std::time::Duration;

/// Columns as wide as their widest cell; the first to the left, the others to the right.
pub(super) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<_> = header
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            cells.chain([width(title)]).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let laid_out: Vec<_> =
            cells.zip(&widths).enumerate().map(|(column, (cell, full))| pad(cell, *full, column > 0)).collect();
        text.push_str(laid_out.join("  ").trim_end());
        text.push('\n');
    };
    line(&mut header.iter().copied());
    let rules: Vec<_> = widths.iter().map(|width| "─".repeat(*width)).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn pad(cell: &str, full: usize, right: bool) -> String {
    let blanks = " ".repeat(full.saturating_sub(width(cell)));
    if right { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
}

/// A number with grouped thousands: `12 345`.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Three digits and the fitting unit.
pub(super) fn duration(value: Duration) -> String {
    let micros = value.as_nanos() as f64 / 1_000.0;
    match micros {
        ..10.0 => format!("{micros:.1} µs"),
        ..1_000.0 => format!("{micros:.0} µs"),
        ..10_000.0 => format!("{:.2} ms", micros / 1_000.0),
        ..1_000_000.0 => format!("{:.0} ms", micros / 1_000.0),
        _ => format!("{:.1} s", micros / 1_000_000.0),
    }
}

pub(super) fn ratio(value: f64) -> String {
    format!("{value:.2} ×")
}

/// A cell for a value that may be missing.
pub(super) fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "—".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["relay", "12", "µ"], ["mosquitto", "7", ""]].map(|row| row.map(str::to_owned).to_vec());
        let expect = "\
            server     rate  p50\n\
            ─────────  ────  ───\n\
            relay        12    µ\n\
            mosquitto     7\n";
        assert_eq!(render(&["server", "rate", "p50"], &rows), expect);
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (value, expect) in
            [(0.0, "0"), (999.4, "999"), (1_000.0, "1\u{202f}000"), (1_234_567.0, "1\u{202f}234\u{202f}567")]
        {
            assert_eq!(thousands(value), expect);
        }
        for (nanos, expect) in [
            (900, "0.9 µs"),
            (52_300, "52 µs"),
            (4_210_000, "4.21 ms"),
            (99_900_000, "100 ms"),
            (2_500_000_000, "2.5 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), expect);
        }
        assert_eq!(ratio(3.0), "3.00 ×");
    }
}
