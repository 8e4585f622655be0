//! Says where a guest failed: the functions that were running, with the lines of their source, where the component has such names and
//! lines. Bounded, because names and files are the component's.

use std::fmt::Write as _;

use rustc_demangle::demangle;
use wasmtime::{FrameInfo, WasmBacktrace};

/// Maximum number of functions in the text.
const FRAMES: usize = 8;

/// Characters of each name, and of each file.
const NAME_CHARS: usize = 100;

/// Prefixes of functions that panic or abort. The failure is in the function that called them.
const GIVING_UP: &[&str] =
    &["std::", "core::", "alloc::", "rust_", "__rust", "abort", "__abort", "__assert_fail", "raise"];

/// The functions, the innermost first. `None` if the component has no names.
pub(super) fn running(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let named: Vec<_> = frames.iter().map(|frame| (frame, name(frame))).collect();
    let gives_up = |name: &str| GIVING_UP.iter().any(|begin| name.starts_with(begin));
    let own = named.iter().position(|(_, name)| name.as_deref().is_some_and(|name| !gives_up(name)))?;
    let mut text = String::new();
    for (frame, name) in named.iter().skip(own).take(FRAMES) {
        let arrow = if text.is_empty() { "in " } else { ", called by " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{arrow}{}", name.as_deref().unwrap_or("a function without a name"));
        if let Some(place) = place(frame) {
            let _ = write!(text, " ({place})");
        }
    }
    if named.len() - own > FRAMES {
        text.push_str(", and so on");
    }
    Some(text)
}

/// The demangled name, without its hash and type arguments.
fn name(frame: &FrameInfo) -> Option<String> {
    let raw = frame.func_name()?;
    Some(short(&format!("{:#}", demangle(&raw.chars().take(4 * NAME_CHARS).collect::<String>()))))
}

/// `src/lib.rs:12`, of the innermost of the functions that were inlined here.
fn place(frame: &FrameInfo) -> Option<String> {
    let symbol = frame.symbols().iter().find(|symbol| symbol.file().is_some())?;
    let file = symbol.file()?;
    // The end says which file it is.
    let skipped = file.chars().count().saturating_sub(NAME_CHARS);
    let file: String = file.chars().skip(skipped).filter(|c| !c.is_control()).collect();
    Some(match symbol.line() {
        Some(line) => format!("{file}:{line}"),
        None => file,
    })
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Engine, Instance, Module, Store};

    fn trap(text: &str) -> wasmtime::Error {
        let engine = Engine::default();
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap_err()
    }

    #[test]
    fn the_guests_own_functions_are_named() {
        let text = running(&trap(
            r#"(module (func $abort unreachable) (func $_ZN4core9panicking5panic17h0123456789abcdefE call $abort)
                (func $_ZN4wake4Rule8on_event17h0123456789abcdefE call 1) (func $outer (export "run") call 2))"#,
        ));
        assert_eq!(text.as_deref(), Some("in wake::Rule::on_event, called by outer"));
    }

    #[test]
    fn what_has_no_names_is_not_named_and_what_has_many_is_bounded() {
        assert_eq!(running(&trap(r#"(module (func unreachable) (func (export "run") call 0))"#)), None);
        let deep: String = (1..30).map(|n| format!("(func ${} call {})", "x".repeat(1_000 + n), n - 1)).collect();
        let text = running(&trap(&format!(r#"(module (func $deep unreachable) {deep} (export "run" (func 29)))"#)));
        let text = text.unwrap();
        assert!(text.starts_with("in deep, called by xxx") && text.ends_with("xxx, and so on"), "{text}");
        assert!(text.len() < 1_000, "{text}");
    }
}
