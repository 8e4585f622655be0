//! Prometheus itself beside a real host, as deploy/ configures it: it scrapes the host, evaluates the rules and every expression of
//! the dashboard, and reports when the host is gone.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use switchbox_tests::{HostFolder, is_available, runs, until, workspace};

use crate::tidy::deploy::expressions;

/// Installed, or taken out of its package as on CI.
fn program() -> PathBuf {
    let unpacked = workspace().join(".ci/tools/prometheus/usr/bin/prometheus");
    if unpacked.exists() { unpacked } else { "prometheus".into() }
}

/// Ends with the test.
struct Prometheus {
    child: Child,
    base: String,
}

impl Prometheus {
    fn start(host_folder: &HostFolder) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program());
        command.current_dir(host_folder.root().join("prometheus")).args([
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--enable-feature=exemplar-storage".to_owned(),
        ]);
        let log = fs::File::create(host_folder.root().join("prometheus.log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, base: format!("http://127.0.0.1:{port}/api/v1") }
    }

    /// `data` of an answer; null if there is none.
    fn get(&self, path: &str) -> Value {
        let Ok(mut answer) = ureq::get(format!("{}{path}", self.base)).call() else { return Value::Null };
        let answer: Value = answer.body_mut().read_json().unwrap_or_default();
        answer["data"].clone()
    }

    /// The value of an expression that is one number.
    fn value(&self, expression: &str) -> Option<f64> {
        self.query(expression)["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Null if Prometheus does not take the expression.
    fn query(&self, expression: &str) -> Value {
        let Ok(mut answer) = ureq::get(format!("{}/query", self.base)).query("query", expression).call() else {
            return Value::Null;
        };
        let answer: Value = answer.body_mut().read_json().unwrap();
        assert!(answer.get("warnings").is_none(), "{expression}: {answer}");
        answer["data"].clone()
    }

    /// Of the only target.
    fn target(&self) -> Value {
        self.get("/targets")["activeTargets"][0].clone()
    }

    fn rules(&self) -> Vec<Value> {
        let groups = self.get("/rules")["groups"].clone();
        let groups: Vec<Value> = serde_json::from_value(groups).unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_reads_a_host_and_alerts_when_it_is_gone() {
    if !is_available("prometheus", runs(Command::new(program()).arg("--version"))) {
        return;
    }
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", "component = \"builtin:switch-wakes-device\"\n");
    let host = host_folder.start();
    let folder = host_folder.root().join("prometheus");
    fs::create_dir_all(&folder).unwrap();
    let source = workspace().join("deploy/prometheus");
    let configuration = fs::read_to_string(source.join("prometheus.yml")).unwrap();
    // As an operator would for another port; and sooner.
    let configuration = configuration.replace("127.0.0.1:8080", &host.admin().address()).replace(": 15s", ": 1s");
    fs::write(folder.join("prometheus.yml"), configuration).unwrap();
    fs::copy(source.join("switchbox.rules.yml"), folder.join("switchbox.rules.yml")).unwrap();
    let token = host.admin().post("/v1/tokens", &json!({"name": "prometheus", "scope": "read"})).ok();
    fs::write(folder.join("switchbox.token"), token["token"].as_str().unwrap()).unwrap();
    host.device("lamp-1").event("{}");

    let prometheus = Prometheus::start(&host_folder);
    until("the target to be up", || (prometheus.target()["health"] == "up").then_some(()));
    until("a metric of the host", || prometheus.value("switchbox_build_info").filter(|value| *value == 1.0));
    let rules = until("every rule to be evaluated", || {
        let rules = prometheus.rules();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(rules)
    });
    let written = fs::read_to_string(source.join("switchbox.rules.yml")).unwrap();
    assert_eq!(rules.len(), written.matches("- alert:").count() + written.matches("- record:").count(), "{rules:?}");
    for expression in expressions() {
        let found = prometheus.query(&expression.replace("$__rate_interval", "1m"));
        assert!(found["result"].is_array(), "{expression}: {found}");
    }
    host.stop();
    until("the target to be down", || (prometheus.target()["health"] == "down").then_some(()));
    until("an alert that waits or fires", || {
        prometheus.rules().into_iter().find(|rule| rule["state"] == "pending" || rule["state"] == "firing")
    });
}
