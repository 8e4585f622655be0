//! A message on an ordinary topic, as it travels from one client to others.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::event::Property;

/// How sure a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum QoS {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS of a number. Returns `None` if there is none.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce].into_iter().find(|qos| *qos as u8 == number)
    }
}

/// A published message. All receivers share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: Arc<str>,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    /// When the message expires. It is not delivered after this.
    pub expires: Option<Instant>,
    pub properties: Option<Box<MessageProperties>>,
}

/// What a publisher says of its payload (MQTT 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PayloadFormat {
    /// Nothing.
    #[default]
    Unstated,
    Utf8,
    /// That it does not say.
    Unspecified,
}

/// What MQTT 5 passes on unaltered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageProperties {
    pub format: PayloadFormat,
    pub content_type: Option<Box<str>>,
    pub response_topic: Option<Box<str>>,
    pub correlation: Option<Bytes>,
    pub user: Vec<Property>,
}

impl Message {
    /// A plain message: QoS 0, not retained, no properties.
    #[must_use]
    pub fn new(topic: &str, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            expires: None,
            properties: None,
        }
    }

    /// About how much memory it holds, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |p| {
            p.user.iter().map(|(k, v)| k.len() + v.len() + 48).sum::<usize>()
                + p.content_type.as_ref().map_or(0, |t| t.len())
                + p.response_topic.as_ref().map_or(0, |t| t.len())
                + p.correlation.as_ref().map_or(0, Bytes::len)
                + size_of::<MessageProperties>()
        });
        self.topic.len() + self.payload.len() + properties + size_of::<Self>()
    }

    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}
