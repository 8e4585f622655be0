//! Holds every host call that a guest can make to its bounds: an import asks to be admitted before it does anything, and states a
//! bound for each argument that could be large.

/// Arguments of these types are small whatever a guest does.
const SMALL: [&str; 6] = ["u16", "u32", "u64", "bool", "Level", "PublishOptions"];

struct Import {
    name: String,
    /// Names and types.
    arguments: Vec<(String, String)>,
    body: String,
}

/// The functions of `impl Host for StoreData`.
fn imports(code: &str) -> Vec<Import> {
    let Some((_, inside)) = code.split_once("impl Host for StoreData {") else { return Vec::new() };
    let inside = inside.split("\n}\n").next().unwrap_or_default();
    inside.split("fn ").skip(1).map(import).collect()
}

fn import(text: &str) -> Import {
    let (name, rest) = text.split_once('(').unwrap();
    let (arguments, rest) = rest.split_once(')').unwrap();
    let arguments = arguments.split(',').filter_map(|argument| argument.split_once(':'));
    let arguments = arguments.map(|(name, kind)| (name.trim().to_owned(), kind.trim().to_owned())).collect();
    let body = rest.split_once('{').unwrap().1.to_owned();
    Import { name: name.to_owned(), arguments, body }
}

fn is_small(kind: &str) -> bool {
    let inner = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(kind);
    SMALL.contains(&inner)
}

/// Returns `None` if all is well.
fn unbounded(import: &Import) -> Option<String> {
    let first = import.body.split(';').next().unwrap_or_default();
    // A log line is cut, not refused.
    let admits = ["self.admit(", "self.admit_effect(", "self.admit_write(", "let level = "]
        .iter()
        .any(|words| first.contains(words));
    let is_bound = |name: &str| first.contains(&format!(".of(&{name}")) || import.name == "write";
    let left_out = import.arguments.iter().find(|(name, kind)| !is_small(kind) && !is_bound(name));
    match left_out {
        _ if !admits => Some(format!("{} does something before it is admitted", import.name)),
        Some((argument, _)) => Some(format!("{} does not bound {argument}", import.name)),
        None => None,
    }
}

#[test]
fn every_argument_of_a_host_call_is_bounded_before_anything_is_done_with_it() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in super::sources(&["crates/plugin-runtime/src/imports"]) {
        let code = super::code(&text);
        let all = imports(&code);
        seen += all.len();
        wrong.extend(all.iter().filter_map(unbounded).map(|text| format!("{}: {text}", path.display())));
    }
    assert!(seen >= 16, "only {seen} imports were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_left_out_is_found() {
    let code = |first: &str| {
        format!(
            "impl Host for StoreData {{\n    fn get(&mut self, key: String, n: u32) -> X {{\n        {first}\n    }}\n}}\n"
        )
    };
    for (first, found) in [
        ("let host = self.admit([KEY.of(&key)])?;", false),
        ("let host = self.admit([])?;", true),
        ("let glob = compile(&key); let host = self.admit([KEY.of(&key)])?;", true),
    ] {
        assert_eq!(unbounded(&imports(&code(first))[0]).is_some(), found, "{first}");
    }
}
