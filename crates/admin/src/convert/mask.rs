//! Field masks: the fields that a call concerns. Paths are camelCase or snake_case, separated by commas.

use serde_json::{Map, Value};

/// The paths of a mask. Without paths it means all fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mask(Vec<String>);

impl Mask {
    /// `None` for an absent or empty mask, or `*`.
    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        let paths: Vec<String> = text?.split(',').map(str::trim).filter(|path| !path.is_empty()).map(path_of).collect();
        (!paths.is_empty() && !paths.iter().any(|path| path == "*")).then_some(Self(paths))
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Adds this path to the mask.
    pub(crate) fn and(mut self, path: &str) -> Self {
        self.0.push(path.to_owned());
        self
    }

    /// Removes the fields that the mask does not name.
    pub(crate) fn cut(&self, value: &Value) -> Value {
        let mut kept = Value::Object(Map::new());
        for path in &self.0 {
            copy(value, &mut kept, path);
        }
        kept
    }
}

fn copy(from: &Value, to: &mut Value, path: &str) {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let (Some(found), Value::Object(to)) = (from.get(head), to) else { return };
    let Some(rest) = rest else {
        to.insert(head.to_owned(), found.clone());
        return;
    };
    let to = to.entry(head).or_insert_with(|| Value::Object(Map::new()));
    // A key of the metadata may have dots.
    match (head, found.get(rest), to) {
        ("metadata", Some(found), Value::Object(to)) => {
            to.insert(rest.to_owned(), found.clone());
        }
        ("metadata", ..) => {}
        (_, _, to) => copy(found, to, rest),
    }
}

/// The keys of metadata are the caller's own, and are not converted.
fn path_of(path: &str) -> String {
    if path.starts_with("metadata.") { path.to_owned() } else { camel(path) }
}

/// `log_level` → `logLevel`.
pub(crate) fn camel(name: &str) -> String {
    let mut upper = false;
    let mut camel = String::with_capacity(name.len());
    for c in name.chars() {
        match (c, upper) {
            ('_', _) => upper = true,
            (c, true) => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            (c, false) => camel.push(c),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mask_leaves_what_it_names() {
        let value = json!({"id": "a", "logLevel": "INFO", "config": {"version": "1", "binaryData": "eA=="}});
        for (mask, kept) in [
            ("id", json!({"id": "a"})),
            ("log_level,config.version", json!({"logLevel": "INFO", "config": {"version": "1"}})),
            ("nothing", json!({})),
        ] {
            assert_eq!(Mask::parse(Some(mask)).unwrap().cut(&value), kept, "{mask}");
        }
        let device = json!({"metadata": {"x.y": "1", "x": "2"}});
        let cut = Mask::parse(Some("metadata.x.y")).unwrap().cut(&device);
        assert_eq!(cut, json!({"metadata": {"x.y": "1"}}), "a key with dots, as in an update mask");
        for all in [None, Some(""), Some("*"), Some(" , ")] {
            assert_eq!(Mask::parse(all), None);
        }
    }
}
