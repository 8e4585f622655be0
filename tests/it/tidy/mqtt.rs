//! Holds docs/mqtt-conformance.md to the tests that it lists, and both to the specifications: no normative statement is left out.

use std::collections::BTreeSet;

/// The numbered statements of each specification: a section, and how many it has.
const STATEMENTS: [(&str, &str); 2] = [
    (
        "3.1.1",
        "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 3.3.5:2 3.6.1:1 \
         3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.3.1:1 4.3.2:2 \
         4.3.3:2 4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4 7.0.0:2 7.1.1:1 7.1.2:1",
    ),
    (
        "5",
        "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:6 2.2.2:1 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 3.3.1:13 \
         3.3.2:20 3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 \
         3.10.3:2 3.10.4:6 3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 4.1.0:2 \
         4.2.0:1 4.3.1:1 4.3.2:5 4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 4.9.0:3 \
         4.12.0:7 4.12.1:2 4.13.1:1 4.13.2:1 6.0.0:4",
    ),
];

/// MQTT 5 begins to count at 2 there.
const NO_STATEMENT: (&str, &str, u32) = ("5", "2.2.1", 1);

/// Version, section, number.
type Statement = (String, String, u32);

struct Page {
    /// In one line.
    text: String,
    /// The tests, by their version and statements.
    tests: Vec<[String; 3]>,
    /// Version and statements that have none.
    without: Vec<[String; 2]>,
}

fn page() -> Page {
    let text = std::fs::read_to_string(super::workspace().join("docs/mqtt-conformance.md")).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let mut page = Page { text: words.join(" "), tests: Vec::new(), without: Vec::new() };
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [version @ ("3.1.1" | "5"), statements, _, test] => {
                page.tests.push([*version, *statements, test.trim_matches('`')].map(str::to_owned));
            }
            [version @ ("3.1.1" | "5"), statements, _] => {
                page.without.push([*version, *statements].map(str::to_owned));
            }
            _ => {}
        }
    }
    page
}

/// `3.1.2-4 and 6 and 3.1.4-1 to 3`: each of them. A section number alone is not a statement.
fn statements(version: &str, text: &str) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    let (mut section, mut up_to) = (None, false);
    for word in text.split_whitespace() {
        let (named, number) = match word.trim_end_matches(',') {
            word @ ("and" | "to") => {
                up_to = word == "to";
                continue;
            }
            word => word.rsplit_once('-').map_or((None, word), |(section, number)| (Some(section), number)),
        };
        section = named.or(section);
        let (Some(section), Ok(last)) = (section, number.parse()) else { continue };
        let first = if up_to { found.last().map_or(last, |(.., before)| before + 1) } else { last };
        found.extend((first..=last).map(|number| (version.to_owned(), section.to_owned(), number)));
        up_to = false;
    }
    found
}

#[test]
fn ranges_of_statements_are_read_as_they_are_written() {
    let numbers = |text| statements("5", text).into_iter().map(|(_, section, n)| format!("{section}-{n}"));
    let read = numbers("3.1.2-4 to 6 and 9, 3.9 and 3.1.4-1 and 3").collect::<Vec<_>>();
    assert_eq!(read, ["3.1.2-4", "3.1.2-5", "3.1.2-6", "3.1.2-9", "3.1.4-1", "3.1.4-3"]);
}

#[test]
fn the_page_on_mqtt_lists_the_tests_by_their_statements() {
    let listed = page().tests;
    for [version, statements, test] in &listed {
        let number = statements.replace(['.', '-', ' '], "_");
        let (one, other) = (format!("v{}_{number}", &version[..1]), format!("v{}", &version[..1]));
        assert!(test.starts_with(if number.is_empty() { &other } else { &one }), "{test} is listed as {statements}");
    }
    let sources = super::sources(&["crates/mqtt/src/tests/normative", "tests/it"]);
    let functions = sources.iter().flat_map(|(_, text)| text.lines()).filter_map(|line| line.split_once("fn v"));
    let there: BTreeSet<_> = functions
        .filter_map(|(_, rest)| rest.split_once("()"))
        .map(|(name, _)| format!("v{name}"))
        .filter(|name| name.starts_with("v3_") || name.starts_with("v5_"))
        .collect();
    let tests: BTreeSet<_> = listed.iter().map(|[.., test]| test.clone()).collect();
    assert_eq!(tests.len(), listed.len(), "one is listed twice");
    let differing: Vec<_> = there.symmetric_difference(&tests).collect();
    assert!(differing.is_empty(), "in docs/mqtt-conformance.md or among the tests, not in both: {differing:#?}");
}

#[test]
fn every_statement_has_a_test_or_a_reason_why_not() {
    let Page { text, tests, without } = page();
    let all = STATEMENTS.iter().flat_map(|(version, sections)| {
        sections.split_whitespace().flat_map(move |section| {
            let (section, count) = section.split_once(':').unwrap();
            statements(version, &format!("{section}-1 to {count}"))
        })
    });
    let (version, section, number) = NO_STATEMENT;
    let all: BTreeSet<_> =
        all.filter(|it| (it.0.as_str(), it.1.as_str(), it.2) != (version, section, number)).collect();
    let tested: BTreeSet<_> = tests.iter().flat_map(|[version, text, _]| statements(version, text)).collect();
    let without: BTreeSet<_> = without.iter().flat_map(|[version, text]| statements(version, text)).collect();
    let both: Vec<_> = tested.intersection(&without).collect();
    assert!(both.is_empty(), "tested, and said not to be: {both:?}");
    let named: BTreeSet<_> = tested.union(&without).cloned().collect();
    let differing: Vec<_> = all.symmetric_difference(&named).collect();
    assert!(differing.is_empty(), "neither tested nor explained, or no statement: {differing:?}");
    let sentence = format!("Of the {} statements of both versions {} have a test", all.len(), tested.len());
    assert!(text.contains(&sentence), "docs/mqtt-conformance.md does not say: {sentence}");
}
