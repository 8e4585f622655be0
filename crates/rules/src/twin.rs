//! Makes the twin document of the versions that are kept. The time since when a path differs is computed from their history, so that it
//! costs nothing when configs are made and needs no storage. Both documents are in it byte for byte. Pure.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    json::{self, Invalid, InvalidTolerance, Object, Tolerance, fulfils, object},
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

/// Desired and reported together. As JSON it is what plugins get, with the fields of the API's type.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Twin<'a> {
    pub desired: &'a RawValue,
    #[serde(serialize_with = "number")]
    pub desired_version: u64,
    #[serde(rename = "desiredTime", serialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub desired_time_ms: Option<u64>,
    /// Why the newest config is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_problem: Option<String>,
    #[serde(serialize_with = "optional_number", skip_serializing_if = "Option::is_none")]
    pub acknowledged_version: Option<u64>,
    #[serde(rename = "acknowledgedTime", serialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub acknowledged_time_ms: Option<u64>,
    pub reported: &'a RawValue,
    #[serde(serialize_with = "number")]
    pub reported_version: u64,
    #[serde(rename = "reportedTime", serialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub reported_time_ms: Option<u64>,
    /// Why the newest state is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_problem: Option<String>,
    /// `None` if one of the documents is not a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<Vec<Difference<'a>>>,
    /// Differences that are not in it, as there are more than [`limits::TWIN_DIFFERENCES`].
    #[serde(rename = "differsLeftOut", skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// A path at which reported differs from desired.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference<'a> {
    pub path: String,
    pub desired: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<&'a RawValue>,
    #[serde(rename = "since", serialize_with = "some_time")]
    pub since_ms: u64,
    /// Whether the difference may have begun before that, as older versions are no longer kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub or_before: bool,
}

impl Twin<'_> {
    /// The twin as JSON.
    #[must_use]
    pub fn text(self) -> String {
        // It has texts, numbers and JSON only, which can always be written.
        serde_json::to_string(&self).unwrap_or_default()
    }
}

fn number<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn optional_number<S: Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    number.map(|number| number.to_string()).serialize(serializer)
}

fn some_time<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*ms))
}

fn time<S: Serializer>(ms: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    ms.map(rfc3339).serialize(serializer)
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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

    /// The newest document. `null` if it is not a JSON object.
    fn shown(&self) -> &'a RawValue {
        match self.newest() {
            Some(Version { document: Err(_), .. }) => RawValue::NULL,
            // It is UTF-8, as it could be parsed.
            Some(Version { payload, .. }) if !payload.trim_ascii().is_empty() => {
                std::str::from_utf8(payload).map_or(RawValue::NULL, raw)
            }
            _ => raw("{}"),
        }
    }

    /// Why the newest document is not shown.
    fn problem(&self) -> Option<String> {
        let newest = self.newest()?;
        let problem = newest.document.as_ref().err()?;
        let what = match problem {
            Invalid::TooDeep(_) => "cannot be part of a twin",
            _ => "is not a JSON object",
        };
        Some(format!("version {} {what}: {problem}", newest.number))
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
pub fn document<'a>(configs: &[KeptVersion<'a>], states: &[KeptVersion<'a>], tolerance: Tolerance) -> Twin<'a> {
    let (desired, reported) = (History::new(configs), History::new(states));
    let acknowledged = configs.iter().find_map(|config| Some((config.number, config.acknowledged_ms?)));
    let nothing = Object::default();
    let in_force = |history: &History<'_>| history.newest().is_none_or(|newest| newest.document.is_ok());
    let (mut differs, mut left_out) = (None, 0);
    if in_force(&desired) && in_force(&reported) {
        let of_desired = newest_object(&desired).unwrap_or(&nothing);
        let of_reported = newest_object(&reported).unwrap_or(&nothing);
        let limit = (limits::TWIN_DIFFERENCES, limits::TWIN_DIFFERENCE_BYTES);
        let found = json::differences(of_desired, of_reported, tolerance, limit);
        let since = DifferenceSince { desired: &desired, reported: &reported, tolerance };
        differs = Some(found.found.iter().map(|difference| since.shown(difference)).collect());
        left_out = found.left_out;
    }
    Twin {
        desired: desired.shown(),
        desired_version: desired.newest().map_or(0, |newest| newest.number),
        desired_time_ms: desired.newest().map(|newest| newest.time_ms),
        desired_problem: desired.problem(),
        acknowledged_version: acknowledged.map(|(number, _)| number),
        acknowledged_time_ms: acknowledged.map(|(_, time_ms)| time_ms),
        reported: reported.shown(),
        reported_version: reported.newest().map_or(0, |newest| newest.number),
        reported_time_ms: reported.newest().map(|newest| newest.time_ms),
        reported_problem: reported.problem(),
        differs,
        left_out,
    }
}

fn newest_object<'h, 'a>(history: &'h History<'a>) -> Option<&'h Object<'a>> {
    history.newest()?.document.as_ref().ok()
}

/// A text that is known to be JSON.
fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap_or(RawValue::NULL)
}

/// Finds out since when places differ.
struct DifferenceSince<'h, 'a> {
    desired: &'h History<'a>,
    reported: &'h History<'a>,
    tolerance: Tolerance,
}

impl<'a> DifferenceSince<'_, 'a> {
    fn shown(&self, difference: &json::Difference<'_, 'a>) -> Difference<'a> {
        let known_from = self.desired.known_from_ms().max(self.reported.known_from_ms());
        let times = self.desired.0.iter().chain(&self.reported.0).map(|version| version.time_ms);
        let mut moments: Vec<u64> = times.filter(|time| *time >= known_from).collect();
        moments.sort_unstable();
        let run: Vec<_> = moments.iter().rev().take_while(|moment| self.differed(&difference.keys, **moment)).collect();
        Difference {
            path: difference.pointer(),
            desired: raw(difference.desired.text),
            reported: difference.reported.map(|reported| raw(reported.text)),
            since_ms: run.last().map_or(known_from, |moment| **moment),
            // Older versions are no longer kept.
            or_before: known_from > 0 && run.len() == moments.len(),
        }
    }

    /// Whether the two differed in this place at one moment.
    fn differed(&self, keys: &[&[u8]], moment: u64) -> bool {
        let desired_value = self.desired.at(moment).and_then(|object| object.at(keys));
        let is = self.reported.at(moment).and_then(|object| object.at(keys));
        desired_value.is_some_and(|desired_value| !fulfils(desired_value, is, self.tolerance))
    }
}

#[cfg(test)]
mod tests;
