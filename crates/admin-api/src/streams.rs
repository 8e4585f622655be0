//! Items of streams (server-sent events): `event:` has an item's name, `data:` its JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    history::{Event, Execution},
    topics::TopicMessage,
};

/// An item of `/v1/events:follow`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "event", content = "data")]
pub enum JournalItem {
    Event(Box<Event>),
    Execution(Box<Execution>),
    /// The follower is too slow, so events were left out.
    Missed(Missed),
    Sampled(Sampled),
}

/// An item of `/v1/topics:follow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "event", content = "data")]
pub enum TopicItem {
    Message(TopicMessage),
    Sampled(Sampled),
}

/// What a follower missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Missed {
    /// The number of events, whether they match the filter or not.
    pub events: u64,
}

/// The items before this one are a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampled {
    /// The number of items that were left out.
    pub left_out: u64,
}

/// The item of a stream as a server sends it.
pub trait StreamItem {
    /// The name, and the data as JSON.
    fn parts(&self) -> serde_json::Result<(&'static str, String)>;
}

impl StreamItem for JournalItem {
    fn parts(&self) -> serde_json::Result<(&'static str, String)> {
        Ok(match self {
            Self::Event(event) => ("event", serde_json::to_string(event)?),
            Self::Execution(execution) => ("execution", serde_json::to_string(execution)?),
            Self::Missed(missed) => ("missed", serde_json::to_string(missed)?),
            Self::Sampled(sampled) => ("sampled", serde_json::to_string(sampled)?),
        })
    }
}

impl StreamItem for TopicItem {
    fn parts(&self) -> serde_json::Result<(&'static str, String)> {
        Ok(match self {
            Self::Message(message) => ("message", serde_json::to_string(message)?),
            Self::Sampled(sampled) => ("sampled", serde_json::to_string(sampled)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use switchbox_model::EventKind;

    use super::*;
    use crate::scalars::{Int64, Time};

    fn sent(item: &(impl StreamItem + Serialize)) -> Value {
        let (name, data) = item.parts().unwrap();
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(serde_json::to_value(item).unwrap(), json!({"event": name, "data": data}));
        data
    }

    #[test]
    fn an_item_is_sent_as_its_type_says() {
        assert_eq!(sent(&JournalItem::Missed(Missed { events: 3 })), json!({"events": 3}));
        assert_eq!(sent(&JournalItem::Sampled(Sampled { left_out: 3 })), json!({"leftOut": 3}));
        let event = Event::new(Int64(5), Time(0), EventKind::Telemetry, true);
        assert_eq!(sent(&JournalItem::Event(Box::new(event)))["kind"], "telemetry");
        assert_eq!(sent(&TopicItem::Sampled(Sampled { left_out: 1 })), json!({"leftOut": 1}));
        assert_eq!(sent(&TopicItem::Message(TopicMessage::default()))["topic"], "");
    }
}
