//! Reads what a client's message contains: its payload, and its properties as text.

use bytes::Bytes;
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error},
    messaging::{Body, Message, MessageId, annotations::OwnedKey},
    primitives::{SimpleValue, Value},
};

use crate::error::error;
use switchbox_model::{Property, event::about};
use switchbox_support::clock;

/// The bytes of data, or of a text.
pub(crate) fn payload(body: &Body<Value>) -> Result<Bytes, Error> {
    match body {
        Body::Data(parts) => Ok(parts.iter().flat_map(|part| part.0.iter().copied()).collect()),
        Body::Value(value) => match &value.0 {
            Value::String(text) => Ok(text.clone().into()),
            Value::Binary(bytes) => Ok(bytes.to_vec().into()),
            Value::Null => Ok(Bytes::new()),
            _ => Err(error(AmqpError::NotImplemented, "the body of a message must be data or text")),
        },
        Body::Empty => Ok(Bytes::new()),
        Body::Sequence(_) => Err(error(AmqpError::NotImplemented, "the body of a message must be data or text")),
    }
}

/// What the message says of itself, under the host's names, then its application properties.
pub(crate) fn properties(message: &Message<Body<Value>>) -> Vec<Property> {
    let of_sender = message.properties.clone().unwrap_or_default();
    let of_message = [
        (about::MESSAGE_ID, of_sender.message_id.as_ref().map(text_of_id)),
        (about::CORRELATION_ID, of_sender.correlation_id.as_ref().map(text_of_id)),
        (about::USER_ID, of_sender.user_id.map(|id| String::from_utf8_lossy(&id).into_owned())),
        (about::CONTENT_TYPE, of_sender.content_type.map(|kind| kind.as_str().to_owned())),
        (about::CONTENT_ENCODING, of_sender.content_encoding.map(|kind| kind.as_str().to_owned())),
        (about::CREATION_TIME, of_sender.creation_time.map(|at| text(&SimpleValue::Timestamp(at)))),
        (about::COMPONENT, annotation(message, "dt-subject").map(str::to_owned)),
    ];
    let of_message = of_message.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let named = message.application_properties.iter().flat_map(|named| named.0.iter());
    of_message.chain(named.map(|(name, value)| (name.clone(), text(value)))).collect()
}

/// The text of an annotation. Returns `None` if there is none, or if it is not text.
pub(crate) fn annotation<'a>(message: &'a Message<Body<Value>>, name: &str) -> Option<&'a str> {
    let annotations = message.message_annotations.as_ref()?;
    let is_named = |key: &OwnedKey| matches!(key, OwnedKey::Symbol(key) if key.as_str() == name);
    match annotations.0.iter().find(|(key, _)| is_named(key))?.1 {
        Value::String(text) => Some(text),
        Value::Symbol(text) => Some(text.as_str()),
        _ => None,
    }
}

/// The text of a property: the properties of events and commands are text.
pub(crate) fn text(value: &SimpleValue) -> String {
    match value {
        SimpleValue::Null => String::new(),
        SimpleValue::Bool(value) => value.to_string(),
        SimpleValue::Ubyte(value) => value.to_string(),
        SimpleValue::Ushort(value) => value.to_string(),
        SimpleValue::Uint(value) => value.to_string(),
        SimpleValue::Ulong(value) => value.to_string(),
        SimpleValue::Byte(value) => value.to_string(),
        SimpleValue::Short(value) => value.to_string(),
        SimpleValue::Int(value) => value.to_string(),
        SimpleValue::Long(value) => value.to_string(),
        SimpleValue::Float(value) => value.to_string(),
        SimpleValue::Double(value) => value.to_string(),
        SimpleValue::Char(value) => value.to_string(),
        SimpleValue::Timestamp(at) => clock::rfc3339(u64::try_from(at.milliseconds()).unwrap_or(0)),
        SimpleValue::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        SimpleValue::String(text) => text.clone(),
        SimpleValue::Symbol(text) => text.as_str().to_owned(),
        other => format!("{other:?}"),
    }
}

/// A number in decimal digits, a UUID in its usual form.
pub(crate) fn text_of_id(id: &MessageId) -> String {
    match id {
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => {
            let hex: String = uuid.as_inner().iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
            parts.join("-")
        }
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        MessageId::String(text) => text.clone(),
    }
}
