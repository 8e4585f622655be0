//! Creates a project, and builds and tests it with the commands in its README.

use std::process::Command;

use super::*;

/// Runs cargo in the project, with a target folder beside the one of this test so that a second run is quick.
fn cargo(project: &Path, arguments: &[&str]) -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("new-plugin");
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(project).env("CARGO_TARGET_DIR", &target);
    for name in ["CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    target
}

#[test]
fn a_new_project_builds_with_one_command_and_passes_its_tests() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("too-warm");
    let created = create("too-warm", &folder, Language::Rust, None).unwrap();
    assert_eq!(created.folder, folder.canonicalize().unwrap());

    let ["cargo", command] = created.build.split(' ').collect::<Vec<_>>()[..] else { panic!("{}", created.build) };
    let target = cargo(&folder, &[command]);
    let component = fs::read(target.join(created.component.strip_prefix("target").unwrap())).unwrap();
    assert_eq!(component[..8], *b"\0asm\x0d\0\x01\0");
    assert!(component.windows(2).any(|code| code == b"\xfd\x0c"), "it has no SIMD instruction (v128.const)");

    let built = target.join(created.component.strip_prefix("target").unwrap());
    let tested = crate::plugin_test::with_component(&folder, &built).unwrap();
    assert_eq!((tested.code, tested.text.as_str()), (0, "too-warm: ok\n1 cases of too_warm, 0 failed"));

    cargo(&folder, &["test"]);
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("path = \"sdk/plugin-sdk\""), "no path of a checkout: {manifest}");
    cargo(&folder, &["fmt", "--check"]);
}

#[test]
fn every_placeholder_is_filled() {
    let temp = tempfile::tempdir().unwrap();
    create("too-warm", temp.path(), Language::Rust, None).unwrap();
    for (path, _) in FILES.iter().chain(&CASE) {
        let text = fs::read_to_string(temp.path().join(path)).unwrap();
        assert!(!text.contains("{{"), "{path}");
    }
    for (path, text) in SDK.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        assert!(!text.contains("workspace"), "{path} stands alone: {text}");
    }
    let readme = fs::read_to_string(temp.path().join("README.md")).unwrap();
    assert!(readme.contains("release/too_warm.wasm PLUGINS/ "), "{readme}");
}

/// Such as `{{file}}`. In Go and JSON, two braces may also stand beside each other.
fn has_placeholder(text: &str) -> bool {
    let names = text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0));
    names.into_iter().any(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

/// `tests/it/languages.rs` builds them.
#[test]
fn each_language_has_its_rule_its_types_and_the_commands_that_build_it() {
    for (language, expect) in [
        (Language::Js, &["too-warm.js", "types.d.ts", "package.json"][..]),
        (Language::Ts, &["too-warm.ts", "types.d.ts", "package.json", "tsconfig.json"]),
        (
            Language::Python,
            &[
                "too_warm.py",
                "pyproject.toml",
                "bindings/componentize_py_types.py",
                "bindings/wit_world/exports/handler.py",
                "bindings/wit_world/imports/types.py",
            ],
        ),
        (
            Language::C,
            &["too-warm.c", "bindings/plugin.h", "bindings/plugin_component_type.o", "bindings/adapter.wasm"],
        ),
        (
            Language::Go,
            &[
                "too-warm.go",
                "go.mod",
                "bindings/main/wit_exports.go",
                "bindings/switchbox_plugin_state/wit_bindings.go",
                "bindings/wit/runtime/runtime.go",
                "bindings/adapter.wasm",
            ],
        ),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let created = create("too-warm", temp.path(), language, None).unwrap();
        let file = language.file_name("too-warm");
        assert_eq!(created.component, Path::new(&format!("{file}.wasm")));
        let all = ["README.md", ".gitignore", "wit/plugin.wit", "cases/too-warm.json", "cases/too-warm.expected.json"];
        for path in expect.iter().chain(&all) {
            let bytes = fs::read(temp.path().join(path)).unwrap_or_else(|error| panic!("{language:?} {path}: {error}"));
            let text = String::from_utf8_lossy(&bytes);
            assert!(path.starts_with("bindings/") || !has_placeholder(&text), "{language:?} {path}: {text}");
        }
        let readme = fs::read_to_string(temp.path().join("README.md")).unwrap();
        for line in language
            .build(&file)
            .steps
            .iter()
            .map(crate::language::Step::line)
            .chain(language.install().into_iter().map(ToOwned::to_owned))
        {
            assert!(readme.contains(&format!("\n{line}\n")), "{line} is not in {readme}");
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let error = create("a", &temp.path().join("new"), Language::Js, Some(temp.path())).unwrap_err();
    assert!(matches!(error, Error::SdkForOther), "{error}");
}

/// A rule of that name would take the place of the module for all of Python.
#[test]
fn a_plugin_in_python_has_no_name_of_a_module() {
    let temp = tempfile::tempdir().unwrap();
    for name in ["json", "calendar", "enum", "py-compile", "zoneinfo", "abc", "lambda", "wit_world"] {
        let error = create(name, &temp.path().join("new"), Language::Python, None).unwrap_err();
        assert!(error.to_string().ends_with("means something else to Python"), "{error}");
    }
    assert!(!temp.path().join("new").exists());
    create("match", &temp.path().join("new"), Language::C, None).unwrap();
}

#[test]
fn bad_names_are_refused_with_the_rule() {
    let temp = tempfile::tempdir().unwrap();
    for (name, rule) in [
        ("", "must begin with a small letter"),
        ("1st", "must begin with a small letter"),
        ("Lamp", "must begin with a small letter"),
        ("-x", "must begin with a small letter"),
        ("../up", "must begin with a small letter"),
        ("a/b", "may hold only small letters, digits, - and _"),
        ("lämp", "may hold only small letters, digits, - and _"),
        ("a.b", "may hold only small letters, digits, - and _"),
        (&"x".repeat(65), "must be at most 64 bytes long"),
        ("loop", "means something else to cargo or to Rust"),
        ("serde_json", "means something else to cargo or to Rust"),
        ("switchbox-plugin", "means something else to cargo or to Rust"),
    ] {
        let error = create(name, &temp.path().join("new"), Language::Rust, None).unwrap_err();
        assert!(error.to_string().ends_with(rule), "{error}");
    }
    assert!(!temp.path().join("new").exists());
}

#[test]
fn nothing_is_written_where_something_is_or_without_an_sdk() {
    let temp = tempfile::tempdir().unwrap();
    let error = create("a", temp.path(), Language::Rust, Some(&temp.path().join("nowhere"))).unwrap_err();
    assert!(matches!(error, Error::NoSdk(_)), "{error}");
    assert!(is_free(temp.path()));

    fs::write(temp.path().join("notes.txt"), "mine").unwrap();
    let error = create("a", temp.path(), Language::Rust, None).unwrap_err();
    assert!(matches!(error, Error::NotEmpty(_)), "{error}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    let error = create("a", &temp.path().join("notes.txt"), Language::Rust, None).unwrap_err();
    assert!(matches!(error, Error::NotEmpty(_)), "{error}");
}
