//! The pages that are made from the code: docs/settings.md, docs/metrics.md, docs/http-calls.md and docs/commands.md. A table that
//! changed without its page is found here. `UPDATE_DOCS=1 cargo test -p switchbox-tests --test it tidy::reference` writes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use serde_json::Value;
use switchbox_settings::{self as settings, Kind, Spec};
use switchbox_support::metrics;
use switchbox_tests::HostFolder;

/// Compares the page with what it should be, or writes it.
fn held(page: &str, expected: &str) {
    let path = super::workspace().join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    let differs = there.lines().zip(expected.lines()).find(|(there, expected)| there != expected);
    assert!(
        there == expected,
        "{page} is not what the code says, first at {differs:?}; write it with\n  \
         UPDATE_DOCS=1 cargo test -p switchbox-tests --test it tidy::reference"
    );
}

/// `268435456` as `268435456 (256 MiB)`.
fn readable(spec: &Spec) -> String {
    let mib = 1024 * 1024;
    match (spec.default.parse::<u64>(), spec.kind) {
        (_, Kind::Switch) => "`false`".into(),
        (Err(_), _) if spec.default.is_empty() => "empty".into(),
        (Ok(bytes), Kind::Size) if bytes >= mib => format!("`{bytes}` ({} MiB)", bytes / mib),
        (Ok(bytes), Kind::Size) => format!("`{bytes}` ({} KiB)", bytes / 1024),
        _ => format!("`{}`", spec.default),
    }
}

fn settings_page() -> String {
    let mut page = "# Settings

For operators. This page is made from the code.

Every setting can be in three places; the later counts more:

1. a settings file (TOML), named by `--settings` or `SWITCHBOX_SETTINGS`: `listen` in the table `[mqtt]` for `mqtt.listen`
2. the environment: `SWITCHBOX_MQTT_LISTEN` for `mqtt.listen`
3. a flag of `switchbox serve`

`switchbox serve --print-settings` shows what is in force and where each value comes from. All problems are reported at once, each
with its key. A change counts from the next start of the host. Values in the file have the
types of TOML: `true`, `5000`, `0.5`, `[\"a.example\", \"b.example\"]`; elsewhere a list is separated by commas, which the file takes as well (`\"a.example,b.example\"`). A number
of bytes may have a unit (KB, KiB, MB, MiB, GB or GiB), `\"256MiB\"`; a time has one, `\"20s\"`.

```toml
data = \"/var/lib/switchbox\"

[mqtt]
listen = \"127.0.0.1:1883\"
max-connections = 5000
```
"
    .to_owned();
    let mut table = None;
    for spec in settings::ALL {
        let (of, _) = spec.name.split_once('.').unwrap_or(("general", spec.name));
        if table != Some(of) {
            table = Some(of);
            write!(page, "\n## {of}\n\n| setting | flag | default | meaning |\n| --- | --- | --- | --- |\n").unwrap();
        }
        let flag = match spec.kind.placeholder() {
            None => format!("`--{}`", spec.flag),
            Some(value) => format!("`--{} {value}`", spec.flag),
        };
        writeln!(page, "| `{}` | {flag} | {} | {} |", spec.name, readable(spec), spec.description).unwrap();
    }
    page
}

fn metrics_page() -> String {
    let mut page = "# Metrics

For operators. This page is made from the code.

`GET /metrics` on the admin API answers in Prometheus' text format, or in OpenMetrics' for a scraper that accepts it, for a token with the scope `read`. A
counter's name ends in `_total`. A metric with labels is absent, with its `# HELP` and `# TYPE`, until it has its first sample: for a counter, such as
`switchbox_panics_total`, absent means 0. No label names a device or a client. The names of limits are in [security.md](security.md#what-is-bounded) and [plugins.md](plugins.md#limits); what to watch is in
[operations.md](operations.md#what-to-watch). [deploy/](../deploy) has a dashboard for Grafana, alert rules and a configuration of Prometheus
([install.md](install.md#with-prometheus-and-grafana)).

```yaml
scrape_configs:
  - job_name: switchbox
    authorization: {credentials_file: /etc/prometheus/switchbox.token}   # switchbox token create --name prometheus --scope read
    static_configs: [{targets: ['127.0.0.1:8080']}]
```

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"
    .to_owned();
    for spec in metrics::ALL {
        let labels = spec.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let end = if spec.kind == "counter" { "_total" } else { "" };
        writeln!(page, "| `switchbox_{}{end}` | {} | {labels} | {} |", spec.name, spec.kind, spec.description).unwrap();
    }
    page
}

/// From `/openapi.json`.
fn calls_page(document: &Value) -> String {
    let mut page = "# Calls of the HTTP API

For programs. This page is made from the code; `/openapi.json` has the fields of bodies and answers, [http-api.md](http-api.md) examples.

`…` stands for `/v1/projects/{p}/locations/{l}/registries/{r}`. The scope says what a token must allow: `read`, `operate` (also send to devices) or
`admin` (also change anything); `open` needs no token, and `device` is for a device with its own token or password.

| call | scope | query parameters | meaning |
| --- | --- | --- | --- |
"
    .to_owned();
    let paths: BTreeMap<_, _> = document["paths"].as_object().unwrap().iter().collect();
    for (path, methods) in paths {
        let path = path.replace("/v1/projects/{p}/locations/{l}/registries/{r}", "…");
        for (method, call) in methods.as_object().unwrap() {
            let parameters =
                call["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "query");
            let parameters: Vec<_> =
                parameters.map(|parameter| format!("`{}`", parameter["name"].as_str().unwrap())).collect();
            let (scope, summary) = (call["x-switchbox-scope"].as_str().unwrap(), call["summary"].as_str().unwrap());
            let method = method.to_uppercase();
            writeln!(page, "| `{method} {path}` | {scope} | {} | {summary} |", parameters.join(", ")).unwrap();
        }
    }
    page
}

/// From the definition of the command line: each command that does something, with the flags that are its own.
fn commands_page() -> String {
    let mut page = "# Commands

For users of the command line. This page is made from the code; `switchbox COMMAND --help` says more about each flag, and
[command-line.md](command-line.md) what all commands have in common: which host, how devices are named, output, exit codes.

| command | flags | meaning |
| --- | --- | --- |
"
    .to_owned();
    let mut program = switchbox::commands::definition();
    program.build();
    rows_of_commands(&mut page, &program, "");
    page
}

fn rows_of_commands(page: &mut String, command: &switchbox::commands::Definition, path: &str) {
    let inner: Vec<_> =
        command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help").collect();
    for inner in &inner {
        rows_of_commands(page, inner, &format!("{path}{} ", inner.get_name()));
    }
    if !inner.is_empty() {
        return;
    }
    let own: Vec<_> = command.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
    let mut usage = path.trim_end().to_owned();
    for argument in own.iter().filter(|argument| argument.is_positional()) {
        let name = argument.get_value_names().and_then(|names| names.first()).unwrap();
        let shown = if argument.is_required_set() { name.to_string() } else { format!("[{name}]") };
        usage = format!("{usage} {shown}");
    }
    let flags: Vec<_> = own
        .iter()
        .filter(|argument| !argument.is_global_set())
        .filter_map(|argument| argument.get_long())
        .filter(|long| *long != "help")
        .map(|long| format!("`--{long}`"))
        .collect();
    let flags = if path == "serve " { "[settings.md](settings.md)".to_owned() } else { flags.join(", ") };
    let about = command.get_about().unwrap_or_else(|| panic!("switchbox {path}has no line that says what it does"));
    writeln!(page, "| `{usage}` | {flags} | {} |", about.to_string().replace('|', "\\|")).unwrap();
}

#[test]
fn reference_of_commands() {
    held("docs/commands.md", &commands_page());
}

#[test]
fn reference_of_calls() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    held("docs/http-calls.md", &calls_page(&host.admin().get("/openapi.json").ok()));
    host.stop();
}

#[test]
fn reference_of_settings() {
    let flags: BTreeSet<_> = settings::ALL.iter().map(|spec| spec.flag).collect();
    assert_eq!(flags.len(), settings::ALL.len(), "two settings have one flag");
    held("docs/settings.md", &settings_page());
}

#[test]
fn reference_of_metrics() {
    held("docs/metrics.md", &metrics_page());
}

/// What a host writes is in the table, with its kind and its labels.
#[test]
fn reference_of_metrics_has_what_a_host_writes() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    host_folder.plugin("wake.toml", "component = \"builtin:switch-wakes-device\"\n");
    host.admin().wait_plugin("wake", "to run", |plugin| plugin["state"] == "running");
    let mut lamp = host.device("lamp-1");
    lamp.event("no JSON");
    let text = host.admin().get("/metrics").ok();
    let mut written = BTreeSet::new();
    for line in text.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("switchbox_")) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels: Vec<_> =
            labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once('=')).collect();
        // The bound of a histogram's bucket.
        let labels: Vec<_> = labels.into_iter().filter(|(label, _)| *label != "le").collect();
        let spec = metrics::ALL.iter().find(|spec| {
            let end = ["_total", "_sum", "_count", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
            spec.name == if spec.kind == "gauge" { name } else { end.unwrap_or(name) }
        });
        let spec = spec.unwrap_or_else(|| panic!("{name} is not in the table"));
        let end = if spec.kind == "counter" { "_total" } else { "" };
        let kind = format!("\n# TYPE switchbox_{}{end} {}\n", spec.name, spec.kind);
        assert!(text.as_str().unwrap().contains(&kind), "{kind}");
        assert_eq!(labels.iter().map(|(label, _)| *label).collect::<Vec<_>>(), spec.labels, "{line}");
        written.insert(spec.name);
    }
    let timed = ["commit_seconds", "plugin_seconds", "plugin_wait_seconds", "delivery_seconds"];
    assert!(timed.iter().all(|name| written.contains(name)) && written.len() >= 16, "{written:?}");
    host.stop();
}
