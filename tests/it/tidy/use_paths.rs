//! Reads the paths that Rust code writes, with all of what a `use` names.

use super::code::is_of_name;

/// The paths that begin with `crate::`, `super::` or `self::`.
pub fn inside_paths(code: &str) -> impl Iterator<Item = Vec<String>> {
    let begins = ["crate::", "super::", "self::"].into_iter().flat_map(|first| code.match_indices(first));
    let begins = begins.filter(|(at, _)| !code[..*at].ends_with(|c| c == ':' || is_of_name(c)));
    begins.flat_map(|(at, _)| paths(&code[at..])).map(|(path, _)| path)
}

/// The paths of a tree, `a::{b, c::d as e}`, at the beginning of the code; each with the name by which it is used.
pub fn paths(code: &str) -> Vec<(Vec<String>, String)> {
    let mut rest = code;
    tree(&mut rest, &[])
}

fn tree(rest: &mut &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let mut path = before.to_vec();
    loop {
        *rest = rest.trim_start();
        if rest.starts_with('{') {
            return group(rest, &path);
        }
        let part = if rest.starts_with('*') { "*".to_owned() } else { super::name(rest) };
        *rest = rest[part.len()..].trim_start();
        path.push(part);
        match rest.strip_prefix("::") {
            Some(after) => *rest = after,
            None => break,
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let Some(after) = rest.strip_prefix("as ") {
        name = super::name(after);
        *rest = &after[name.len()..];
    }
    if path.last().is_some_and(|last| last == "self" && path.len() > 1) {
        path.pop();
        name = path.last().cloned().unwrap_or_default();
    }
    if name == "*" {
        path.pop();
    }
    vec![(path, name)]
}

fn group(rest: &mut &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    while rest.starts_with(['{', ',']) {
        *rest = rest[1..].trim_start();
        if !rest.starts_with('}') {
            found.extend(tree(rest, before));
            *rest = rest.trim_start();
        }
    }
    *rest = rest.strip_prefix('}').unwrap_or(rest);
    found
}
