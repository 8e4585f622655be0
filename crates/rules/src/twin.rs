//! Makes the twin document of the versions that are kept. The time since when a path differs is computed from their history, so that it
//! costs nothing when configs are made and needs no storage. Both documents are in it byte for byte. Pure.

use crate::{
    json::{Difference, Invalid, InvalidTolerance, Object, Tolerance, differences, fulfils, object},
    limits,
    time::rfc3339,
};

/// The device metadata that holds the tolerance with which its twin is compared.
pub const TOLERANCE: &str = "twin-tolerance";

/// The tolerance that a device's metadata gives, by the text under [`TOLERANCE`].
pub fn tolerance(text: Option<&str>) -> Result<Tolerance, InvalidTolerance> {
    text.map_or(Ok(Tolerance::EXACT), str::parse)
}

/// One kept version of a config, or of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptVersion<'a> {
    pub number: u64,
    pub time_ms: u64,
    pub payload: &'a [u8],
    /// Of a config: when the device acknowledged it.
    pub acknowledged_ms: Option<u64>,
}

/// The twin as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    pub text: String,
    /// Differences that are not in it, as there are more than [`limits::TWIN_DIFFERENCES`].
    pub left_out: usize,
}

/// One kept version of either document.
struct Version<'a> {
    number: u64,
    time_ms: u64,
    payload: &'a [u8],
    document: Result<Object<'a>, Invalid>,
}

/// All that is kept of one of the two documents, oldest first.
struct History<'a>(Vec<Version<'a>>);

impl<'a> History<'a> {
    /// Newest first, as the store has them.
    fn new(versions: &[KeptVersion<'a>]) -> Self {
        let read = |kept: &KeptVersion<'a>| {
            let KeptVersion { number, time_ms, payload, .. } = *kept;
            Version { number, time_ms, payload, document: object(payload) }
        };
        Self(versions.iter().rev().map(read).collect())
    }

    fn newest(&self) -> Option<&Version<'a>> {
        self.0.last()
    }

    /// From when on it is known what was in force.
    fn known_from_ms(&self) -> u64 {
        self.0.first().filter(|oldest| oldest.number > 1).map_or(0, |oldest| oldest.time_ms)
    }

    /// The document that was in force at that time. Returns `None` if there was none, or if it is not a JSON object.
    fn at(&self, time_ms: u64) -> Option<&Object<'a>> {
        let version = self.0.iter().rev().find(|version| version.time_ms <= time_ms)?;
        version.document.as_ref().ok()
    }
}

/// Desired and reported together. Both lists newest first, as the store has them.
#[must_use]
pub fn document(configs: &[KeptVersion<'_>], states: &[KeptVersion<'_>], tolerance: Tolerance) -> Twin {
    let (desired, reported) = (History::new(configs), History::new(states));
    let mut twin = Fields::default();
    side(&mut twin, "desired", &desired);
    if let Some((config, time_ms)) = configs.iter().find_map(|config| Some((config, config.acknowledged_ms?))) {
        twin.text("acknowledgedVersion", &config.number.to_string());
        twin.text("acknowledgedTime", &rfc3339(time_ms));
    }
    side(&mut twin, "reported", &reported);
    let nothing = Object::default();
    let in_force = |history: &History<'_>| history.newest().is_none_or(|newest| newest.document.is_ok());
    let mut left_out = 0;
    if in_force(&desired) && in_force(&reported) {
        let newest = |history| newest_object(history).unwrap_or(&nothing);
        let limit = (limits::TWIN_DIFFERENCES, limits::TWIN_DIFFERENCE_BYTES);
        let found = differences(newest(&desired), newest(&reported), tolerance, limit);
        let since = DifferenceSince { desired: &desired, reported: &reported, tolerance };
        let shown: Vec<_> = found.found.iter().map(|difference| since.shown(difference)).collect();
        twin.raw("differs", &format!("[{}]", shown.join(",")));
        left_out = found.left_out;
        if left_out > 0 {
            twin.raw("differsLeftOut", &left_out.to_string());
        }
    }
    Twin { text: twin.finish(), left_out }
}

fn newest_object<'h, 'a>(history: &'h History<'a>) -> Option<&'h Object<'a>> {
    history.newest()?.document.as_ref().ok()
}

fn side(twin: &mut Fields, name: &str, history: &History<'_>) {
    let newest = history.newest();
    let shown = match newest {
        Some(Version { document: Err(_), .. }) => "null",
        Some(Version { payload, .. }) if !payload.trim_ascii().is_empty() => {
            // It is UTF-8, as it could be parsed.
            std::str::from_utf8(payload.trim_ascii()).unwrap_or("null")
        }
        _ => "{}",
    };
    twin.raw(name, shown);
    twin.text(&format!("{name}Version"), &newest.map_or(0, |v| v.number).to_string());
    let Some(newest) = newest else { return };
    twin.text(&format!("{name}Time"), &rfc3339(newest.time_ms));
    if let Err(problem) = &newest.document {
        let what = match problem {
            Invalid::TooDeep(_) => "cannot be part of a twin",
            _ => "is not a JSON object",
        };
        twin.text(&format!("{name}Problem"), &format!("version {} {what}: {problem}", newest.number));
    }
}

/// Finds out since when places differ.
struct DifferenceSince<'h, 'a> {
    desired: &'h History<'a>,
    reported: &'h History<'a>,
    tolerance: Tolerance,
}

impl DifferenceSince<'_, '_> {
    fn shown(&self, difference: &Difference<'_, '_>) -> String {
        let known_from = self.desired.known_from_ms().max(self.reported.known_from_ms());
        let times = self.desired.0.iter().chain(&self.reported.0).map(|version| version.time_ms);
        let mut moments: Vec<u64> = times.filter(|time| *time >= known_from).collect();
        moments.sort_unstable();
        let run: Vec<_> = moments.iter().rev().take_while(|moment| self.differed(&difference.keys, **moment)).collect();
        let since = run.last().map_or(known_from, |moment| **moment);
        let mut shown = Fields::default();
        shown.text("path", &difference.pointer());
        shown.raw("desired", difference.desired.text);
        if let Some(reported) = difference.reported {
            shown.raw("reported", reported.text);
        }
        shown.text("since", &rfc3339(since));
        // Older versions are no longer kept.
        if known_from > 0 && run.len() == moments.len() {
            shown.raw("orBefore", "true");
        }
        shown.finish()
    }

    /// Whether the two differed in this place at one moment.
    fn differed(&self, keys: &[&[u8]], moment: u64) -> bool {
        let desired_value = self.desired.at(moment).and_then(|object| object.at(keys));
        let is = self.reported.at(moment).and_then(|object| object.at(keys));
        desired_value.is_some_and(|desired_value| !fulfils(desired_value, is, self.tolerance))
    }
}

/// Writes a JSON object.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn raw(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&string(name));
        self.0.push(':');
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &string(text));
    }

    fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
