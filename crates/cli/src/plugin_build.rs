//! `switchbox plugin build`: builds the plugin in a folder with the tool chain of its language, and says what to install where something
//! of it is missing. Installs nothing.

use std::{
    env, fs,
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
    /// The plugin's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Its language [default: that of the one rule in DIR: a Cargo.toml, or NAME.js, NAME.ts, NAME.py, NAME.c or NAME.go]
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let folder = &options.folder;
    let (language, file) = rule(folder, options.lang)?;
    let build = language.build(&file);
    let programs = found(folder, &build.steps)?;
    for (step, program) in build.steps.iter().zip(programs) {
        execute(folder, step, &program)?;
    }
    let component = match language {
        Language::Rust => rust_built(folder, &file),
        _ => folder.join(&build.component),
    };
    let bytes = fs::read(&component).with_context(|| format!("{} was not written", component.display()))?;
    if !matches!(inspect(&bytes), Ok(Kind::Component)) {
        bail!("{} is not a WebAssembly component", component.display());
    }
    Ok(format!("wrote {} ({} kB)", component.display(), bytes.len().div_ceil(1_000)))
}

/// The language of the folder's rule, and its name in files.
fn rule(folder: &Path, requested: Option<Language>) -> anyhow::Result<(Language, String)> {
    let mut rules = Vec::new();
    let manifest = folder.join("Cargo.toml");
    if manifest.is_file() && requested.is_none_or(|requested| requested == Language::Rust) {
        rules.push((Language::Rust, package(&manifest)?));
    }
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some((stem, ending)) = path.file_name().and_then(|name| name.to_str()?.split_once('.')) else { continue };
        // `types.d.ts` and `x.test.js` are no rules.
        let language = Language::ALL.into_iter().find(|language| language.ending() == Some(ending));
        let language = language.filter(|language| requested.is_none_or(|requested| requested == *language));
        if let Some(language) = language.filter(|_| path.is_file()) {
            rules.push((language, stem.to_owned()));
        }
    }
    match rules.as_slice() {
        [rule] => Ok(rule.clone()),
        [] => Err(wrong(format!(
            "there is no plugin source file in {}: a Cargo.toml, or one file NAME.js, NAME.ts, NAME.py, NAME.c or NAME.go; `switchbox plugin new` writes one",
            folder.display()
        ))),
        more => {
            let name = |(language, stem): &(Language, String)| match language.ending() {
                Some(ending) => format!("{stem}.{ending}"),
                None => "Cargo.toml".to_owned(),
            };
            let names = more.iter().map(name).collect::<Vec<_>>().join(", ");
            Err(wrong(format!("{} has more than one rule: {names}; --lang says which is meant", folder.display())))
        }
    }
}

/// The crate that the manifest is of, as cargo calls its component.
fn package(manifest: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(manifest).with_context(|| format!("{} cannot be read", manifest.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("{}", manifest.display()))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    Ok(name.with_context(|| format!("{} has no package.name", manifest.display()))?.replace('-', "_"))
}

fn rust_built(folder: &Path, file: &str) -> PathBuf {
    let built = Path::new(RUST_BUILT);
    let component = built.join(format!("{file}.wasm"));
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => Path::new(&target).join(component.strip_prefix("target").unwrap_or(&component)),
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
                missing.push(text);
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
            let found = rule(folder(files).path(), lang);
            assert!(format!("{found:?}").contains(expect), "{files:?}: {found:?}");
        }
        let error = rule(folder(&["a.js", "Cargo.toml"]).path(), None).unwrap_err().to_string();
        assert!(error.ends_with("has more than one rule: Cargo.toml, a.js; --lang says which is meant"), "{error}");
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
        ];
        let error = found(folder.path(), &steps).unwrap_err().to_string();
        assert!(error.starts_with("no-such-tool is not installed. To install it, in /"), "{error}");
        assert!(error.contains(":\n  get it\nno-other is not") && error.ends_with(":\n  get the other"), "{error}");
    }
}
