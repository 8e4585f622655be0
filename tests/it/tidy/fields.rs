//! Holds the admin API to its limits: every text, list or piece of bytes that a caller can write into a body says by what it is
//! bounded, and that is one of the limits that are counted.

use std::collections::{BTreeMap, BTreeSet};

/// Types of fields that hold as much as a caller writes.
const UNBOUNDED: [&str; 6] = ["String", "Vec<", "BTreeMap<", "Map<", "Base64", "GrantPatterns"];
/// The comment at each such field. It is not part of the API's document.
const BOUND: &str = "// Bounded by ";

/// A field of a structure: the line with its type, and the comments before it.
struct Field {
    line: String,
    comments: String,
}

/// The structures of this file, by their names.
fn structures(text: &str) -> BTreeMap<String, Vec<Field>> {
    let used = text.split("\nmod tests {").next().unwrap_or_default();
    let (mut found, mut inside, mut comments) = (BTreeMap::<_, Vec<_>>::new(), None, String::new());
    for line in used.lines() {
        if let Some((_, name)) = line.split_once("struct ").filter(|_| line.ends_with('{')) {
            inside = Some(name.trim_end_matches([' ', '{']).to_owned());
            comments.clear();
        } else if line == "}" {
            inside = None;
        } else if line.trim_start().starts_with(['/', '#']) {
            comments.push_str(line.trim());
            comments.push('\n');
        } else if let Some(name) = &inside {
            let field = Field { line: line.trim().to_owned(), comments: std::mem::take(&mut comments) };
            found.entry(name.clone()).or_default().push(field);
        }
    }
    found
}

/// The names of the structures that are read from bodies, and of those that stand in them.
fn read_from_bodies(known: &BTreeMap<String, Vec<Field>>) -> BTreeSet<String> {
    let handlers = super::sources(&["crates/admin/src"]);
    let bodies = handlers.iter().flat_map(|(_, text)| text.split("Body<").skip(1));
    let name =
        |text: &str| text.split('>').next().unwrap_or_default().rsplit("::").next().unwrap_or_default().to_owned();
    let mut open: Vec<_> = bodies.map(name).filter(|name| known.contains_key(name)).collect();
    let mut read = BTreeSet::new();
    while let Some(name) = open.pop() {
        let types = known[&name].iter().flat_map(|field| field.line.split(|c: char| !c.is_alphanumeric()));
        let inner: Vec<_> = types.filter(|word| known.contains_key(*word)).map(str::to_owned).collect();
        if read.insert(name) {
            open.extend(inner);
        }
    }
    read
}

#[test]
fn every_field_of_a_body_says_by_which_limit_it_is_bounded() {
    let table = std::fs::read_to_string(super::workspace().join("crates/rules/src/limits/field.rs")).unwrap();
    let limits: BTreeSet<_> = table.lines().filter_map(|line| line.trim().strip_prefix("pub const ")).collect();
    let limits: BTreeSet<_> = limits.iter().filter_map(|line| line.split(':').next()).collect();
    let files = super::sources(&["crates/admin-api/src"]);
    let known: BTreeMap<_, _> = files.iter().flat_map(|(_, text)| structures(text)).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for name in read_from_bodies(&known) {
        for Field { line, comments } in &known[&name] {
            let Some((_, kind)) = line.split_once(": ") else { continue };
            if !UNBOUNDED.iter().any(|unbounded| kind.contains(unbounded)) {
                continue;
            }
            seen += 1;
            let bound = comments.lines().find_map(|line| line.strip_prefix(BOUND)).unwrap_or_default();
            let named = bound.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("fields::"));
            let unknown: Vec<_> = named.filter(|name| !limits.contains(name)).collect();
            if bound.is_empty() || !unknown.is_empty() {
                wrong.push(format!("{name}: {line} {unknown:?}"));
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

/// Every named bound is checked somewhere.
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
