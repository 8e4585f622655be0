//! `switchbox plugin build`: builds the plugin in a folder with the tool chain of its language, and says what to install where something
//! of it is missing. Installs nothing.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::{
    exit::wrong,
    language::{Language, RUST_BUILT, Step},
};
use switchbox_plugin_model::{Kind, inspect};

/// Where a project has tools of its own, from its folder on.
const OWN_TOOLS: [&str; 2] = ["node_modules/.bin", ".venv/bin"];

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The plugin's folder, or the file of its rule: a Cargo.toml, or NAME.js, NAME.ts, NAME.py, NAME.c or NAME.go. In a folder with
    /// several of them, the rule is the one with the name of the folder, or else the one called `rule`
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// Its language [default: that of the rule's file]
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let (folder, (language, file)) = rule(&options.path, options.lang)?;
    let folder = folder.as_path();
    let build = language.build(&file);
    let programs = found(folder, &build.steps)?;
    for (step, program) in build.steps.iter().zip(programs) {
        execute(folder, step, &program)?;
    }
    let component = match language {
        Language::Rust => rust_built(folder, &file, env::var_os("CARGO_TARGET_DIR")),
        _ => folder.join(&build.component),
    };
    let bytes = fs::read(&component).with_context(|| format!("{} was not written", component.display()))?;
    if !matches!(inspect(&bytes), Ok(Kind::Component)) {
        bail!("{} is not a WebAssembly component", component.display());
    }
    Ok(format!("wrote {} ({} kB)", component.display(), bytes.len().div_ceil(1_000)))
}

/// The language of a rule, and its name in files.
type Rule = (Language, String);

/// The folder of the rule that is meant, and the rule.
fn rule(path: &Path, requested: Option<Language>) -> anyhow::Result<(PathBuf, Rule)> {
    if path.is_file() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let lang = requested.map(|language| format!(" in {}", language.title())).unwrap_or_default();
        let rule = rule_in(path, requested)?
            .ok_or_else(|| wrong(format!("{} is no plugin source file{lang}", path.display())))?;
        return Ok((folder.into(), rule));
    }
    let mut rules = Vec::new();
    let entries = fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
    for entry in entries {
        rules.extend(rule_in(&entry?.path(), requested)?);
    }
    Ok((path.into(), chosen(path, rules)?))
}

/// The rule in this file. Returns `None` if the file is none, or one of another language than the requested one.
fn rule_in(path: &Path, requested: Option<Language>) -> anyhow::Result<Option<Rule>> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()).unwrap_or_default();
    // `types.d.ts` and `x.test.js` are no rules, and neither is a test of a Go package.
    let parts = name.split_once('.').filter(|_| !name.ends_with("_test.go"));
    let Some((stem, ending)) = parts else { return Ok(None) };
    let language = Language::ALL.into_iter().find(|language| match language.ending() {
        None => name == "Cargo.toml",
        Some(own) => own == ending,
    });
    match language.filter(|language| requested.is_none_or(|requested| requested == *language)) {
        Some(Language::Rust) => Ok(Some((Language::Rust, package(path)?))),
        other => Ok(other.map(|language| (language, stem.to_owned()))),
    }
}

/// The one of the folder's rules that is meant. If there are several: the one with the name of the folder, as `plugin new` writes it, or
/// else the one with the name `rule`.
fn chosen(folder: &Path, mut rules: Vec<Rule>) -> anyhow::Result<Rule> {
    let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    for name in name.into_iter().chain(["rule".to_owned()]) {
        let named: Vec<_> =
            rules.iter().filter(|(language, stem)| *stem == language.file_name(&name)).cloned().collect();
        if rules.len() > 1 && !named.is_empty() {
            rules = named;
        }
    }
    rules.sort_by_cached_key(file_of);
    match rules.as_slice() {
        [rule] => Ok(rule.clone()),
        [] => Err(wrong(format!(
            "there is no plugin source file in {}: a Cargo.toml, or one file NAME.js, NAME.ts, NAME.py, NAME.c or NAME.go; `switchbox plugin new` writes one",
            folder.display()
        ))),
        [first, ..] => {
            let files = rules.iter().map(file_of).collect::<Vec<_>>().join(", ");
            let example = folder.join(file_of(first));
            let differ = rules.iter().any(|(language, _)| *language != first.0);
            let lang = if differ { ", or its language with --lang" } else { "" };
            Err(wrong(format!(
                "{} has more than one source file that may be the rule: {files}; name the rule's, such as `switchbox plugin build {}`{lang}",
                folder.display(),
                example.display()
            )))
        }
    }
}

fn file_of((language, stem): &Rule) -> String {
    language.ending().map_or_else(|| "Cargo.toml".to_owned(), |ending| format!("{stem}.{ending}"))
}

/// The crate that the manifest is of, as cargo calls its component.
fn package(manifest: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(manifest).with_context(|| format!("{} cannot be read", manifest.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("{}", manifest.display()))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    Ok(name.with_context(|| format!("{} has no package.name", manifest.display()))?.replace('-', "_"))
}

/// `target`: a target folder of the user's own, relative to the folder in which cargo runs.
fn rust_built(folder: &Path, file: &str, target: Option<OsString>) -> PathBuf {
    let built = Path::new(RUST_BUILT);
    let component = built.join(format!("{file}.wasm"));
    match target {
        Some(target) => folder.join(target).join(component.strip_prefix("target").unwrap_or(&component)),
        None => folder.join(component),
    }
}

/// The program of each step. The error names all that are missing, with the lines that install them.
fn found(folder: &Path, steps: &[Step]) -> anyhow::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    let mut programs = Vec::new();
    for step in steps {
        match step.programs.iter().find_map(|program| tool(folder, program)) {
            Some(program) => programs.push(program),
            None => {
                let program = step.programs.first().unwrap_or(&"");
                let text =
                    format!("{program} is not installed. To install it, in {}:\n  {}", folder.display(), step.install);
                // A program may have several steps.
                if !missing.contains(&text) {
                    missing.push(text);
                }
            }
        }
    }
    if missing.is_empty() { Ok(programs) } else { Err(wrong(missing.join("\n"))) }
}

/// The project's own tool, or one that the shell would find.
fn tool(folder: &Path, program: &str) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let own = OWN_TOOLS.into_iter().map(|tools| folder.join(tools));
    let path = env::var_os("PATH").unwrap_or_default();
    own.chain(env::split_paths(&path)).map(|tools| tools.join(program)).find(|tool| tool.is_file())
}

fn execute(folder: &Path, step: &Step, program: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    // What a tool says is for the person who builds.
    command.args(&step.arguments).envs(step.environment.iter().copied()).current_dir(folder).stdin(Stdio::null());
    let status = command.status().with_context(|| format!("{} does not start", program.display()))?;
    if !status.success() {
        let line = step.line_with(&program.file_name().unwrap_or_default().to_string_lossy());
        // A compiler that is there may lack a part, such as a target or a library: its own words say which, but not where to get it.
        bail!(
            "this failed ({status}): {line}\nIf something of the tool chain is missing, this installs it, in {}:\n  {}",
            folder.display(),
            step.install
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "[package]\nname = \"a-b\"\n").unwrap();
        }
        folder
    }

    #[test]
    fn the_language_is_that_of_the_rule() {
        for (files, lang, expect) in [
            (
                &["night-light.js", "types.d.ts", "package.json", "night-light.wasm"][..],
                None,
                "Ok((Js, \"night-light\"))",
            ),
            (&["a.ts", "tsconfig.json"], None, "Ok((Ts, \"a\"))"),
            (&["a.py"], None, "Ok((Python, \"a\"))"),
            (&["a.c", "a.h"], None, "Ok((C, \"a\"))"),
            (&["a.go", "go.mod"], None, "Ok((Go, \"a\"))"),
            (&["Cargo.toml"], None, "Ok((Rust, \"a_b\"))"),
            (&["a.js", "Cargo.toml"], Some(Language::Js), "Ok((Js, \"a\"))"),
            (&["README.md"], None, "there is no plugin source file in"),
            (&["a.js"], Some(Language::C), "there is no plugin source file in"),
        ] {
            let found = rule(folder(files).path(), lang).map(|(_, rule)| rule);
            assert!(format!("{found:?}").contains(expect), "{files:?}: {found:?}");
        }
        let folder = folder(&["a.js", "Cargo.toml"]);
        let error = rule(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("may be the rule: Cargo.toml, a.js; name the rule's, such as `switchbox"), "{error}");
        assert!(error.ends_with("/Cargo.toml`, or its language with --lang"), "{error}");
    }

    #[test]
    fn a_project_may_have_more_source_files_than_its_rule() {
        for (files, lang, expect) in [
            (&["night-light.go", "night-light_test.go"][..], None, "Ok((Go, \"night-light\"))"),
            (&["other.go", "other_test.go"], None, "Ok((Go, \"other\"))"),
            (&["night_light.py", "helpers.py"], None, "Ok((Python, \"night_light\"))"),
            (&["night-light.js", "helper.js"], None, "Ok((Js, \"night-light\"))"),
            (&["night-light.js", "rule.js"], None, "Ok((Js, \"night-light\"))"),
            (&["rule.c", "helper.c"], None, "Ok((C, \"rule\"))"),
            (&["night-light.js", "night-light.ts"], Some(Language::Ts), "Ok((Ts, \"night-light\"))"),
            (&["a.go", "b.go"], None, "may be the rule: a.go, b.go; name the rule's"),
        ] {
            let temp = folder(&[]);
            let project = temp.path().join("night-light");
            fs::create_dir(&project).unwrap();
            for file in files {
                fs::write(project.join(file), "").unwrap();
            }
            let found = rule(&project, lang).map(|(_, rule)| rule);
            assert!(format!("{found:?}").contains(expect) && !format!("{found:?}").contains("--lang"), "{found:?}");
        }
        let temp = folder(&["a.py", "b.py", "notes.txt"]);
        let (parent, named) = rule(&temp.path().join("b.py"), None).unwrap();
        assert_eq!((parent.as_path(), named), (temp.path(), (Language::Python, "b".to_owned())));
        for (file, lang) in [("notes.txt", None), ("a.py", Some(Language::C))] {
            let error = rule(&temp.path().join(file), lang).unwrap_err().to_string();
            assert!(error.contains("is no plugin source file"), "{error}");
        }
    }

    /// Cargo runs in the project's folder, so that a relative folder is one below it.
    #[test]
    fn the_target_folder_is_that_of_cargo() {
        let built = |target: Option<&str>| rust_built(Path::new("project"), "a_b", target.map(OsString::from));
        assert_eq!(built(None), Path::new("project/target/wasm32-wasip2/release/a_b.wasm"));
        assert_eq!(built(Some("other")), Path::new("project/other/wasm32-wasip2/release/a_b.wasm"));
        assert_eq!(built(Some("/other")), Path::new("/other/wasm32-wasip2/release/a_b.wasm"));
    }

    /// A program that is there may lack a part, and may be another one than the first that was looked for.
    #[test]
    fn a_step_that_fails_is_named_with_the_line_that_installs_its_parts() {
        let folder = folder(&[]);
        let step = Step {
            environment: &[("TARGET", "x")],
            programs: &["no-such-tool", "false"],
            arguments: vec!["--target=wasm32-wasi".to_owned()],
            install: "get all of it",
        };
        let programs = found(folder.path(), std::slice::from_ref(&step)).unwrap();
        let error = execute(folder.path(), &step, &programs[0]).unwrap_err().to_string();
        assert!(error.starts_with("this failed (exit status: 1): TARGET=x false --target=wasm32-wasi\n"), "{error}");
        assert!(
            error.ends_with(&format!("this installs it, in {}:\n  get all of it", folder.path().display())),
            "{error}"
        );
    }

    #[test]
    fn all_that_is_missing_is_named_with_the_line_that_installs_it() {
        let folder = folder(&[]);
        let missing = |programs, install| Step { environment: &[], programs, arguments: Vec::new(), install };
        let steps = [
            missing(&["no-such-tool", "nor-this"], "get it"),
            missing(&["cargo"], "get cargo"),
            missing(&["no-other"], "get the other"),
            missing(&["no-other"], "get the other"),
        ];
        let error = found(folder.path(), &steps).unwrap_err().to_string();
        assert!(error.starts_with("no-such-tool is not installed. To install it, in /"), "{error}");
        assert!(error.contains(":\n  get it\nno-other is not") && error.ends_with(":\n  get the other"), "{error}");
        assert_eq!(error.matches("no-other is not").count(), 1, "{error}");
    }
}
