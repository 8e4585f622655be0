//! What a publish on a device's topic holds, or why it is refused. Never says whose topic it is.

use super::{
    packet::{Publish, reason},
    will::user_properties,
};
use crate::{
    dialect::iot_core::{self, Refused},
    metrics::Metrics,
    model::{
        EventData,
        limits::{self, LimitName, names},
    },
};

/// What a publish on a device's topic holds.
pub(super) enum Content {
    Event(EventData),
    Answer { rid: u64, status: u16, payload: bytes::Bytes },
}

pub(super) struct Refusal {
    pub(super) reason: u8,
    pub(super) text: &'static str,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let text = match refused {
            Refused::NoDevice => "only a registered device may use topics under /devices/",
            Refused::OtherDevice => "a device may use its own topics only",
            Refused::Unknown => "there is no such topic under /devices/",
            Refused::Answer => "an answer's topic must end with the request id and a status from 100 to 599",
        };
        Self { reason: reason::NOT_AUTHORISED, text }
    }
}

/// Reads what was published on a topic of this meaning.
pub(super) fn content(metrics: &Metrics, meaning: iot_core::Publish<'_>, publish: Publish) -> Result<Content, Refusal> {
    let size = publish.payload.len();
    match meaning {
        iot_core::Publish::Event { subfolder } => {
            within(
                metrics,
                size,
                (limits::TELEMETRY_BYTES, names::TELEMETRY_BYTES, "the payload is larger than 256 KiB"),
            )?;
            let (payload, properties) = (publish.payload, user_properties(publish.properties));
            Ok(Content::Event(EventData::Telemetry { subfolder: subfolder.to_owned(), payload, properties }))
        }
        iot_core::Publish::State => {
            within(metrics, size, (limits::STATE_BYTES, names::STATE_BYTES, "the state is larger than 64 KiB"))?;
            Ok(Content::Event(EventData::State { version: 0, payload: publish.payload }))
        }
        iot_core::Publish::Answer { rid, status } => {
            within(metrics, size, (limits::METHOD_BYTES, names::METHOD_BYTES, "the answer is larger than 256 KiB"))?;
            answer(publish, rid, status)
        }
        iot_core::Publish::Refused(refused) => Err(refused.into()),
        iot_core::Publish::Control(_) | iot_core::Publish::Ordinary => Err(Refused::Unknown.into()),
    }
}

pub(super) fn within(
    metrics: &Metrics,
    size: usize,
    (most, name, text): (usize, LimitName, &'static str),
) -> Result<(), Refusal> {
    if size <= most {
        return Ok(());
    }
    metrics.limit(name);
    Err(Refusal { reason: reason::QUOTA, text })
}

/// What the topic does not say stands in the correlation data and in the user property `status`; no status is 200.
fn answer(publish: Publish, rid: Option<u64>, status: Option<u16>) -> Result<Content, Refusal> {
    let properties = publish.properties.unwrap_or_default();
    let correlated = || std::str::from_utf8(properties.correlation.as_deref()?).ok()?.parse().ok();
    let stated = properties.user.iter().find(|(name, _)| name == "status");
    let status = status.or_else(|| stated.map_or(Some(200), |(_, status)| status.parse().ok()));
    match (rid.or_else(correlated), status.filter(|status| iot_core::is_status(*status))) {
        (Some(rid), Some(status)) => Ok(Content::Answer { rid, status, payload: publish.payload }),
        _ => Err(Refused::Answer.into()),
    }
}
