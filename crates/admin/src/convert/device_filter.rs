//! The filters of a list of devices that Google's API does not have.

use super::Params;
use crate::error::Error;
use switchbox_admin_api::Time;
use switchbox_core::{
    registry::Device,
    twin::{self, Tolerance},
};

/// An absent part matches all devices.
#[derive(Debug, Default)]
pub(crate) struct DeviceFilter {
    /// A part of the id, or of a key or a value of the metadata, in lower case.
    search: Option<String>,
    connected: Option<bool>,
    blocked: Option<bool>,
    differs: Option<bool>,
    /// A key of the metadata, and the value that it must have; `None` matches any value.
    metadata: Vec<(String, Option<String>)>,
    /// Devices that sent something at that time or later, milliseconds since the Unix epoch.
    seen_since_ms: Option<u64>,
    /// Devices that sent nothing at that time or later, in the same unit.
    seen_before_ms: Option<u64>,
}

impl DeviceFilter {
    /// # Errors
    ///
    /// A parameter is invalid.
    pub(crate) fn read(params: &Params) -> Result<Self, Error> {
        // A value may have commas.
        let metadata = params.each("metadata").map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (pair.to_owned(), None),
        });
        Ok(Self {
            search: params.one("search").map(str::to_lowercase),
            connected: params.flag("connected")?,
            blocked: params.flag("blocked")?,
            differs: params.flag("differs")?,
            metadata: metadata.collect(),
            seen_since_ms: time(params, "seenSince")?,
            seen_before_ms: time(params, "seenBefore")?,
        })
    }

    /// What costs most comes last.
    pub(crate) fn takes(&self, device: &Device, is_connected: impl Fn() -> bool) -> bool {
        let spec = device.spec();
        self.blocked.is_none_or(|blocked| spec.blocked == blocked)
            && self.connected.is_none_or(|connected| is_connected() == connected)
            && self.seen_since_ms.is_none_or(|since| last_seen_ms(device).is_some_and(|seen| seen >= since))
            && self.seen_before_ms.is_none_or(|before| last_seen_ms(device).is_none_or(|seen| seen < before))
            && self.metadata.iter().all(|(key, value)| {
                spec.metadata.get(key).is_some_and(|had| value.as_ref().is_none_or(|requested| had == requested))
            })
            && self.search.as_deref().is_none_or(|search| {
                let has = |text: &str| text.to_lowercase().contains(search);
                has(device.name.id.as_str()) || spec.metadata.iter().any(|(key, value)| has(key) || has(value))
            })
            && self.differs.is_none_or(|differs| self::differs(device) == differs)
    }
}

fn time(params: &Params, name: &str) -> Result<Option<u64>, Error> {
    let time = params.one(name).map(str::parse::<Time>).transpose();
    time.map(|time| time.map(|time| time.0)).map_err(|error| Error::invalid(format!("{name} {error}")))
}

fn last_seen_ms(device: &Device) -> Option<u64> {
    let seen = device.seen();
    seen.event_ms.max(seen.heartbeat_ms).max(device.state().map(|state| state.time_ms))
}

fn differs(device: &Device) -> bool {
    let tolerance = twin::tolerance(&device.spec().metadata).unwrap_or(Tolerance::EXACT);
    let (config, state) = (device.config(), device.state());
    twin::differs(
        config.as_ref().map(|config| config.payload.as_ref()),
        state.as_ref().map(|state| state.payload.as_ref()),
        tolerance,
    )
}
