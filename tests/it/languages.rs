//! A plugin in each language: written by `plugin new`, built by `plugin build`, its case run by `plugin test`, and then run in a host. The
//! tool chains are those that `.ci/run` installs; without one its test is skipped with a word, but never where `CI` is `true`.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use switchbox_tests::{HostFolder, Process, config, is_available, program, workspace};
use tempfile::TempDir;

/// Where `.ci/run` installs them.
const TOOLS: [&str; 2] = [".ci/tools/languages/node/node_modules/.bin", ".ci/tools/languages/python/bin"];

/// What a busy machine may need.
const LIMITS: &str = "[limits]\ndeadline = \"30s\"\nstart-deadline = \"60s\"\n";

/// Where programs are looked for.
fn folders() -> Vec<PathBuf> {
    let own = TOOLS.map(|folder| workspace().join(folder));
    let path = env::var_os("PATH").unwrap_or_default();
    own.into_iter().chain(env::split_paths(&path)).collect()
}

fn found(tool: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(tool)).find(|program| program.exists())
}

fn installed(tools: &[&str]) -> bool {
    tools.iter().all(|tool| is_available(tool, found(tool).is_some()))
}

/// A plugin's project.
struct Project {
    folder: TempDir,
    language: &'static str,
}

impl Project {
    fn new(language: &'static str, more: &[&str]) -> Self {
        let project = Self { folder: TempDir::new().unwrap(), language };
        let folder = project.folder().display().to_string();
        project.switchbox(&[&["plugin", "new", "too-warm", "--lang", language, "--folder", &folder], more].concat());
        project
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let path: OsString = env::join_paths(folders()).unwrap();
        let mut command = Command::new(program());
        // Where the command line's own tests build such projects.
        let target = workspace().join("target/new-plugin");
        command.args(arguments).env("PATH", path).env("CARGO_TARGET_DIR", target).current_dir(self.folder.path());
        command.output().unwrap()
    }

    /// What a command prints that does its work.
    fn switchbox(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}: {arguments:?}: {errors}\n{printed}", self.language);
        printed
    }

    /// Builds it and runs its cases. Returns where its component is.
    fn built(&self) -> PathBuf {
        let printed = self.switchbox(&["plugin", "build", &self.folder().display().to_string()]);
        let written = printed.lines().last().and_then(|line| line.strip_prefix("wrote ")?.rsplit_once(" ("));
        let component = written.map(|(component, _)| PathBuf::from(component)).unwrap_or_default();
        assert!(printed.trim_end().ends_with(" kB)"), "{}: {printed}", self.language);
        self.passes(&component);
        self.refuses(&component);
        component
    }

    /// Runs its cases with this component.
    fn passes(&self, component: &Path) {
        let (folder, component) = (self.folder().display().to_string(), component.display().to_string());
        let tested = self.switchbox(&["plugin", "test", &folder, "--component", &component]);
        assert!(tested.starts_with("too-warm: ok\n1 cases of "), "{}: {tested}", self.language);
    }

    /// What `plugin test` writes as expected for one reading of 30 degrees with these settings, or what it prints if the plugin does not
    /// start.
    fn does(&self, component: &Path, settings: &str) -> String {
        let case = self.folder().join("cases/other.json");
        let expected = case.with_file_name("other.expected.json");
        let reading = r#"{"device": "sensor-1", "data": {"telemetry": {"payload": {"json": {"temperature": 30}}}}}"#;
        let world = r#"{"devices": {"fan-1": {}}}"#;
        fs::write(&case, format!(r#"{{"settings": {settings}, "world": {world}, "events": [{reading}]}}"#)).unwrap();
        let (folder, component) = (self.folder().display().to_string(), component.display().to_string());
        // All cases are accepted, so that of the project is put back.
        let own = case.with_file_name("too-warm.expected.json");
        let own_expected = fs::read(&own).unwrap();
        let output = self.command(&["plugin", "test", &folder, "--component", &component, "--accept"]);
        fs::write(own, own_expected).unwrap();
        let does = fs::read_to_string(&expected).unwrap_or_else(|_| String::from_utf8(output.stdout).unwrap());
        fs::remove_file(case).unwrap();
        let _ = fs::remove_file(expected);
        does
    }

    /// What is the same in each language: what the host refuses is rejected with the reason, and so are settings that there are not.
    fn refuses(&self, component: &Path) {
        let unknown = self.does(component, r#"{"target": "fan-2"}"#);
        let reason = "there is no device projects/local/locations/local/registries/default/devices/fan-2";
        assert!(unknown.contains("\"reject\": \"") && unknown.contains(reason), "{}: {unknown}", self.language);
        for settings in [r#"{"limit": "hot"}"#, r#"{"limit": true}"#, r#"{"source": 5}"#, r#"{"limt": 20}"#] {
            let printed = self.does(component, settings);
            assert!(printed.contains("the plugin does not start: "), "{}, {settings}: {printed}", self.language);
        }
        let other = self.does(component, r#"{"source": "door-*", "target": "fan-1", "limit": 20}"#);
        assert_eq!(
            serde_json::from_str::<Value>(&other).unwrap()[0].get("outcome"),
            None,
            "{}: {other}",
            self.language
        );
    }

    /// In JavaScript and TypeScript, 64-bit numbers go to the host as the types say.
    fn sends_numbers(&self, check: &[&str]) {
        let source = self.folder().join(format!("too-warm.{}", self.language));
        let rule = fs::read_to_string(&source).unwrap();
        let imports = "import { send } from \"switchbox:plugin/command@0.1.0\";\n\
             import { set as keep } from \"switchbox:plugin/state@0.1.0\";\n\
             import { set as setTimer } from \"switchbox:plugin/timer@0.1.0\";\nimport { write }";
        let calls = "setTimer(\"off\", { tag: \"after\", val: 1000 }, bytes(\"\"));\n\
             keep(\"event\", bytes(`${Math.max(event.id, 1)}`), 0);\n\
             send(settings.target, bytes(\"on\"), { subfolder: \"\", ttlMs: 60000 });\n        write(";
        let changed = rule.replace("import { write }", imports).replace("        write(", calls);
        let grants = "grants: [{ capability: \"command\", pattern: chosen.target }, ";
        fs::write(&source, changed.replace("grants: [", grants)).unwrap();
        self.run("tsc", check);
        self.switchbox(&["plugin", "build", &self.folder().display().to_string()]);
        let does = self.does(&self.folder().join("too-warm.wasm"), "{}");
        for part in ["\"delay_ms\": 1000", "\"ttlMs\": 60000", "\"expected\": 0", "\"outcome\": \"done\""] {
            assert!(does.contains(part), "{}, {part}: {does}", self.language);
        }
        fs::write(source, rule).unwrap();
    }

    /// Runs a program of the tool chain in the project's folder.
    fn run(&self, tool: &str, arguments: &[&str]) {
        let mut command = Command::new(found(tool).unwrap());
        let output = command.args(arguments).current_dir(self.folder()).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&printed));
    }
}

/// A host with this component as the plugin `rule`, when it runs.
fn host_with(component: &Path) -> (HostFolder, Process, Value) {
    let host_folder = HostFolder::new();
    host_folder.plugin("rule.toml", LIMITS);
    host_folder.plugin("rule.wasm", fs::read(component).unwrap());
    let host = host_folder.start();
    let plugin = host.admin().wait_plugin("rule", "to run", |plugin| plugin["state"] == "running");
    (host_folder, host, plugin)
}

/// The plugin does what its template says, refuses input that is not a reading, and continues.
fn follows(host: &Process) {
    let admin = host.admin();
    let mut fan = host.device("fan-1");
    fan.subscribe_config();
    let mut sensor = host.device("sensor-1");
    for (sent, expected) in [(r#"{"temperature": 30}"#, true), (r#"{"temperature": 20.5}"#, false)] {
        sensor.event(sent);
        let is_it = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|state| state["on"] == expected);
        fan.message("the config", |message| message.topic == config("fan-1") && is_it(&message.text()));
    }
    sensor.event("warm");
    admin.wait_plugin("rule", "to reject it", |plugin| plugin["counters"]["rejected"] == 1);
    sensor.event(r#"{"temperature": 31}"#);
    fan.message("the config after", |message| message.text().contains("true"));
}

/// Builds the rule again, which was changed so that it fails; the host says where.
fn fails(project: &Project, component: &Path, (host_folder, host): (&HostFolder, &Process), expect: &[&str]) {
    project.switchbox(&["plugin", "build", &project.folder().display().to_string()]);
    let admin = host.admin();
    let before = admin.plugin("rule").unwrap()["digest"].clone();
    host_folder.plugin("rule.wasm", fs::read(component).unwrap());
    admin.wait_plugin("rule", "to run as it is now", |plugin| plugin["digest"] != before);
    host.device("sensor-2").event(r#"{"temperature": 30}"#);
    admin.wait_plugin("rule", "to say where it failed", |plugin| {
        let error = plugin["rolledBack"]["error"].as_str().or(plugin["lastError"].as_str()).unwrap_or_default();
        expect.iter().all(|expect| error.contains(expect))
    });
}

#[test]
fn rust() {
    let sdk = workspace().join("plugin-sdk").display().to_string();
    let project = Project::new("rust", &["--sdk", &sdk]);
    let component = project.built();
    let (host_folder, host, plugin) = host_with(&component);
    follows(&host);
    let empty = plugin["emptyImports"].to_string();
    assert!(empty.contains("wasi:cli/environment@0.2") && !empty.contains("wasi:cli/stdout"), "{plugin}");

    // A panic comes with its line, and with the functions that were running.
    let source = project.folder().join("src/lib.rs");
    let rule = fs::read_to_string(&source).unwrap();
    let begin = "let reading: Reading = event.json()?;";
    let line = rule.lines().position(|line| line.contains(begin)).unwrap() + 1;
    fs::write(&source, rule.replace(begin, &format!("assert!(event.device.is_empty(), \"broken\"); {begin}"))).unwrap();
    let place = format!("panicked at src/lib.rs:{line}:");
    fails(&project, &component, (&host_folder, &host), &["instruction executed, in ", &place, "broken"]);
    host.stop();
}

#[test]
fn javascript_and_typescript() {
    if !installed(&["componentize-qjs", "esbuild", "tsc"]) {
        return;
    }
    let project = Project::new("js", &[]);
    let options = ["--allowJs", "--checkJs", "--noEmit", "--strict", "false", "--types", "", "--ignoreConfig"];
    let options = [&options[..], &["--lib", "es2022", "--module", "esnext", "too-warm.js"]].concat();
    project.run("tsc", &options);
    project.sends_numbers(&options);
    let component = project.built();
    let (host_folder, host, plugin) = host_with(&component);
    assert_eq!(plugin["refusedImports"], Value::Array(Vec::new()), "{plugin}");
    follows(&host);

    // An exception comes with the lines of the source.
    let rule = fs::read_to_string(project.folder().join("too-warm.js")).unwrap();
    let broken = rule.replace("const on = temperature > settings.limit;", "const on = broken.limit;");
    assert_ne!(rule, broken);
    fs::write(project.folder().join("too-warm.js"), broken).unwrap();
    fails(&project, &component, (&host_folder, &host), &["broken", "onEvent", "too-warm.js:"]);
    host.stop();

    let project = Project::new("ts", &[]);
    project.run("tsc", &[]);
    project.sends_numbers(&[]);
    let component = project.built();
    let (host_folder, host, _) = host_with(&component);
    follows(&host);

    // Its lines are those of the bundle.
    let source = project.folder().join("too-warm.ts");
    let rule = fs::read_to_string(&source).unwrap();
    let broken = rule.replace("const on = temperature > settings.limit;", "const on = temperature > broken.limit;");
    assert_ne!(rule, broken);
    fs::write(&source, broken).unwrap();
    project.switchbox(&["plugin", "build", &project.folder().display().to_string()]);
    let bundle = fs::read_to_string(project.folder().join("build/too-warm.js")).unwrap();
    let line = bundle.lines().position(|line| line.contains("broken.limit")).unwrap() + 1;
    let place = format!("too-warm.js:{line}:");
    fails(&project, &component, (&host_folder, &host), &["broken", "onEvent", &place]);
    host.stop();
}

#[test]
fn javascript_by_jco() {
    if !installed(&["jco"]) {
        return;
    }
    let project = Project::new("js", &[]);
    project.run("jco", &["componentize", "too-warm.js", "--wit", "wit", "--world-name", "plugin", "-o", "jco.wasm"]);
    project.passes(&project.folder().join("jco.wasm"));
}

/// All files below, without what Python itself writes there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found.retain(|path, _| !path.iter().any(|part| part == "__pycache__"));
    found
}

/// Runs a tool of a language.
fn ran(tool: &str, arguments: &[&str], folder: &Path, environment: &[(&str, &str)]) {
    let mut command = Command::new(found(tool).unwrap());
    let output = command.args(arguments).current_dir(folder).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An editor finds what a rule imports in `bindings/`, which is what componentize-py writes for today's interface. What is left out of that
/// no rule of this world imports: its runtime, and its help for asynchronous functions.
/// `UPDATE_BINDINGS=1` writes them anew into the template.
fn has_types(project: &Project) {
    const LEFT_OUT: [&str; 3] = ["componentize_py_async_support", "componentize_py_runtime.pyi", "poll_loop.py"];
    let folder = project.folder();
    let template = workspace().join("crates/cli/templates/python/bindings");
    ran("componentize-py", &["-q", "-d", "wit", "-w", "plugin", "bindings", "today"], &folder, &[]);
    let mut today = BTreeMap::new();
    for (path, bytes) in files(&folder.join("today")) {
        let path = path.strip_prefix(folder.join("today")).unwrap();
        if !LEFT_OUT.iter().any(|left_out| path.starts_with(left_out)) {
            today.insert(folder.join("bindings").join(path), bytes.clone());
            if env::var_os("UPDATE_BINDINGS").is_some() {
                let file = template.join(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, bytes).unwrap();
            }
        }
    }
    let written = files(&folder.join("bindings"));
    let differ: Vec<_> =
        today.keys().chain(written.keys()).filter(|path| today.get(*path) != written.get(*path)).collect();
    assert!(differ.is_empty(), "not those of wit/: {differ:?}; UPDATE_BINDINGS=1 with this test writes them");
    fs::remove_dir_all(folder.join("today")).unwrap();
    let settings = fs::read_to_string(folder.join("pyproject.toml")).unwrap();
    assert!(settings.contains("\nextraPaths = [\"bindings\"]\n"), "{settings}");
    ran(
        "python3",
        &["-c", "import too_warm; too_warm.Handler().describe('{}')"],
        &folder,
        &[("PYTHONPATH", "bindings")],
    );
}

#[test]
fn python() {
    if !installed(&["componentize-py"]) {
        return;
    }
    let project = Project::new("python", &[]);
    has_types(&project);
    let component = project.built();
    let (host_folder, host, plugin) = host_with(&component);
    let refused = plugin["refusedImports"].to_string();
    assert!(refused.contains("wasi:sockets/tcp@0.2"), "{refused}");
    follows(&host);

    let source = project.folder().join("too_warm.py");
    let rule = fs::read_to_string(&source).unwrap();
    fs::write(&source, rule.replace("        on = temperature >", "        on = temperature > {}[1] >")).unwrap();
    let line = rule.lines().position(|line| line.contains("on = temperature >")).unwrap() + 1;
    let place = format!("too_warm.py\", line {line}, in on_event");
    fails(&project, &component, (&host_folder, &host), &["KeyError: 1", &place]);
    host.stop();
}

#[test]
fn c() {
    if !installed(&["clang-19", "wasm-tools"]) {
        return;
    }
    let project = Project::new("c", &[]);
    let component = project.built();
    let (host_folder, host, _) = host_with(&component);
    follows(&host);

    // A trap comes with the functions and the lines of the source.
    let source = project.folder().join("too-warm.c");
    let rule = fs::read_to_string(&source).unwrap();
    let begin = "    double temperature;\n";
    let line = rule.lines().position(|line| line.trim() == "double temperature;").unwrap() + 3;
    fs::write(
        &source,
        rule.replace(begin, &format!("{begin}    void (*volatile nothing)(void) = 0;\n    nothing();\n")),
    )
    .unwrap();
    let place = format!("too-warm.c:{line}");
    fails(&project, &component, (&host_folder, &host), &["in exports_switchbox_plugin_handler_on_event", &place]);
    host.stop();
}

#[test]
fn go() {
    if !installed(&["go", "wasm-tools"]) {
        return;
    }
    let project = Project::new("go", &[]);
    let component = project.built();
    let (host_folder, host, plugin) = host_with(&component);
    assert_eq!(plugin["refusedImports"], Value::Array(Vec::new()), "{plugin}");
    follows(&host);

    // A panic comes with its message and the lines of the source.
    let source = project.folder().join("too-warm.go");
    let rule = fs::read_to_string(&source).unwrap();
    let begin = "\ton := *reading.Temperature > settings.Limit\n";
    let line = rule.lines().position(|line| line.contains("on := *reading")).unwrap() + 2;
    let broken = rule.replace(begin, &format!("{begin}\tfmt.Println([]int{{}}[len(event.Device)])\n"));
    assert_ne!(rule, broken);
    fs::write(&source, broken).unwrap();
    let place = format!("too-warm.go:{line}");
    fails(&project, &component, (&host_folder, &host), &["index out of range", &place]);
    host.stop();
}

#[test]
fn what_is_missing_is_named_with_the_line_that_installs_it() {
    let project = Project::new("js", &[]);
    let mut command = Command::new(program());
    let output = command.args(["plugin", "build"]).arg(project.folder()).env("PATH", "/nowhere").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("componentize-qjs is not installed") && printed.contains("\n  npm install"), "{printed}");
}

/// A rule in JavaScript that fails is rolled back, and an operator brings back one that ran before.
fn goes_back(host_folder: &HostFolder, host: &Process, rule: &str) {
    let admin = host.admin();
    let digest = || admin.plugin("rule").unwrap()["digest"].clone();
    host_folder.plugin("rule.js", rule);
    let first = admin.wait_plugin("rule", "to run", |plugin| plugin["state"] == "running")["digest"].clone();
    host_folder.plugin("rule.js", rule.replace("const on = temperature > settings.limit;", "const on = broken.limit;"));
    admin.wait_plugin("rule", "to be replaced", |plugin| plugin["digest"] != first);
    host.device("sensor-2").event(r#"{"temperature": 30}"#);
    admin.wait_plugin("rule", "to be rolled back", |plugin| plugin["rolledBack"].is_object());
    assert_eq!(digest(), first);
    host_folder.plugin("rule.js", rule.replace("version: \"0.1.0\"", "version: \"0.2.0\""));
    admin.wait_plugin("rule", "to be the third", |plugin| plugin["version"] == "0.2.0");
    let printed = host.cli(host_folder, &["plugin", "rollback", "rule", "--to", first.as_str().unwrap()]);
    assert!(printed.contains("goes back to version"), "{printed}");
    admin.wait_plugin("rule", "to be the first again", |plugin| plugin["digest"] == first);
    assert_eq!(fs::read_to_string(host_folder.plugins().join("rule.js")).unwrap(), rule);
    follows(host);
}

#[test]
fn a_rule_in_javascript_runs_from_the_plugin_folder_where_its_tool_chain_is_named() {
    if !installed(&["componentize-qjs"]) {
        return;
    }
    let project = Project::new("js", &[]);
    let rule = fs::read_to_string(project.folder().join("too-warm.js")).unwrap();
    let host_folder = HostFolder::new();
    host_folder.plugin("rule.toml", LIMITS);
    host_folder.plugin("rule.js", &rule);
    let host = host_folder.start();
    let broken = host.admin().wait_plugin("rule", "to be broken", |plugin| plugin["state"] == "broken");
    let advice = broken["lastError"].as_str().unwrap().to_owned();
    assert!(advice.contains("npm install -g componentize-qjs@0.4.5") && advice.contains("--js-toolchain"), "{advice}");
    host.stop();

    let toolchain = found("componentize-qjs").unwrap().canonicalize().unwrap().display().to_string();
    let start = || host_folder.start_with(&["--js-toolchain", &toolchain]);
    let host = start();
    host.admin().wait_plugin("rule", "to run", |plugin| plugin["state"] == "running");
    follows(&host);
    // The error is reported with its line, and the previous version keeps running.
    host_folder.plugin("rule.js", rule.replace("let settings", "let let settings"));
    let line = rule.lines().position(|line| line.starts_with("let settings")).unwrap() + 1;
    let place = format!("/rule.js:{line}:");
    host.logged(&["ERROR", "rule.js is no component", &place, "the version before keeps running"]);
    let mut fan = host.device("fan-1");
    fan.subscribe_config();
    host.device("sensor-1").event(r#"{"temperature": -1}"#);
    fan.message("the config of the version before", |message| message.text().contains("false"));
    host.stop();

    let host = start();
    goes_back(&host_folder, &host, &rule);
    host.stop();

    // What was made of it is made once.
    host_folder.plugin("rule.js", &rule);
    let kept = || -> Vec<_> {
        let files = fs::read_dir(host_folder.data().join("compiled/scripts")).unwrap().map(|entry| entry.unwrap());
        files.map(|file| (file.file_name(), file.metadata().unwrap().created().ok())).collect()
    };
    let before = kept();
    assert_eq!(before.len(), 3, "{before:?}");
    let host = start();
    host.admin().wait_plugin("rule", "to run again", |plugin| plugin["state"] == "running");
    assert_eq!(kept(), before);
    host.stop();
}
