//! Changes to the text of a plugin's settings file. Pure.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Error;
use switchbox_plugin_model::GrantPatterns;
use switchbox_rules::json::patched;

/// Parses TOML; the error names the place of the mistake.
pub(super) fn parse(text: &str) -> Result<toml::Table, Error> {
    text.parse().map_err(|e: toml::de::Error| no_toml(&e))
}

fn no_toml(error: &toml::de::Error) -> Error {
    Error::invalid(format!("the settings are not TOML: {}", error.to_string().trim_end()))
}

/// The text to write, if the host can parse it.
fn readable(text: String) -> Result<String, Error> {
    parse(&text).map_err(|error| Error::invalid(format!("with this change {}", error.text)))?;
    Ok(text)
}

/// Sets `enabled` and leaves the rest of the text, including comments, unchanged.
pub(super) fn set_enabled(text: &str, enabled: bool) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct EnabledSpan {
        enabled: Option<toml::Spanned<toml::Value>>,
    }
    // A byte order mark must stay first.
    let text = text.trim_start_matches('\u{feff}');
    let found: EnabledSpan = toml::from_str(text).map_err(|e| no_toml(&e))?;
    let mut text = text.to_owned();
    match found.enabled {
        Some(value) => text.replace_range(value.span(), if enabled { "true" } else { "false" }),
        // Before all tables, so that it belongs to none of them.
        None => text.insert_str(0, &format!("enabled = {enabled}\n")),
    }
    readable(text)
}

/// Applies a JSON merge patch (RFC 7396) to the plugin's own settings, as the JSON that the component gets. If it changes something,
/// the file is rewritten, and its comments are lost.
pub(super) fn merge_settings(text: &str, patch: &Map<String, Value>) -> Result<String, Error> {
    let mut document = parse(text)?;
    let settings = document.entry("settings").or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let settings = settings.as_table_mut().ok_or_else(|| Error::invalid("`settings` in the file is not a table"))?;
    let json = |value: serde_json::Result<String>| value.map_err(|e| Error::invalid(format!("settings: {e}")));
    let (before, patch_text) = (json(serde_json::to_string(settings))?, json(serde_json::to_string(patch))?);
    let merged = patched(before.as_bytes(), patch_text.as_bytes(), usize::MAX);
    let Some(merged) = merged.map_err(|e| Error::invalid(format!("settings: {e}")))? else {
        return Ok(text.to_owned());
    };
    let merged: Map<String, Value> = serde_json::from_str(&merged).map_err(|e| Error::invalid(e.to_string()))?;
    settings.retain(|key, _| merged.contains_key(key));
    // What the patch does not name keeps its form: TOML has values that JSON has not.
    for (key, value) in merged.into_iter().filter(|(key, _)| patch.contains_key(key)) {
        let value = serde_json::from_value::<toml::Value>(value);
        let value = value.map_err(|e| Error::invalid(format!("settings.{key}: {e}")))?;
        settings.insert(key, value);
    }
    readable(toml::to_string(&document).map_err(|e| Error::invalid(e.to_string()))?)
}

/// Sets what the plugin is granted. If the text has no grants, they are added to it; under `[grants]`, only entries that differ change. If
/// they are written in another form, the file is written again, and its comments are lost.
pub(super) fn set_grants(text: &str, granted: &GrantPatterns) -> Result<String, Error> {
    let mut document = parse(text)?;
    let wrong = |e: toml::ser::Error| Error::invalid(e.to_string());
    let grants = toml::Table::try_from(granted).map_err(wrong)?;
    if document.contains_key("grants") {
        let edited = edited(text, &grants);
        document.insert("grants".into(), grants.into());
        let is_right = |text: &String| parse(text).is_ok_and(|edited| edited == document);
        return edited.filter(is_right).map_or_else(|| toml::to_string(&document).map_err(wrong), Ok);
    }
    let break_before = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let alone = toml::Table::from_iter([("grants".to_owned(), grants.into())]);
    Ok(format!("{text}{break_before}{}", toml::to_string(&alone).map_err(wrong)?))
}

/// The text with other entries under `[grants]`, if each entry there begins its line. Other forms are not recognised: the result is then
/// something else, or `None`.
fn edited(text: &str, grants: &toml::Table) -> Option<String> {
    #[derive(Deserialize)]
    struct GrantSpans {
        grants: BTreeMap<String, toml::Spanned<toml::Value>>,
    }
    let GrantSpans { grants: old } = toml::from_str(text).ok()?;
    let line_start = |at: usize| Some(text.get(..at)?.rfind('\n').map_or(0, |found| found + 1));
    let line_end = |at: usize| Some(text.get(at..)?.find('\n').map_or(text.len(), |found| at + found + 1));
    let mut edits = Vec::new();
    for (key, value) in &old {
        let Range { start, end } = value.span();
        match grants.get(key) {
            Some(new) if new == value.get_ref() => {}
            Some(new) => edits.push((start..end, new.to_string())),
            None => edits.push((line_start(start)?..line_end(end)?, String::new())),
        }
    }
    let added = grants.iter().filter(|(key, _)| !old.contains_key(*key));
    let added: String = added.map(|(key, value)| format!("{key} = {value}\n")).collect();
    if !added.is_empty() {
        let is_head = |line: &str| line.split('#').next().is_some_and(|line| line.trim() == "[grants]");
        let mut end = 0;
        let mut ends = text.split_inclusive('\n').map(|line| {
            end += line.len();
            (end, line)
        });
        let (after_head, head) = ends.find(|(_, line)| is_head(line))?;
        let line_break = if head.ends_with('\n') { "" } else { "\n" };
        edits.push((after_head..after_head, format!("{line_break}{added}")));
    }
    // From the end, so that the places before stay where they are. Of two at one place, the one that removes is made first.
    edits.sort_by_key(|(place, _)| Reverse(place.start));
    let mut edited = text.to_owned();
    for (place, with) in edits {
        edited.get(place.clone())?;
        edited.replace_range(place, &with);
    }
    Some(edited)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn enabling_changes_one_word() {
        for (text, expected) in [
            ("", "enabled = false\n"),
            ("enabled = true # why\n", "enabled = false # why\n"),
            ("# mine\n[settings]\nenabled = 1\n", "enabled = false\n# mine\n[settings]\nenabled = 1\n"),
            ("\u{feff}a = 1\n", "enabled = false\na = 1\n"),
            ("a = '''\nenabled = 1\n'''\nenabled=\"no\"", "a = '''\nenabled = 1\n'''\nenabled=false"),
        ] {
            assert_eq!(set_enabled(text, false).unwrap(), expected);
        }
        assert!(set_enabled("enabled =", true).unwrap_err().text.contains("line 1"));
        assert!(set_enabled("[enabled]\na = 1", true).unwrap_err().text.contains("with this change"));
    }

    #[test]
    fn grants_are_added_or_replaced() {
        let granted = GrantPatterns::from([(switchbox_plugin_model::Capability::Config, vec!["lamp-*".to_owned()])]);
        for (text, expected) in [
            ("", "[grants]\nconfig = [\"lamp-*\"]\n"),
            ("# mine\n[settings]\na = 1", "# mine\n[settings]\na = 1\n[grants]\nconfig = [\"lamp-*\"]\n"),
            ("[grants]\nread = ['*']\n", "[grants]\nconfig = [\"lamp-*\"]\n"),
            // The comments are kept.
            (
                "# mine\n[grants] # few\n# lamps\nconfig = ['a'] # why\nread = [\n  '*',\n]\n[settings]\na = 1 # one\n",
                "# mine\n[grants] # few\n# lamps\nconfig = [\"lamp-*\"] # why\n[settings]\na = 1 # one\n",
            ),
            ("[grants] # none", "[grants] # none\nconfig = [\"lamp-*\"]\n"),
            ("[grants]\nconfig = ['lamp-*'] # as it is\n", "[grants]\nconfig = ['lamp-*'] # as it is\n"),
            // Another form.
            ("grants = { read = ['*'] } # gone\n", "[grants]\nconfig = [\"lamp-*\"]\n"),
        ] {
            assert_eq!(set_grants(text, &granted).unwrap(), expected);
        }
        assert!(set_grants("a = [", &granted).unwrap_err().text.contains("line 1"));
    }

    #[test]
    fn settings_are_merged() {
        let patch = json!({"gone": null, "new": {"a": [1, 2.5, "x", true]}});
        let text = "component = 'a'\n[settings]\nold = 1\ngone = 2\n";
        let merged = parse(&merge_settings(text, patch.as_object().unwrap()).unwrap()).unwrap();
        assert_eq!(
            serde_json::to_value(&merged).unwrap(),
            json!({"component": "a", "settings": {"old": 1, "new": {"a": [1, 2.5, "x", true]}}})
        );
        // A table is merged, and a value of TOML alone stays.
        let text =
            "[settings]\nat = inf\n[settings.a]\nkept = 1\ngone = 2\nday = 2026-11-30\n[settings.a.deep]\nx = 1\n";
        let patch = json!({"a": {"gone": null, "deep": {"y": 2}}});
        let merged = parse(&merge_settings(text, patch.as_object().unwrap()).unwrap()).unwrap();
        let expected =
            "[settings]\nat = inf\n[settings.a]\nkept = 1\nday = 2026-11-30\n[settings.a.deep]\nx = 1\ny = 2\n";
        assert_eq!(merged, parse(expected).unwrap());
        // What changes nothing keeps the comments.
        let text = "[settings] # mine\na = 1\n";
        assert_eq!(merge_settings(text, json!({"a": 1, "b": null}).as_object().unwrap()).unwrap(), text);
        let null = json!({"a": [null]});
        assert!(merge_settings("", null.as_object().unwrap()).unwrap_err().text.contains("settings.a"));
        assert!(merge_settings("settings = 1", patch.as_object().unwrap()).is_err());
        // TOML has a lower limit of nesting than JSON.
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let deep = json!({ "a": deep });
        assert!(merge_settings("", deep.as_object().unwrap()).unwrap_err().text.contains("with this change"));
    }
}
