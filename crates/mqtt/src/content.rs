//! Reads the content of a publish on a device's topic, or refuses it. Does not decide whose topic it is.

use std::borrow::Cow;

use super::will::properties;
use crate::dialect::{self, TopicRefusal};
use switchbox_core::ingest::NewEvent;
use switchbox_model::{EventData, PayloadLimit, PayloadLimits, QoS};
use switchbox_mqtt_codec::{fault::reason, packet::Publish};
use switchbox_support::metrics::Metrics;

/// The content of a publish on a device's topic.
pub(super) enum Content {
    Event(NewEvent),
    /// An answer to the method call with this request id.
    Answer {
        rid: u64,
        status: i64,
        payload: bytes::Bytes,
    },
}

/// Why a publish is refused.
pub(super) struct PublishRefusal {
    /// The reason code of MQTT 5.
    pub(super) reason: u8,
    pub(super) text: &'static str,
    /// If the payload was too large: its bytes, and the limit.
    too_large: Option<(usize, PayloadLimit)>,
}

impl PublishRefusal {
    pub(super) const fn new(reason: u8, text: &'static str) -> Self {
        Self { reason, text, too_large: None }
    }

    pub(super) const fn not_authorised(text: &'static str) -> Self {
        Self::new(reason::NOT_AUTHORISED, text)
    }

    /// The kind of the refusal: log lines are limited for each client and kind.
    pub(super) fn kind(&self) -> &'static str {
        self.too_large.map_or("publish", |(_, limit)| limit.limit.as_str())
    }

    /// The text with the sizes and the setting, for the log.
    pub(super) fn text_with_sizes(&self) -> Cow<'static, str> {
        let Some((size, PayloadLimit { bytes, limit, setting, .. })) = self.too_large else { return self.text.into() };
        let setting = if setting.is_empty() { "none: it is fixed" } else { setting };
        format!("{}: it has {size} bytes, at most {bytes} are taken (limit: {limit}, setting: {setting})", self.text)
            .into()
    }
}

impl From<TopicRefusal> for PublishRefusal {
    fn from(refused: TopicRefusal) -> Self {
        Self::not_authorised(refused.text())
    }
}

/// Reads what was published on a topic with this meaning.
pub(super) fn content(
    metrics: &Metrics,
    payloads: &PayloadLimits,
    meaning: dialect::Publish<'_>,
    publish: Publish,
) -> Result<Content, PublishRefusal> {
    let (size, durable) = (publish.payload.len(), publish.qos != QoS::AtMostOnce);
    match meaning {
        dialect::Publish::Event { subfolder, properties: mut in_topic } => {
            check_size(metrics, size, payloads.telemetry())?;
            let (payload, subfolder) = (publish.payload, subfolder.to_owned());
            let mut properties = properties(publish.properties);
            properties.append(&mut in_topic);
            Ok(Content::Event(NewEvent::new(durable, EventData::Telemetry { subfolder, payload, properties })))
        }
        dialect::Publish::State => {
            check_size(metrics, size, payloads.state())?;
            let traced = publish.properties.as_ref().zip(metrics.traces.on());
            let trace = traced.and_then(|(properties, traces)| traces.named(&properties.user)).map(Box::new);
            let data = EventData::State { version: 0, payload: publish.payload };
            Ok(Content::Event(NewEvent { durable, data, trace }))
        }
        dialect::Publish::Answer { rid, status } => {
            check_size(metrics, size, payloads.answer())?;
            answer(publish, rid, status)
        }
        dialect::Publish::Refused(refused) => Err(refused.into()),
        dialect::Publish::Control(_)
        | dialect::Publish::Ordinary
        | dialect::Publish::GetTwin { .. }
        | dialect::Publish::Register { .. }
        | dialect::Publish::RegistrationStatus { .. }
        | dialect::Publish::StatePatch { .. } => Err(TopicRefusal::Unknown.into()),
    }
}

/// Checks a payload's size in bytes. Counts one that is over the limit.
pub(super) fn check_size(metrics: &Metrics, size: usize, limit: PayloadLimit) -> Result<(), PublishRefusal> {
    if size <= limit.bytes {
        return Ok(());
    }
    metrics.limit(limit.limit);
    Err(PublishRefusal { reason: reason::QUOTA, text: limit.text, too_large: Some((size, limit)) })
}

/// Reads an answer to a method call. If the topic has no request id or status, they are read from the correlation data and the user
/// property `status`; the default status is 200.
fn answer(publish: Publish, rid: Option<u64>, status: Option<i64>) -> Result<Content, PublishRefusal> {
    let properties = publish.properties.unwrap_or_default();
    let rid_of_correlation = || std::str::from_utf8(properties.correlation.as_deref()?).ok()?.parse().ok();
    let status_property = properties.user.iter().find(|(name, _)| name == "status");
    let status_of_property = || status_property.map_or(Some(200), |(_, status)| status.parse().ok());
    match (rid.or_else(rid_of_correlation), status.or_else(status_of_property)) {
        (Some(rid), Some(status)) => Ok(Content::Answer { rid, status, payload: publish.payload }),
        _ => Err(TopicRefusal::Answer.into()),
    }
}
