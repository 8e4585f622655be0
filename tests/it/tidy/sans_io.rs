//! Holds the crates that compute without input and output to that: they use no runtime, no socket, no file, no store, no thread and no
//! clock, so that a test, a fuzz target or another program can drive them.

const CRATES: [&str; 7] = ["rules", "model", "mqtt-codec", "mqtt-session", "azure", "azure-query", "plugin-model"];
/// Crates that read, write or wait. `tokio-util` has the traits of codecs, which do none of these.
const WITH_IO: [&str; 8] =
    ["tokio", "mio", "rustix", "libc", "rusqlite", "switchbox-store", "switchbox-journal", "switchbox-transport"];
const IN_CODE: [&str; 8] =
    ["std::net::Tcp", "std::fs", "std::thread::", "tokio::", "Instant::now", "SystemTime::now", "clock::", "threads::"];

/// The names in `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn crates_without_io_depend_on_nothing_that_has_it() {
    let mut wrong = Vec::new();
    for name in CRATES {
        let folder = format!("crates/{name}");
        let manifest = std::fs::read_to_string(super::workspace().join(&folder).join("Cargo.toml")).unwrap();
        let names = dependencies(&manifest);
        assert!(names.len() > 1, "{folder}/Cargo.toml has no dependencies that this test can read: {names:?}");
        wrong.extend(
            names.iter().filter(|name| WITH_IO.contains(name)).map(|used| format!("{folder} depends on {used}")),
        );
        let sources = super::sources(&[&format!("{folder}/src")]);
        for (path, text) in &sources {
            let declared = format!("#[cfg(test)]\nmod {};", path.file_stem().unwrap().display());
            if path.to_str().unwrap().contains("tests") || sources.iter().any(|(_, text)| text.contains(&declared)) {
                continue;
            }
            let code = super::code(text.split("#[cfg(test)]").next().unwrap());
            let used = IN_CODE.iter().filter(|used| code.contains(**used));
            wrong.extend(used.map(|used| format!("{} uses {used}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "let their callers read, write and wait:\n{}", wrong.join("\n"));
}
