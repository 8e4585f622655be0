//! Holds functions to their length: what needs more lines has steps, and each step has a name.

use super::code::{code, is_of_name, item_length};

/// Longest function, lines: from `fn` to its closing brace.
const MAX_LINES: usize = 60;

/// Functions that are still longer. Take one out when it is not; never add one.
const NOT_CLEAN: &[(&str, &str)] = &[];

/// A function of a file.
struct Function {
    name: String,
    /// The line where it begins, from 1.
    line: usize,
    lines: usize,
}

fn functions(text: &str) -> Vec<Function> {
    let code = code(text);
    let begins = code.match_indices("fn ").filter(|(at, _)| !code[..*at].ends_with(is_of_name));
    let function = |(at, _): (usize, &str)| {
        let name = super::name(code[at + 3..].trim_start());
        let item = &code[at..at + item_length(&code[at..])];
        let line = code[..at].matches('\n').count() + 1;
        (!name.is_empty()).then(|| Function { name, line, lines: item.lines().count() })
    };
    begins.filter_map(function).collect()
}

#[test]
fn no_function_is_too_long() {
    let (mut wrong, mut known, mut seen) = (Vec::new(), Vec::new(), 0);
    for (path, text) in super::sources(super::ALL) {
        let path = path.to_str().unwrap();
        let all = functions(&text);
        seen += all.len();
        for Function { name, line, lines } in all.into_iter().filter(|function| function.lines > MAX_LINES) {
            let is_this = |file: &str, listed: &str| file == path && listed == name;
            match NOT_CLEAN.iter().find(|(file, listed)| is_this(file, listed)) {
                Some(listed) => known.push(*listed),
                None => wrong.push(format!("{path}:{line}: {name} has {lines}")),
            }
        }
    }
    assert!(seen > 3000, "only {seen} functions were found");
    assert!(wrong.is_empty(), "more than {MAX_LINES} lines; name the steps of:\n{}", wrong.join("\n"));
    let clean: Vec<_> = NOT_CLEAN.iter().filter(|listed| !known.contains(listed)).collect();
    assert!(clean.is_empty(), "short now: take it out of NOT_CLEAN in {}: {clean:?}", file!());
}

#[test]
fn lengths_are_counted_from_the_name_to_the_last_brace() {
    let text = "impl A {\n    fn one(&self) -> [u8; 2] {\n        \"}\";\n    }\n    fn two();\n}\nfn f(g: fn ()) {}\n";
    let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("one".into(), 2, 3), ("two".into(), 5, 1), ("f".into(), 7, 1)]);
}
