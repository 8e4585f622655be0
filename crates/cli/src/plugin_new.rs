//! `switchbox plugin new NAME`: creates the project of a plugin that builds, passes its tests and runs. It builds nothing itself,
//! and writes only into an empty folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::language::Language;

// `SDK` and `LOCK`: the plugin SDK; `C_BINDINGS`, `GO_BINDINGS`, `PYTHON_BINDINGS`: the interface for C, Go and Python. Packed by build.rs.
include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The folder of the SDK in the project.
const SDK_FOLDER: &str = "sdk";

/// Longest name, bytes: it is part of file names and tables.
const MAX_NAME_BYTES: usize = 64;

/// The interface, in the SDK and in a project of another language.
const WIT_FOLDER: &str = "wit";

/// The `.gitignore` of a project in another language.
const IGNORED: &str =
    "*.wasm\n!bindings/adapter.wasm\nbindings/plugin.o\nbindings/rule.o\n__pycache__/\nbuild/\nnode_modules/\n.venv/\n";

/// The first case, the same for each language.
const CASE: [(&str, &str); 2] = [
    ("cases/too-warm.json", include_str!("../templates/plugin/too-warm.json.txt")),
    ("cases/too-warm.expected.json", include_str!("../templates/plugin/too-warm.expected.json.txt")),
];

/// The files of a Rust project, and their contents.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/plugin/Cargo.toml.txt")),
    (".cargo/config.toml", include_str!("../templates/plugin/config.toml.txt")),
    (".gitignore", "/target\n"),
    ("README.md", include_str!("../templates/plugin/README.md.txt")),
    // The compiler that the SDK is built with, and its target.
    ("rust-toolchain.toml", include_str!("../../../rust-toolchain.toml")),
    ("src/lib.rs", include_str!("../templates/plugin/lib.rs.txt")),
];

/// Names that cargo, the compiler or a Rust project itself use already.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-core",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "switchbox-plugin",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "wit-bindgen",
    "yield",
];

/// The same for Python, beside the modules of its standard library: its keywords, and the modules of the interface.
const RESERVED_IN_PYTHON: &[&str] = &[
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "componentize-py-types",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "wit-world",
    "with",
    "yield",
];

/// Modules of the standard library of Python 3.14, which componentize-py 0.25.1 has (`sys.stdlib_module_names`): a file of the same name
/// would take the place of one.
const PYTHON_MODULES: &str = "\
    abc annotationlib antigravity argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 \
    calendar cmath cmd code codecs codeop collections colorsys compileall compression concurrent \
    configparser contextlib contextvars copy copyreg csv ctypes curses dataclasses datetime dbm decimal \
    difflib dis doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch \
    fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq \
    hmac html http idlelib imaplib importlib inspect io ipaddress itertools json keyword linecache locale \
    logging lzma mailbox marshal math mimetypes mmap modulefinder msvcrt multiprocessing netrc nt ntpath \
    nturl2path numbers opcode operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib \
    poplib posix posixpath pprint profile pstats pty pwd py-compile pyclbr pydoc pydoc-data pyexpat queue \
    quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex \
    shutil signal site smtplib socket socketserver sqlite3 sre-compile sre-constants sre-parse ssl stat \
    statistics string stringprep struct subprocess symtable sys sysconfig syslog tabnanny tarfile tempfile \
    termios textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc \
    tty turtle turtledemo types typing unicodedata unittest urllib uuid venv warnings wave weakref \
    webbrowser winreg winsound wsgiref xml xmlrpc zipapp zipfile zipimport zlib zoneinfo";

/// A created project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its absolute path.
    pub folder: PathBuf,
    /// The commands that install what builds it; none for Rust.
    pub install: Vec<&'static str>,
    /// The command that builds it, in its folder.
    pub build: &'static str,
    /// The path of the component that the command builds, below the folder.
    pub component: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("plugin name {name:?}: {rule}")]
    Name { name: String, rule: &'static str },
    #[error("{0} is there already and is not an empty folder")]
    NotEmpty(PathBuf),
    #[error("--sdk is for Rust alone: the other languages need no SDK")]
    SdkForOther,
    #[error("there is no SDK in {0}: name the plugin-sdk folder of a checkout, or leave --sdk out")]
    NoSdk(PathBuf),
    #[error("the path {0} is not UTF-8, which Cargo.toml needs")]
    NotText(PathBuf),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the project of the plugin `name` into `folder`, which must not be there yet or be empty. With a Rust project comes the SDK, in
/// the folder `sdk`, unless `sdk` names the `plugin-sdk` folder of a checkout.
///
/// # Errors
///
/// The name is not allowed, the folder is not empty, `sdk` has no `Cargo.toml`, or a file cannot be written.
pub fn create(name: &str, folder: &Path, language: Language, sdk: Option<&Path>) -> Result<Created, Error> {
    check(name, language).map_err(|rule| Error::Name { name: name.chars().take(80).collect(), rule })?;
    match (language, sdk) {
        (Language::Rust, sdk) => create_rust(name, folder, sdk),
        (_, Some(_)) => Err(Error::SdkForOther),
        (other, None) => create_other(name, folder, other),
    }
}

fn create_rust(name: &str, folder: &Path, sdk: Option<&Path>) -> Result<Created, Error> {
    let sdk_path = match sdk {
        None => format!("{SDK_FOLDER}/plugin-sdk"),
        Some(sdk) => checkout(sdk)?,
    };
    if !is_free(folder) {
        return Err(Error::NotEmpty(folder.into()));
    }

    let crate_name = name.replace('-', "_");
    let sdk_toml = toml::Value::String(sdk_path).to_string();
    for (path, template) in FILES.iter().chain(&CASE) {
        let text = template.replace("{{name}}", name).replace("{{crate}}", &crate_name).replace("{{sdk}}", &sdk_toml);
        write(&folder.join(path), &text)?;
    }
    if sdk.is_none() {
        for (path, text) in SDK {
            write(&folder.join(SDK_FOLDER).join(path), text)?;
        }
    }
    // The versions that the SDK was tested with. Cargo removes what the project does not need.
    write(&folder.join("Cargo.lock"), LOCK)?;

    Ok(Created {
        folder: folder.canonicalize().unwrap_or_else(|_| folder.into()),
        install: Vec::new(),
        build: "cargo wasm",
        component: format!("target/wasm32-wasip2/release/{crate_name}.wasm").into(),
    })
}

fn create_other(name: &str, folder: &Path, language: Language) -> Result<Created, Error> {
    if !is_free(folder) {
        return Err(Error::NotEmpty(folder.into()));
    }
    let file = language.file_name(name);
    let build = language.build(&file);
    let install = language.install();
    let lines: Vec<_> = build.steps.iter().map(|step| step.line()).collect();
    let fill = |template: &str| {
        let filled =
            template.replace("{{name}}", name).replace("{{file}}", &file).replace("{{language}}", language.title());
        let filled = filled.replace("{{ending}}", language.ending().unwrap_or_default());
        filled.replace("{{install}}", &install.join("\n")).replace("{{build}}", &lines.join("\n"))
    };
    for (path, template) in language.files().iter().chain(&CASE) {
        write(&folder.join(fill(path)), fill(template))?;
    }
    write(&folder.join("README.md"), fill(include_str!("../templates/README.md.txt")))?;
    write(&folder.join(".gitignore"), IGNORED)?;
    for (path, text) in SDK.iter().filter(|(path, _)| Path::new(path).starts_with(WIT_FOLDER)) {
        write(&folder.join(path), text)?;
    }
    let bindings = match language {
        Language::C => C_BINDINGS,
        Language::Go => GO_BINDINGS,
        Language::Python => PYTHON_BINDINGS,
        Language::Rust | Language::Js | Language::Ts => &[],
    };
    for (path, bytes) in bindings {
        write(&folder.join(path), bytes)?;
    }
    Ok(Created {
        folder: folder.canonicalize().unwrap_or_else(|_| folder.into()),
        install,
        build: "switchbox plugin build .",
        component: build.component,
    })
}

/// The absolute path of a checkout's SDK.
fn checkout(sdk: &Path) -> Result<String, Error> {
    let found = sdk.canonicalize().ok().filter(|sdk| sdk.join("Cargo.toml").is_file());
    let sdk = found.ok_or_else(|| Error::NoSdk(sdk.into()))?;
    sdk.to_str().map(ToOwned::to_owned).ok_or_else(|| Error::NotText(sdk.clone()))
}

fn check(name: &str, language: Language) -> Result<(), &'static str> {
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("must begin with a small letter");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_') {
        return Err("may hold only small letters, digits, - and _");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("must be at most 64 bytes long");
    }
    let plain = name.replace('_', "-");
    match language {
        Language::Rust if RESERVED.contains(&plain.as_str()) => Err("means something else to cargo or to Rust"),
        Language::Python
            if RESERVED_IN_PYTHON.contains(&plain.as_str())
                || PYTHON_MODULES.split(' ').any(|module| module == plain) =>
        {
            Err("means something else to Python")
        }
        _ => Ok(()),
    }
}

fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|source| Error::Write { path: path.into(), source })
}

#[cfg(test)]
mod tests;
