//! Paths to values in a twin.

use serde_json::Value;

use crate::{bounds::MAX_PATH, error::QueryError};

/// The fields of a device besides its documents. Their names are case-insensitive, as in Azure.
const FIELDS: [&str; 17] = [
    "deviceId",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "connectionStateUpdatedTime",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "capabilities",
    "version",
    "modelId",
    "tags",
    "properties",
];

/// The documents of a device that a query uses, so that the caller reads no others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NeededDocuments {
    pub tags: bool,
    pub desired: bool,
    pub reported: bool,
}

impl NeededDocuments {
    pub(crate) const ALL: Self = Self { tags: true, desired: true, reported: true };

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            tags: self.tags || other.tags,
            desired: self.desired || other.desired,
            reported: self.reported || other.reported,
        }
    }
}

/// Names from the top of the twin down to a value; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<String>);

impl Path {
    pub(crate) fn new(mut names: Vec<String>, at: usize) -> Result<Self, QueryError> {
        if names.len() > MAX_PATH {
            return Err(QueryError::too_much(Some(at), format!("a path has more than {MAX_PATH} names")));
        }
        let first = names.first_mut().ok_or_else(|| QueryError::at(at, "a name is missing"))?;
        let field = FIELDS.iter().find(|field| field.eq_ignore_ascii_case(first));
        let Some(field) = field else {
            let all = FIELDS.join(", ");
            return Err(QueryError::at(at, format!("devices have no property {first}; there are {all}")));
        };
        *first = (*field).to_owned();
        if names.iter().any(|name| name == "$metadata") {
            return Err(QueryError::at(at, "$metadata cannot be queried; the whole twin has it"));
        }
        let path = Self(names);
        match (*field, path.0.get(1).map(String::as_str)) {
            ("properties", Some("desired" | "reported") | None) => Ok(path),
            ("properties", Some(other)) => {
                Err(QueryError::at(at, format!("properties are desired and reported; there is no {other}")))
            }
            _ => Ok(path),
        }
    }

    /// The column name of a selected value without AS.
    pub(crate) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The value at the path. Returns `None` if it is undefined.
    pub(crate) fn of<'v>(&self, twin: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(twin, |value, name| value.as_object()?.get(name))
    }

    pub(crate) fn needs(&self) -> NeededDocuments {
        let (first, second) = (self.0.first().map(String::as_str), self.0.get(1).map(String::as_str));
        let properties = first == Some("properties");
        NeededDocuments {
            tags: first == Some("tags"),
            desired: properties && second != Some("reported"),
            reported: properties && second != Some("desired"),
        }
    }

    #[cfg(test)]
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}
