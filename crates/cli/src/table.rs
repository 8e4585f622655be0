//! Tables as text. On a terminal a table is at most as wide as the terminal: cells that are too long are cut, or wrapped if each
//! row has to be read whole. Elsewhere cells are whole, so that programs can read them.

use switchbox_support::terminal::{Style, columns, line, paint, split_at_width, width};

/// Between two columns.
const GAP: usize = 2;
/// The minimum width of a column that is narrowed.
const LEAST: usize = 8;
/// Without a terminal, rows are not padded further than this for a long cell.
const PADDED: usize = 120;

/// The heading and the rows, each cell padded to its column, without trailing blanks. Long cells are cut.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    Layout { width: width(), wraps: false }.table(head, rows)
}

/// A table of names and values. Long values are wrapped.
pub(super) fn details(rows: &[Vec<String>]) -> String {
    Layout { width: width(), wraps: true }.table(&["FIELD", "VALUE"], rows)
}

struct Layout {
    /// The columns of the terminal. `None` if the output is not a terminal.
    width: Option<usize>,
    /// The last column is wrapped, not cut.
    wraps: bool,
}

impl Layout {
    fn table(&self, head: &[&str], rows: &[Vec<String>]) -> String {
        let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| self.cell(cell)).collect()).collect();
        let mut widths: Vec<usize> = head.iter().map(|cell| columns(cell)).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns(cell));
            }
        }
        self.fit(&mut widths);
        let mut text = String::new();
        self.row(&mut text, &head, &widths, &|_, _| Some(Style::Bold));
        for row in &rows {
            self.row(&mut text, row, &widths, &style);
        }
        text
    }

    fn cell(&self, text: &str) -> String {
        if self.width.is_some() { line(text).into_owned() } else { text.to_owned() }
    }

    /// Narrows the widest columns until all fit.
    fn fit(&self, widths: &mut [usize]) {
        let Some(width) = self.width else {
            return widths.iter_mut().for_each(|column| *column = (*column).min(PADDED));
        };
        let room = width.saturating_sub(GAP * widths.len().saturating_sub(1));
        let mut excess = widths.iter().sum::<usize>().saturating_sub(room);
        while excess > 0 {
            let next = widths.iter().copied().filter(|column| *column > LEAST).max();
            let Some(widest) = next else { break };
            let second = widths.iter().copied().filter(|column| *column < widest).max().unwrap_or(0).max(LEAST);
            let alike = widths.iter().filter(|column| **column == widest).count();
            let each = (widest - second).min(excess.div_ceil(alike));
            for column in widths.iter_mut().filter(|column| **column == widest) {
                *column -= each;
            }
            excess = excess.saturating_sub(each * alike);
        }
    }

    fn row(&self, text: &mut String, row: &[String], widths: &[usize], style: &dyn Fn(usize, &str) -> Option<Style>) {
        let mut at = 0;
        let mut written = String::new();
        for ((index, cell), width) in row.iter().enumerate().zip(widths) {
            let last = index + 1 == row.len().min(widths.len());
            let shown = match self.width {
                Some(_) if last && self.wraps => wrapped(cell, *width, at),
                Some(_) => cut(cell, *width),
                None => cell.clone(),
            };
            match style(index, cell) {
                Some(style) => written.push_str(&paint(&shown, style)),
                None => written.push_str(&shown),
            }
            if !last {
                written.extend(std::iter::repeat_n(' ', width.saturating_sub(columns(&shown)) + GAP));
                at += width + GAP;
            }
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
}

/// The style of a cell that contains a status. The first column has names.
fn style(column: usize, cell: &str) -> Option<Style> {
    match cell {
        _ if column == 0 => None,
        "broken" | "dead" | "failed" | "rejected" | "expired" => Some(Style::Red),
        "running" | "acknowledged" => Some(Style::Green),
        "disabled" | "waiting-for-consent" | "queued" | "sent-unconfirmed" => Some(Style::Yellow),
        _ => None,
    }
}

fn cut(cell: &str, width: usize) -> String {
    if columns(cell) <= width {
        return cell.to_owned();
    }
    let mut shown = split_at_width(cell, width.saturating_sub(1)).0.to_owned();
    // A single wide character can be wider than the column.
    if columns(&shown) >= width {
        shown.clear();
    }
    shown.push('…');
    shown
}

/// Wraps the cell at this width, between words if there are any; all lines but the first are indented.
fn wrapped(cell: &str, width: usize, indent: usize) -> String {
    let split = |text| match split_at_width(text, width) {
        (line, "") => (line, ""),
        (line, rest) => match line.rsplit_once(' ') {
            Some((words, _)) if !words.is_empty() && !rest.starts_with(' ') => (words, &text[words.len() + 1..]),
            _ => (line, rest.strip_prefix(' ').unwrap_or(rest)),
        },
    };
    let (first, mut rest) = split(cell);
    let mut shown = first.to_owned();
    while !rest.is_empty() {
        let (next, left) = split(rest);
        shown.push('\n');
        shown.extend(std::iter::repeat_n(' ', indent));
        shown.push_str(next);
        rest = left;
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, test_runner::Config};

    use super::*;

    fn laid_out(width: Option<usize>, wraps: bool, head: &[&str], rows: &[&[&str]]) -> String {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        Layout { width, wraps }.table(head, &rows)
    }

    #[test]
    fn columns_line_up() {
        let rows: &[&[&str]] = &[&["lamp-1", "yes"], &["ü", ""], &["中", "no"]];
        let expected = "DEVICE  ON\nlamp-1  yes\nü\n中      no\n";
        assert_eq!(laid_out(None, false, &["DEVICE", "ON"], rows), expected);
        assert_eq!(laid_out(Some(80), false, &["DEVICE", "ON"], rows), expected);
    }

    #[test]
    fn long_cells_are_cut_or_wrapped_on_a_terminal_and_whole_elsewhere() {
        let long = "x".repeat(100_000);
        let rows: &[&[&str]] = &[&["1", &long, "now"], &["2", "short", "then"]];
        let cut = laid_out(Some(40), false, &["N", "DATA", "AT"], rows);
        let expected = format!("N  {:<31}  AT\n1  {}…  now\n2  {:<31}  then\n", "DATA", "x".repeat(30), "short");
        assert_eq!(cut, expected);
        let whole = laid_out(None, false, &["N", "DATA", "AT"], rows);
        assert!(whole.contains(&format!("1  {long}  now\n2  short")) && whole.len() < 101_000, "{}", whole.len());
        let wrapped =
            laid_out(Some(40), true, &["FIELD", "VALUE"], &[&["data", "0123456789012345678901234567890123456789"]]);
        assert_eq!(wrapped, "FIELD  VALUE\ndata   012345678901234567890123456789012\n       3456789\n");
        let words = laid_out(Some(20), true, &["FIELD", "VALUE"], &[&["error", "the switch is off too"]]);
        assert_eq!(words, "FIELD  VALUE\nerror  the switch is\n       off too\n");
    }

    #[test]
    fn a_status_has_a_colour_and_a_name_has_none() {
        let styles =
            [(0, "failed"), (1, "failed"), (1, "running"), (1, "lamp-1")].map(|(column, cell)| style(column, cell));
        assert_eq!(styles.map(|style| style.is_some()), [false, true, true, false]);
    }

    #[test]
    fn a_cell_is_one_line_on_a_terminal() {
        let rows: &[&[&str]] = &[&["a\nFORGED  yes", "\u{1b}[2J"]];
        let shown = format!("{:<16}B\na\\nFORGED  yes  \\u{{1b}}[2J\n", "A");
        assert_eq!(laid_out(Some(80), false, &["A", "B"], rows), shown);
        assert!(laid_out(None, false, &["A", "B"], rows).ends_with("a\nFORGED  yes  \u{1b}[2J\n"));
    }

    proptest! {
        #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(256) })]

        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in vec(vec(prop_oneof![any::<String>(), "[a-z]{0,90}", Just("中".repeat(50))], 0..4), 0..6),
            width in 40_usize..200,
            wraps: bool,
        ) {
            let text = Layout { width: Some(width), wraps }.table(&["ONE", "TWO", "THREE"], &rows);
            for line in text.lines() {
                prop_assert!(columns(line) <= width, "{} of {width}: {line}", columns(line));
            }
            prop_assert!(wraps || text.lines().count() == rows.len() + 1);
        }
    }
}
