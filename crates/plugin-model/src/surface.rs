//! Checks the names that a component imports and exports.

use super::{error::LoadError, text};

/// What a component must export.
pub const HANDLER: &str = "switchbox:plugin/handler@0.1.0";

/// What it may export beside that.
pub const SETTINGS_SCHEMA: &str = "switchbox:plugin/settings-schema@0.1.0";
pub const MIGRATION: &str = "switchbox:plugin/migration@0.1.0";

/// The package of the host's interfaces, and its version.
const PACKAGE: &str = "switchbox:plugin/";
const VERSION: &str = "@0.1.0";

/// The interfaces of the package that a component may import.
const INTERFACES: &[&str] =
    &["types", "registry", "config", "command", "method", "twin", "state", "timer", "topic", "log"];

/// What a component finds behind an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Something,
    /// No file, no variable, no argument, no input, no terminal.
    Nothing,
}

/// The interfaces of WASI that are linked, without their versions: any 0.2 is accepted.
const WASI_INTERFACES: &[(&str, Holds)] = &[
    ("wasi:io/error", Holds::Something),
    ("wasi:io/poll", Holds::Something),
    ("wasi:io/streams", Holds::Something),
    ("wasi:clocks/wall-clock", Holds::Something),
    ("wasi:clocks/monotonic-clock", Holds::Something),
    ("wasi:random/random", Holds::Something),
    ("wasi:random/insecure", Holds::Something),
    ("wasi:random/insecure-seed", Holds::Something),
    ("wasi:cli/environment", Holds::Nothing),
    ("wasi:cli/exit", Holds::Something),
    ("wasi:cli/stdin", Holds::Nothing),
    ("wasi:cli/stdout", Holds::Something),
    ("wasi:cli/stderr", Holds::Something),
    ("wasi:cli/terminal-input", Holds::Nothing),
    ("wasi:cli/terminal-output", Holds::Nothing),
    ("wasi:cli/terminal-stdin", Holds::Nothing),
    ("wasi:cli/terminal-stdout", Holds::Nothing),
    ("wasi:cli/terminal-stderr", Holds::Nothing),
    ("wasi:filesystem/types", Holds::Nothing),
    ("wasi:filesystem/preopens", Holds::Nothing),
];

/// Packages of WASI whose interfaces a component may import, and of which each call is refused: the tool chains of other languages
/// import them whether a program uses them or not.
const REFUSED_PACKAGES: &[&str] = &["wasi:http/", "wasi:sockets/"];

/// Checks imports by their names alone; the linker checks the types of the functions.
pub fn check_imports<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), LoadError> {
    for name in names {
        import_allowed(name).map_err(|why| LoadError::Import { name: text::cut(name.into()), why })?;
    }
    Ok(())
}

fn import_allowed(name: &str) -> Result<(), String> {
    if let Some(interface) = name.strip_prefix(PACKAGE) {
        return match interface.strip_suffix(VERSION) {
            Some(interface) if INTERFACES.contains(&interface) => Ok(()),
            Some(_) => Err("which is not an interface of this host".into()),
            None => Err(format!("but this host speaks switchbox:plugin{VERSION}")),
        };
    }
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    if holds(interface).is_none() && !is_refused(interface) {
        return Err("which plugins may not use: they reach devices through switchbox:plugin, and nothing else".into());
    }
    if version.starts_with("0.2.") { Ok(()) } else { Err("but this host speaks WASI 0.2".into()) }
}

/// Returns true if a component may import it, and finds nothing there.
#[must_use]
pub fn is_empty(import: &str) -> bool {
    holds(import.split_once('@').map_or(import, |(interface, _)| interface)) == Some(Holds::Nothing)
}

/// `None` for an interface that is not linked.
fn holds(interface: &str) -> Option<Holds> {
    WASI_INTERFACES.iter().find(|(name, _)| *name == interface).map(|(_, holds)| *holds)
}

/// Returns true if a component may import it, and each call of it gets an error, or a value that says nothing where it has none.
#[must_use]
pub fn is_refused(import: &str) -> bool {
    REFUSED_PACKAGES.iter().any(|package| import.starts_with(package))
}

pub fn check_exports(names: &[String]) -> Result<(), LoadError> {
    if names.iter().any(|name| name == HANDLER) {
        return Ok(());
    }
    let found = if names.is_empty() { "it exports nothing".into() } else { format!("it exports {}", names.join(", ")) };
    let found = text::cut(found);
    Err(LoadError::Export { expected: HANDLER, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_nothing_may_be_imported() {
        for (interface, holds) in WASI_INTERFACES {
            let name = format!("{interface}@0.2.3");
            assert!(import_allowed(&name).is_ok() && !is_refused(&name), "{name}");
            assert_eq!(is_empty(&name), *holds == Holds::Nothing, "{name}");
        }
        assert!(!is_empty("wasi:cli/stdout@0.2.3") && !is_empty("wasi:sockets/tcp@0.2.3"));
    }

    #[test]
    fn imports_are_judged_by_name() {
        for (name, allowed) in [
            ("switchbox:plugin/registry@0.1.0", true),
            ("switchbox:plugin/types@0.1.0", true),
            ("switchbox:plugin/registry@0.2.0", false),
            ("switchbox:plugin/registry", false),
            ("switchbox:plugin/shell@0.1.0", false),
            ("wasi:io/poll@0.2.0", true),
            ("wasi:io/poll@0.2.12", true),
            ("wasi:io/poll@0.3.0", false),
            ("wasi:io/poll", false),
            ("wasi:sockets/tcp@0.2.3", true),
            ("wasi:http/outgoing-handler@0.2.3", true),
            ("wasi:http/types@0.3.0", false),
            ("wasi:keyvalue/store@0.2.0", false),
            ("env", false),
        ] {
            assert_eq!(import_allowed(name).is_ok(), allowed, "{name}");
        }
    }
}
