//! Holds deploy/ to the program: every metric that a dashboard, an alert or a page names is one of the host's, with its labels.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use switchbox_support::metrics::{self, Spec};

/// Every file below deploy/, with its text.
fn files() -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![super::workspace().join("deploy")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // An operator's own, which is not kept.
            if path.extension().is_some_and(|ending| ending == "token") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() >= 8, "{found:?}");
    found
}

/// The names of a metric's series.
fn series(spec: &Spec) -> Vec<String> {
    let ends: &[&str] = match spec.kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "summary" => &["_sum", "_count"],
        _ => &[""],
    };
    ends.iter().map(|end| format!("switchbox_{}{end}", spec.name)).collect()
}

fn spec_of(name: &str) -> Option<&'static Spec> {
    metrics::ALL.iter().find(|spec| series(spec).iter().any(|one| one == name))
}

#[test]
fn deploy_names_metrics_that_the_host_has() {
    let mut used = BTreeSet::new();
    for (path, text) in files() {
        for name in super::words_after(&text, "switchbox_").map(|rest| format!("switchbox_{rest}")) {
            assert!(spec_of(&name).is_some(), "{}: {name} is not a metric of docs/metrics.md", path.display());
            used.insert(name);
        }
    }
    assert!(used.len() > 20, "{used:?}");
}

#[test]
fn pages_name_metrics_that_the_host_has() {
    let crates = fs::read_to_string(super::workspace().join("Cargo.lock")).unwrap();
    for page in super::links::pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = fs::read_to_string(super::workspace().join(&page)).unwrap();
        for name in super::words_after(&text, "`switchbox_").map(|rest| format!("switchbox_{rest}")) {
            // docs/metrics.md names the family of a histogram or a summary; the series have ends.
            let family = metrics::ALL.iter().any(|spec| {
                ["histogram", "summary"].contains(&spec.kind) && format!("switchbox_{}", spec.name) == name
            });
            // The plugin SDK, and targets of the log.
            let package = crates.contains(&format!("name = \"{}\"", name.replace('_', "-")));
            assert!(
                package || family || spec_of(&name).is_some() || name == "switchbox_",
                "{}: {name}",
                page.display()
            );
        }
    }
}

/// The labels that an expression groups by or selects are those of its metrics, or Prometheus' own.
#[test]
fn deploy_uses_labels_that_the_metrics_have() {
    for expression in expressions() {
        let labels: BTreeSet<_> = super::words_after(&expression, "switchbox_")
            .filter_map(|rest| spec_of(&format!("switchbox_{rest}")))
            .flat_map(|spec| spec.labels)
            .copied()
            .chain(["instance", "job", "le", "alertname", "alertstate"])
            .collect();
        let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        for label in grouped.flat_map(|list| list.split(", ")) {
            assert!(labels.contains(label), "{label} in {expression}");
        }
    }
}

fn dashboard() -> Value {
    let path = Path::new("deploy/grafana/dashboards/switchbox.json");
    serde_json::from_str(&fs::read_to_string(super::workspace().join(path)).unwrap()).unwrap()
}

/// Every expression of the dashboard.
pub(crate) fn expressions() -> Vec<String> {
    let mut found = Vec::new();
    expressions_of(&dashboard(), &mut found);
    assert!(found.len() > 25, "{found:?}");
    found
}

/// What stands under `expr`, at any depth.
fn expressions_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| expressions_of(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions_of(item, found)),
        _ => {}
    }
}

/// Each panel has a place of its own, an expression, and the data source that the operator chose.
#[test]
fn dashboard_has_panels_that_do_not_overlap() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            assert!(x < 24 && (at("y")..at("y") + at("h")).all(|y| taken.insert((x, y))), "{}", panel["title"]);
        }
        if panel["type"] != "row" {
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
    assert!(panels.len() > 20);
}
