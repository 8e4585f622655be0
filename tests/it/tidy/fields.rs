//! Holds the admin API to its limits: every text, list or piece of bytes that a caller can write into a body says by what it is
//! bounded, and that is one of the limits that are counted.

use std::{collections::BTreeSet, path::Path};

/// Types of fields that hold as much as a caller writes.
const UNBOUNDED: [&str; 6] = ["String", "Vec<", "BTreeMap<", "Map<", "Base64", "Granted"];
/// The comment that stands at each such field.
const BOUND: &str = "/// Bounded by ";

/// Bodies are read in these.
fn reads_bodies(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["crates/admin/src/handlers/", "crates/admin/src/convert/"].iter().any(|folder| text.starts_with(folder))
}

/// The fields of the structures of this file that are read from a body: the line with the type, and the comments before it.
fn fields(text: &str) -> Vec<(String, String)> {
    let used = text.split("\nmod tests {").next().unwrap_or_default();
    let (mut found, mut derived, mut inside, mut before) = (Vec::new(), false, false, String::new());
    for line in used.lines() {
        derived |= line.starts_with("#[derive(") && line.contains("Deserialize");
        if line.contains("struct ") && line.ends_with('{') {
            (inside, derived) = (derived, false);
        } else if line == "}" {
            inside = false;
        } else if inside && line.trim_start().starts_with(['/', '#']) {
            before.push_str(line.trim());
            before.push('\n');
        } else if inside {
            found.push((line.trim().to_owned(), std::mem::take(&mut before)));
        }
    }
    found
}

#[test]
fn every_field_of_a_body_says_by_which_limit_it_is_bounded() {
    let table = std::fs::read_to_string(super::workspace().join("crates/rules/src/limits/field.rs")).unwrap();
    let known: BTreeSet<_> = table.lines().filter_map(|line| line.trim().strip_prefix("pub const ")).collect();
    let known: BTreeSet<_> = known.iter().filter_map(|line| line.split(':').next()).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, text) in super::sources(&["crates/admin/src"]).into_iter().filter(|(path, _)| reads_bodies(path)) {
        for (field, comments) in fields(&text) {
            // What begins with _ is thrown away.
            let Some((name, kind)) = field.split_once(": ") else { continue };
            if name.starts_with('_') || !UNBOUNDED.iter().any(|unbounded| kind.contains(unbounded)) {
                continue;
            }
            seen += 1;
            let bound = comments.lines().find_map(|line| line.strip_prefix(BOUND)).unwrap_or_default();
            let named = bound.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("fields::"));
            let unknown: Vec<_> = named.filter(|name| !known.contains(name)).collect();
            if bound.is_empty() || !unknown.is_empty() {
                wrong.push(format!("{}: {field} {unknown:?}", path.display()));
            }
        }
    }
    assert!(seen > 25, "only {seen} fields were found; the test looks in the wrong place");
    assert!(
        wrong.is_empty(),
        "write `{BOUND}` and a constant of `model::limits::fields` (or what else bounds it) at these fields, and check it:\n{}",
        wrong.join("\n")
    );
}

/// A bound that is named but never checked is none.
#[test]
fn every_limit_of_a_field_is_checked_somewhere() {
    let table = std::fs::read_to_string(super::workspace().join("crates/rules/src/limits/field.rs")).unwrap();
    let names = table.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split(':').next());
    let sources = super::sources(&["host/src", "crates"]);
    let code: Vec<_> = sources.iter().map(|(_, text)| super::code(text)).collect();
    // Ids are checked by their types.
    let idle: Vec<_> = names
        .filter(|name| *name != "ID" && !code.iter().any(|text| text.contains(&format!("fields::{name}.check"))))
        .collect();
    assert!(idle.is_empty(), "in crates/rules/src/limits/field.rs and checked nowhere: {idle:?}");
}
