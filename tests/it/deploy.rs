//! deploy/ as its own tools see it: Prometheus' `promtool` reads a real host's metrics, the rules, their tests, and every expression of
//! the dashboard; systemd reads the unit, hadolint the container file.

mod running;

use std::{fmt::Write as _, fs, path::Path, process::Command};

use serde_json::Value;
use switchbox_tests::{HostFolder, is_available, runs, until, workspace};

use crate::tidy::deploy::expressions;

/// Prometheus' tool, which ends well when it finds nothing wrong.
fn promtool(arguments: &[&str], folder: &Path, input: Option<&str>) {
    let input = input.map(|text| {
        let file = folder.join("input.txt");
        fs::write(&file, text).unwrap();
        fs::File::open(file).unwrap()
    });
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder);
    if let Some(input) = input {
        command.stdin(input);
    }
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {out}{err}");
}

fn has_promtool() -> bool {
    is_available("promtool", runs(Command::new("promtool").arg("--version")))
}

#[test]
fn the_rules_and_their_tests_pass_and_the_configuration_is_read() {
    if !has_promtool() {
        return;
    }
    let host_folder = HostFolder::new();
    let folder = host_folder.root().join("prometheus");
    fs::create_dir_all(&folder).unwrap();
    for file in ["prometheus.yml", "switchbox.rules.yml", "switchbox.tests.yml"] {
        fs::copy(workspace().join("deploy/prometheus").join(file), folder.join(file)).unwrap();
    }
    // The operator makes it.
    fs::write(folder.join("switchbox.token"), "token").unwrap();
    promtool(&["check", "config", "prometheus.yml"], &folder, None);
    promtool(&["check", "rules", "switchbox.rules.yml"], &folder, None);
    promtool(&["test", "rules", "switchbox.tests.yml"], &folder, None);
}

#[test]
fn prometheus_reads_every_expression_of_the_dashboard() {
    if !has_promtool() {
        return;
    }
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (at, expression) in expressions().iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "1m");
        // A string of JSON is one of YAML.
        writeln!(rules, "      - {{record: 'panel:{at}', expr: {}}}", Value::from(expression)).unwrap();
    }
    let host_folder = HostFolder::new();
    fs::write(host_folder.root().join("rules.yml"), rules).unwrap();
    promtool(&["check", "rules", "rules.yml"], host_folder.root(), None);
}

#[test]
fn a_host_writes_its_metrics_in_both_formats_as_prometheus_wants_them() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    host_folder.plugin("wake.toml", "component = \"builtin:switch-wakes-device\"\n");
    host.admin().wait_plugin("wake", "to run", |plugin| plugin["state"] == "running");
    let mut lamp = host.device("lamp-1");
    lamp.event("no JSON");
    let as_text = |accept: &str| {
        let (kind, body) = host.admin().text_as("/metrics", accept);
        (kind.split(';').next().unwrap().to_owned(), body)
    };
    let (kind, plain) = as_text("*/*");
    assert_eq!(kind, "text/plain");
    assert!(plain.contains("\n# TYPE switchbox_mqtt_connects_total counter\n"), "{plain}");
    let version = format!("\nswitchbox_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(plain.contains(&version) && !plain.contains("# EOF"), "{plain}");
    let (kind, open) = as_text("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_eq!(kind, "application/openmetrics-text");
    assert!(open.contains("\n# TYPE switchbox_mqtt_connects counter\n") && open.ends_with("\n# EOF\n"), "{open}");
    for (name, least) in [
        ("switchbox_resident_memory_bytes", 1e6),
        ("switchbox_start_time_seconds", 1.7e9),
        ("switchbox_mqtt_in_bytes_total", 20.0),
        ("switchbox_mqtt_out_bytes_total", 8.0),
        ("switchbox_mqtt_packets_in_total", 1.0),
        ("switchbox_mqtt_packets_out_total", 2.0),
    ] {
        // What was written to the socket is counted behind it.
        until(name, || (value(&as_text("*/*").1, name) >= least).then_some(()));
    }
    if has_promtool() {
        promtool(&["check", "metrics"], host_folder.root(), Some(&plain));
    }
    host.stop();
}

/// Of a metric without labels.
fn value(text: &str, name: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}

/// Versions of Debian's packages are not fixed (DL3008): the image is built with what the distribution has then.
#[test]
fn hadolint_finds_nothing_in_the_container_file() {
    let program = workspace().join(".ci/tools/venv/bin/hadolint");
    if !is_available("hadolint", runs(Command::new(&program).arg("--version"))) {
        return;
    }
    let file = workspace().join("deploy/container/Containerfile");
    let check = |input: &str| {
        let host_folder = HostFolder::new();
        let copy = host_folder.root().join("Containerfile");
        fs::write(&copy, input).unwrap();
        let output = Command::new(&program).args(["--no-color", "--ignore", "DL3008"]).arg(copy).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(check(&text), (true, String::new()));
    let (fine, found) = check(&text.replace("USER 10001", "USER root"));
    assert!(!fine && found.contains("DL3002"), "{found}");
}

/// Docker would make an empty folder of a path that is not there.
#[test]
fn the_compose_file_names_files_that_are_there() {
    let folder = workspace().join("deploy");
    let text = fs::read_to_string(folder.join("compose.yaml")).unwrap();
    let mounted: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./")?.split_once(':'))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(mounted, ["prometheus", "grafana/provisioning", "grafana/dashboards"]);
    assert!(mounted.iter().all(|path| folder.join(path).is_dir()));
    assert!(text.contains("context: ..\n") && text.contains("dockerfile: deploy/container/Containerfile\n"));
}

/// With the program at the unit's path: systemd checks that it exists.
#[test]
fn systemd_reads_the_unit() {
    if !is_available("systemd-analyze", runs(Command::new("systemd-analyze").arg("--version"))) {
        return;
    }
    let host_folder = HostFolder::new();
    let unit = fs::read_to_string(workspace().join("deploy/systemd/switchbox.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/switchbox serve "), "{unit}");
    let file = host_folder.root().join("switchbox.service");
    fs::write(&file, unit.replace("/usr/local/bin/switchbox", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !printed.contains("switchbox.service"), "{printed}");
}
