//! Holds the files of a crate to one direction: files that import each other in a circle can only be read, and changed, together.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::import_graph::Crate;

/// The folders that hold the files of one crate each, with these files.
fn crates() -> BTreeMap<PathBuf, Vec<(PathBuf, String)>> {
    let mut crates: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (path, text) in super::sources(super::ALL) {
        let is_root = |folder: &&Path| folder.ends_with("src") || folder.ends_with("tests/it");
        let Some(root) = path.ancestors().filter(is_root).last() else { continue };
        let file = path.strip_prefix(root).unwrap().to_owned();
        crates.entry(root.to_owned()).or_default().push((file, text));
    }
    crates
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for (root, files) in crates() {
        let path = |file: &Path| root.join(file).to_str().unwrap().to_owned();
        for (file, imports) in Crate::new(files).circles().into_iter().flatten() {
            let imports: Vec<_> = imports.iter().map(|file| path(file)).collect();
            wrong.push(format!("{} imports {}", path(&file), imports.join(", ")));
        }
    }
    assert!(
        wrong.is_empty(),
        "these import each other in a circle; move what they share into a file of its own, or pass it in:\n{}",
        wrong.join("\n")
    );
}

/// The circles among files with these names and texts.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let all = Crate::new(files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())));
    let names = |circle: BTreeMap<PathBuf, _>| circle.keys().map(|file| file.to_str().unwrap().to_owned()).collect();
    all.circles().into_iter().map(names).collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let b_to_a = ("b.rs", "fn f(a: super::a::A) {}");
    for a in [
        "use super::b::B; struct A;",
        "use crate::{x::{self, Y}, b};",
        "fn f() { crate::b::g() }",
        "use super::c::f;",
        "use super::{x as y, c as z};",
    ] {
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", a), b_to_a, ("c.rs", "use crate::b;")];
        assert_eq!(circles_of(&files).len(), 1, "{a}");
    }
    let handed_on = ("lib.rs", "mod a; mod b; pub(crate) use b::B as Other;");
    assert_eq!(circles_of(&[handed_on, ("a.rs", "use crate::Other;"), b_to_a]), [["a.rs", "b.rs"]]);
    for root in ["mod a; use a::A; struct B;", "mod a; struct B; fn f() { a::f() }", "use self::a::{A as C}; struct B;"]
    {
        assert_eq!(circles_of(&[("lib.rs", root), ("a.rs", "use super::B; struct A;")]).len(), 1, "{root}");
    }
    let all = ("lib.rs", "mod a; mod b; pub use self::b::*;");
    assert_eq!(circles_of(&[all, ("a.rs", "use crate::B;"), ("b.rs", "struct B(super::a::A);")]), [["a.rs", "b.rs"]]);
    for folder in ["mod b; use b::B; struct A;", "mod b; struct A(b::B);", "mod b; use self::b::B; struct A;"] {
        let files = [("a/mod.rs", folder), ("a/b.rs", "use super::A; struct B;")];
        assert_eq!(circles_of(&files), [["a/b.rs", "a/mod.rs"]], "{folder}");
    }
}

#[test]
fn tests_and_names_that_are_handed_on_are_no_circle() {
    let b_to_a = ("b.rs", "use super::a::A;");
    for a in
        ["#[cfg(test)]\nmod tests {\n    use crate::b;\n}", "// crate::b", "const A: &str = \"super::b\";", "use b::A;"]
    {
        assert!(circles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), b_to_a]).is_empty(), "{a}");
    }
    let root = [("lib.rs", "mod a; pub use a::A; pub(crate) use a::f; struct B;"), ("a.rs", "use crate::B; struct A;")];
    assert!(circles_of(&root).is_empty());
    let folder = [("a/mod.rs", "mod b; pub use b::B; struct A;"), ("a/b.rs", "use super::A; struct B;")];
    assert!(circles_of(&folder).is_empty());
}
