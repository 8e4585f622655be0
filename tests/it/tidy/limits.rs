//! Holds the pages to the table of limits, and the table to the code: every limit that can be hit has a line that says what it
//! is and what happens past it, and no line is about a limit that is not there.

use std::{collections::BTreeSet, fs};

use switchbox_model::limits::{LimitName, names, plugin_names};
use switchbox_plugin_runtime::limits::Line;

/// The names in the first column of the table below this heading.
fn listed(page: &str, heading: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(super::workspace().join(page)).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("{page} has no section {heading:?}"));
    let first_cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn held(page: &str, heading: &str, all: &[(LimitName, &str)]) {
    let there: BTreeSet<_> = all.iter().map(|(limit, _)| limit.to_string()).collect();
    assert_eq!(there.len(), all.len(), "two limits have one name");
    let listed = listed(page, heading);
    let differing: Vec<_> = there.symmetric_difference(&listed).collect();
    assert!(differing.is_empty(), "in {page} or in crates/rules/src/limits/table.rs, not in both: {differing:?}");
}

#[test]
fn every_limit_of_the_host_has_a_line_on_the_page_on_security() {
    held("docs/security.md", "What is bounded", names::ALL);
}

#[test]
fn every_limit_of_plugins_has_a_line_on_the_page_on_plugins() {
    held("docs/plugins.md", "Limits", plugin_names::ALL);
}

/// Macros whose arguments are texts: a name in one of them is told and not counted.
const TEXTS: [&str; 3] = ["format!(", "#[error(", "write!("];

/// The code without the arguments of [`TEXTS`].
fn without_texts(code: &str) -> String {
    let mut rest = code.to_owned();
    for text in TEXTS {
        while let Some(at) = rest.find(text) {
            let mut depth = 0;
            let inside = rest[at..].char_indices().find_map(|(index, c)| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                (c == ')' && depth == 0).then_some(index)
            });
            rest.replace_range(at..at + inside.map_or(text.len(), |index| index + 1), "text!");
        }
    }
    rest
}

/// A limit that is never counted is a broken promise.
#[test]
fn every_limit_in_the_table_is_used() {
    let sources = super::sources(&["crates", "host/src"]);
    let code: Vec<_> = sources.iter().map(|(_, text)| super::code(text)).collect();
    let counted: Vec<_> = code.iter().map(|text| without_texts(text)).collect();
    let idle = |all: &[(LimitName, &'static str)], code: &[String]| -> Vec<_> {
        let used = |name: &str| code.iter().any(|text| super::words_after(text, "names::").any(|word| word == name));
        all.iter().map(|(_, name)| *name).filter(|name| !used(name)).collect()
    };
    // The limits that a component meets while it is loaded are in the error of its plugin.
    let idle = [idle(names::ALL, &counted), idle(plugin_names::ALL, &code)].concat();
    assert!(idle.is_empty(), "in crates/rules/src/limits/table.rs, and nowhere else but in texts: {idle:?}");
}

/// docs/plugins.md says that the message of a limit has the line that raises it.
#[test]
fn every_line_that_raises_a_limit_ends_a_message() {
    // The SDK has the first messages too, without a settings file: crates/rules writes their lines, and a test of `Limits` compares them.
    // No event hits a burst alone.
    const ELSEWHERE: [Line; 5] =
        [Line::HostCalls, Line::EffectsPerEvent, Line::LogLines, Line::Output, Line::BurstPerTarget];
    let sources = super::sources(&["crates"]);
    let others = sources.iter().filter(|(path, _)| !path.ends_with("plugin-model/src/limits.rs"));
    let code: Vec<_> = others.map(|(_, text)| super::code(text)).collect();
    let used = |name: &str| code.iter().any(|text| super::words_after(text, "Line::").any(|word| word == name));
    let idle: Vec<_> =
        Line::ALL.into_iter().filter(|line| !ELSEWHERE.contains(line) && !used(&format!("{line:?}"))).collect();
    assert!(idle.is_empty(), "in crates/plugin-model/src/limits.rs and in no message: {idle:?}");
}
