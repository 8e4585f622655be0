//! The part of a twin's change that the registry holds: a JSON object in the metadata. The engine changes the config in the same entry.

use std::collections::BTreeMap;

use crate::registry::maps::Maps;
use switchbox_model::{
    limits::METADATA_BYTES,
    patch::DevicePatch,
    twin_change::{DocumentChange, TagsChange, TwinChange},
};
use switchbox_rules::json;
use switchbox_store::{Doc, EntryRefusal};

impl Maps {
    /// Checks the expected version of the config also if only tags are changed.
    pub(super) fn change_tags(&mut self, change: TwinChange, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        let TwinChange { num, expected, tags, .. } = change;
        let device = self.get(num).ok_or(EntryRefusal::NotFound)?;
        let current = device.config_version();
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(EntryRefusal::Conflict { device: num, expected, current });
        }
        let Some(TagsChange { key, change }) = tags else { return Ok(()) };
        let Some(text) = changed_text(device.spec().metadata.get(&key).map(String::as_str), &change)
            .map_err(|problem| EntryRefusal::Patch(format!("{key}: {problem}")))?
        else {
            return Ok(());
        };
        let text = Some(text).filter(|text| !is_empty(text));
        let patch = DevicePatch { metadata_keys: BTreeMap::from([(key, text)]), ..DevicePatch::default() };
        self.patch_device(num, patch, docs)
    }
}

/// The text of the object after the change. Returns `None` if it has the same members as before.
fn changed_text(text: Option<&str>, change: &DocumentChange) -> Result<Option<String>, String> {
    let is_object = |text: &&str| !text.trim().is_empty() && json::object(text.as_bytes()).is_ok();
    let current = text.filter(is_object).unwrap_or("{}").as_bytes();
    match change {
        DocumentChange::Merged(patch) => {
            json::patched(current, patch, METADATA_BYTES).map_err(|problem| problem.to_string())
        }
        DocumentChange::Replaced(document) => {
            json::object(document).map_err(|problem| problem.to_string())?;
            let is_same = json::same(&parsed(current)?, &parsed(document)?, json::Tolerance::EXACT);
            Ok((!is_same).then(|| String::from_utf8_lossy(document).into_owned()))
        }
    }
}

fn parsed(document: &[u8]) -> Result<json::Value<'_>, String> {
    json::parse(document).map_err(|problem| problem.to_string())
}

fn is_empty(text: &str) -> bool {
    json::object(text.as_bytes()).is_ok_and(|object| object.members().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_in_the_metadata_is_patched_and_replaced() {
        let merged = |text, patch: &'static str| changed_text(text, &DocumentChange::Merged(patch.into()));
        let replaced = |text, document: &'static str| changed_text(text, &DocumentChange::Replaced(document.into()));
        assert_eq!(merged(None, r#"{"a":{"b":1,"c":null}}"#), Ok(Some(r#"{"a":{"b":1}}"#.into())));
        assert_eq!(merged(Some(r#"{"a":{"b":1}}"#), r#"{"a":{"c":2}}"#), Ok(Some(r#"{"a":{"b":1,"c":2}}"#.into())));
        assert_eq!(merged(Some(r#"{"a":1}"#), r#"{"a":1.0,"d":null}"#), Ok(None));
        assert_eq!(merged(Some("what an operator wrote"), r#"{"a":1}"#), Ok(Some(r#"{"a":1}"#.into())));
        assert_eq!(replaced(Some(r#"{"a":1}"#), r#"{ "a": 1 }"#), Ok(None));
        assert_eq!(replaced(Some(r#"{"a":1}"#), "{}"), Ok(Some("{}".into())));
        assert_eq!(replaced(None, "{}"), Ok(None));
        assert_eq!(replaced(Some(""), r#"{"a":1}"#), Ok(Some(r#"{"a":1}"#.into())));
        assert!(merged(None, "[1]").is_err() && replaced(None, "[1]").is_err());
        assert!(is_empty(&merged(Some(r#"{ "a": 1 }"#), r#"{"a":null}"#).unwrap().unwrap()));
    }
}
