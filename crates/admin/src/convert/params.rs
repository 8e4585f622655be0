//! Query parameters: unknown ones are refused, and page sizes and tokens are read in the same way everywhere.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Mask, Objects, mask::camel};
use crate::error::Error;
use switchbox_core::journal::Position;
use switchbox_model::limits::{fields, names};
use switchbox_support::metrics::Metrics;

/// Parameters that Google's clients may add to any call. They are accepted and ignored, except `$alt`.
const EVERYWHERE: &[&str] = &[
    "$alt",
    "alt",
    "key",
    "accessToken",
    "oauthToken",
    "prettyPrint",
    "$prettyPrint",
    "quotaUser",
    "fields",
    "callback",
    "uploadType",
    "uploadProtocol",
    "$.xgafv",
    "$apiVersion",
];

/// The limit of a query parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// `fields::PARAMETER`.
    One,
    /// A list of ids or patterns. It is bounded only as part of the call's head, in `head.rs`.
    List,
}

/// `None` if no call has such a parameter: [`Params::only`] then refuses it even if a handler names it, so that no parameter is read
/// without a limit here.
fn bound(name: &str) -> Option<Bound> {
    match name {
        "deviceIds" | "deviceNumIds" | "mask" => Some(Bound::List),
        "pageSize" | "numVersions" | "numStates" | "pageToken" => Some(Bound::One),
        "fieldMask" | "updateMask" => Some(Bound::One),
        "search" | "connected" | "blocked" | "differs" | "metadata" | "seenSince" | "seenBefore" | "attachedTo" => {
            Some(Bound::One)
        }
        "perSecond" | "filter" => Some(Bound::One),
        "device" | "event" | "kind" | "plugin" | "status" | "since" | "subfolder" | "topic" => Some(Bound::One),
        "all" | "executions" | "interesting" | "logged" | "purgeState" | "withDevice" => Some(Bound::One),
        "localVersion" | "versionToUpdate" | "tolerance" => Some(Bound::One),
        "gatewayListOptions.gatewayType"
        | "gatewayListOptions.associationsGatewayId"
        | "gatewayListOptions.associationsDeviceId" => Some(Bound::One),
        _ => EVERYWHERE.contains(&name).then_some(Bound::One),
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    /// Names and values, each value within its limit.
    pairs: Vec<(String, String)>,
    metrics: Metrics,
}

impl Params {
    /// # Errors
    ///
    /// A value exceeds the limit of its parameter.
    pub(crate) fn new(pairs: Vec<(String, String)>, metrics: Metrics) -> Result<Self, Error> {
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (camel(&name), value)).collect();
        for (name, value) in &pairs {
            if bound(name) == Some(Bound::One) {
                let checked = fields::PARAMETER.check_len(name, value.len());
                checked.map_err(|error| Error::from(error).of_field(name))?;
            }
        }
        Ok(Self { pairs, metrics })
    }

    /// Refuses parameters that the call does not have, and those without a limit.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Error> {
        let is_known = |name: &str| (known.contains(&name) && bound(name).is_some()) || EVERYWHERE.contains(&name);
        let unknown = self.pairs.iter().find(|(name, _)| !is_known(name));
        match unknown {
            None => Ok(()),
            Some((name, _)) => {
                let known = if known.is_empty() { "none" } else { &known.join(", ") };
                let text = format!(
                    "Invalid JSON payload received. Unknown name {name:?}: Cannot bind query parameter; this call has {known}"
                );
                Err(Error::invalid(text).of_field(name))
            }
        }
    }

    /// The last value of that name that is not empty.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub(crate) fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of that name, each of them also separated by commas.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.each(name).flat_map(|value| value.split(',')).filter(|value| !value.is_empty()).collect()
    }

    /// The page size: at most `most`, `default` if absent or 0.
    pub(crate) fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, Error> {
        match self.one(name).map(str::parse::<usize>) {
            None | Some(Ok(0)) => Ok(default),
            Some(Ok(number)) if number > max => {
                self.metrics.limit(names::ADMIN_PAGE_ITEMS);
                Ok(max)
            }
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(Error::invalid(format!("{name} must be a whole number that is not negative"))),
        }
    }

    /// A parameter that is true or false; `None` if it is absent.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.one(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Error::invalid(format!("{name} must be true or false, not {other:?}")).of_field(name)),
        }
    }

    pub(crate) fn mask(&self, name: &str) -> Option<Mask> {
        Mask::parse(self.one(name))
    }

    /// The mask of an update, which must not be empty.
    pub(crate) fn update_mask(&self, example: &str) -> Result<Mask, Error> {
        self.mask("updateMask").ok_or_else(|| {
            let text = format!("updateMask is missing: name the fields to change, such as ?updateMask={example}");
            Error::invalid(text).of_field("updateMask")
        })
    }

    /// The answer of a call: enums as names, or as numbers for a caller that asks for them with `$alt=json;enum-encoding=int`.
    pub(crate) fn shown<T: Serialize + JsonSchema + 'static>(&self, answer: &T) -> Value {
        // Types of the API can always be written as JSON, because the keys of their maps are texts.
        let mut shown = serde_json::to_value(answer).unwrap_or_default();
        if self.one("$alt").is_some_and(|alt| alt.split(';').any(|part| part == "enum-encoding=int")) {
            Objects::of::<T>().number(&mut shown);
        }
        shown
    }

    /// A page token that names a place in the journal.
    pub(crate) fn position(&self) -> Result<Option<Position>, Error> {
        let Some(token) = self.one("pageToken") else { return Ok(None) };
        let parts = token.split_once('-').and_then(|(row, index)| Some((row.parse().ok()?, index.parse().ok()?)));
        let (row, index) = parts.ok_or_else(|| bad_token(token))?;
        Ok(Some(Position { row, index }))
    }
}

/// The token that [`Params::position`] reads.
pub(crate) fn token(position: Position) -> String {
    format!("{}-{}", position.row, position.index)
}

pub(crate) fn bad_token(token: &str) -> Error {
    Error::invalid(format!("pageToken {token:?} is not one that this call gave"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_admin_api::GatewayType;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Params::new(pairs, Metrics::default()).unwrap()
    }

    #[test]
    fn parameters_are_known_by_either_spelling() {
        let params = params(&[
            ("page_size", "7"),
            ("deviceIds", "a,b"),
            ("device_ids", "c"),
            ("$alt", "json;enum-encoding=int"),
        ]);
        assert_eq!(params.number("pageSize", 1, 7).unwrap(), 7);
        assert_eq!(params.metrics.limit_hits(names::ADMIN_PAGE_ITEMS), 0);
        assert_eq!(params.number("pageSize", 1, 5).unwrap(), 5);
        assert_eq!(params.metrics.limit_hits(names::ADMIN_PAGE_ITEMS), 1, "it was cut");
        assert_eq!(params.all("deviceIds"), ["a", "b", "c"]);
        assert_eq!(params.shown(&GatewayType::Gateway), 1);
        assert!(params.only(&["pageSize", "deviceIds"]).is_ok());
        let error = params.only(&["deviceIds"]).unwrap_err().text;
        assert!(
            error.ends_with("Unknown name \"pageSize\": Cannot bind query parameter; this call has deviceIds"),
            "{error}"
        );
    }

    #[test]
    fn a_parameter_without_a_bound_is_refused_and_so_is_one_beyond_its_bound() {
        assert!(params(&[("colour", "red")]).only(&["colour"]).is_err(), "it has no bound, whatever the handler says");
        let long = |name: &str, bytes| Params::new(vec![(name.to_owned(), "x".repeat(bytes))], Metrics::default());
        assert!(long("plugin", 4_096).is_ok() && long("deviceIds", 60_000).is_ok());
        let error = long("page_token", 4_097).unwrap_err();
        assert_eq!((error.limit, error.field.as_deref()), (Some(names::ADMIN_PARAMETER_BYTES), Some("pageToken")));
    }

    #[test]
    fn a_page_token_comes_back_as_the_place_it_named() {
        let place = Position { row: 12, index: 3 };
        assert_eq!(params(&[("pageToken", &token(place))]).position().unwrap(), Some(place));
        assert!(params(&[("pageToken", "soon")]).position().is_err());
        assert_eq!(params(&[]).position().unwrap(), None);
    }
}
