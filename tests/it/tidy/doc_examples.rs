//! Holds `doctest = false` to the crates without examples in their documentation: for each other one, `cargo test` starts rustdoc, which
//! takes a second or two and finds nothing.

use std::fs;

#[test]
fn rustdoc_looks_for_examples_where_there_are_some_and_only_there() {
    let sources = super::sources(super::ALL);
    let mut seen = 0;
    for folder in packages() {
        let manifest = fs::read_to_string(super::workspace().join(&folder).join("Cargo.toml")).unwrap();
        let below = format!("{folder}/src/");
        let example = |line: &str| ["/// ```", "//! ```"].iter().any(|fence| line.trim_start().starts_with(fence));
        let has_examples =
            sources.iter().any(|(path, text)| path.to_string_lossy().starts_with(&below) && text.lines().any(example));
        let off = manifest.lines().any(|line| line == "doctest = false");
        seen += usize::from(has_examples);
        assert_ne!(
            has_examples, off,
            "{folder}/Cargo.toml: write `doctest = false` below [lib] if no file of the library has an example, and remove it if one has"
        );
    }
    assert!(seen > 0, "no crate has an example");
}

/// The folders of the workspace's packages.
fn packages() -> Vec<String> {
    let manifest = fs::read_to_string(super::workspace().join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
    members
        .split('"')
        .skip(1)
        .step_by(2)
        .flat_map(|member| match member.strip_suffix("/*") {
            Some(parent) => {
                let folders = fs::read_dir(super::workspace().join(parent)).unwrap();
                folders.map(|entry| format!("{parent}/{}", entry.unwrap().file_name().display())).collect()
            }
            None => vec![member.to_owned()],
        })
        .filter(|folder| super::workspace().join(folder).join("src/lib.rs").exists())
        .collect()
}
