//! A twin in the bodies of calls: what a caller sets, as one change of the device.

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    error::ServiceError,
    members::{self, Members},
    tags,
};
use switchbox_core::{registry::Device, twin};
use switchbox_model::{
    Cause,
    twin_change::{DocumentChange, TagsChange, TwinChange},
};
use switchbox_rules::json::Invalid;
use switchbox_support::clock;

const TAGS: &str = "tags";
const DESIRED: &str = "properties.desired";

/// What a caller may change. Reported and the fields that the host sets are accepted and ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TwinIn {
    pub(crate) tags: Option<Members>,
    pub(crate) properties: Option<PropertiesIn>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PropertiesIn {
    desired: Option<Members>,
}

/// `field`: where they are in the body.
fn bytes(field: &str, set: &Members) -> Result<Bytes, ServiceError> {
    let invalid = |problem: Invalid| ServiceError::invalid(format!("{field}: {problem}"));
    members::text(set).map(Bytes::from).map_err(invalid)
}

impl TwinIn {
    /// Desired without `$metadata` and `$version`.
    fn desired(&self) -> Result<Option<Members>, ServiceError> {
        let Some(desired) = self.properties.as_ref().and_then(|properties| properties.desired.as_ref()) else {
            return Ok(None);
        };
        let mut desired = desired.clone();
        ["$metadata", "$version"].into_iter().for_each(|name| drop(desired.remove(name)));
        match desired.keys().find(|name| name.starts_with('$')) {
            Some(name) => Err(ServiceError::invalid(format!("{DESIRED}: a name cannot begin with $: {name:?}"))),
            None => Ok(Some(desired)),
        }
    }

    /// The tags of a new device, as the text of its metadata.
    pub(crate) fn first_tags(&self) -> Result<Option<String>, ServiceError> {
        self.tags.as_ref().map_or(Ok(None), tags::first)
    }

    /// The config of a new device.
    pub(crate) fn first_config(&self) -> Result<Option<Bytes>, ServiceError> {
        let Some(desired) = self.desired()? else { return Ok(None) };
        let patched = twin::patched(b"", &bytes(DESIRED, &desired)?);
        patched.map_err(|problem| ServiceError::invalid(format!("{DESIRED}: {problem}")))
    }

    /// Merges what the caller set into the tags and into desired. Returns `None` if the caller set nothing.
    pub(crate) fn merged(&self, device: &Device, cause: Cause) -> Result<Option<TwinChange>, ServiceError> {
        let tags = self.tags.as_ref().filter(|tags| !tags.is_empty()).map(|tags| bytes(TAGS, tags)).transpose()?;
        let desired = self.desired()?.filter(|desired| !desired.is_empty());
        let desired = desired.map(|desired| bytes(DESIRED, &desired)).transpose()?;
        let (tags, desired) = (tags.map(DocumentChange::Merged), desired.map(DocumentChange::Merged));
        Ok((tags.is_some() || desired.is_some()).then(|| change(device, tags, desired, cause)))
    }

    /// Replaces all tags and all of desired. What the caller did not set becomes empty.
    pub(crate) fn replaced(&self, device: &Device, cause: Cause) -> Result<TwinChange, ServiceError> {
        let tags = DocumentChange::Replaced(bytes(TAGS, &self.tags.clone().unwrap_or_default())?);
        let desired = DocumentChange::Replaced(bytes(DESIRED, &self.desired()?.unwrap_or_default())?);
        Ok(change(device, Some(tags), Some(desired), cause))
    }
}

fn change(device: &Device, tags: Option<DocumentChange>, desired: Option<DocumentChange>, cause: Cause) -> TwinChange {
    let tags = tags.map(|change| TagsChange { key: tags::KEY.to_owned(), change });
    TwinChange { num: device.num, expected: None, tags, desired, cause, time_ms: clock::now_ms() }
}
