//! Converts an event to an AMQP message: system properties become annotations and AMQP properties, application properties stay
//! application properties.

use fe2o3_amqp_types::{
    definitions::SenderSettleMode,
    messaging::{
        ApplicationProperties, Data, Message, MessageAnnotations, MessageId, Properties, annotations::OwnedKey,
    },
    primitives::{Binary, OrderedMap, SimpleValue, Symbol, Timestamp, Value},
};

use crate::{reader::DeviceEvent, selector::Term};
use switchbox_model::{Event, EventData, Property, event::about};
use switchbox_support::clock;

const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
const OFFSET: &str = "x-opt-offset";
const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
const DEVICE_ID: &str = "iothub-connection-device-id";
/// The most annotations of an event.
const ANNOTATIONS: usize = 8;
/// How many events were trimmed from the journal before the reader reached them. It is an annotation of the first message after the
/// gap.
const MISSED_EVENTS: &str = "x-opt-switchbox-missed";

/// The annotations of an event that a selector can compare, as text.
fn annotation(found: &DeviceEvent, name: &str) -> Option<String> {
    match name {
        SEQUENCE_NUMBER | OFFSET => Some(found.event.seq.0.to_string()),
        ENQUEUED_TIME | "iothub-enqueuedtime" => Some(found.event.time_ms.to_string()),
        DEVICE_ID => Some(found.device.name.id.to_string()),
        "iothub-message-source" => Some(SOURCE.into()),
        "iothub-connection-auth-generation-id" => Some(found.device.num.num_id().to_string()),
        _ => None,
    }
}

const SOURCE: &str = "Telemetry";

/// Whether all comparisons hold. A comparison of an annotation that the event does not have is false.
pub(crate) fn matches(found: &DeviceEvent, terms: &[Term]) -> bool {
    terms.iter().all(|term| annotation(found, &term.annotation).is_some_and(|value| term.holds(&value)))
}

pub(crate) fn message(found: DeviceEvent, missed: u64) -> Message<Data> {
    let mut annotations = annotations(&found, missed);
    let Event { data, .. } = found.event;
    let EventData::Telemetry { subfolder, payload, properties } = data else { return of(annotations, Vec::new()) };
    let subfolder = (!subfolder.is_empty()).then(|| ("subFolder".to_owned(), subfolder));
    let (system, application) = split_properties(properties.into_iter().chain(subfolder), &mut annotations);
    let mut message = of(annotations, payload.to_vec());
    message.properties = Some(system);
    message.application_properties = application;
    message
}

/// Whether the host may send messages settled: a client that asks for unsettled ones only would count them as wrong.
pub(crate) fn may_settle(settle: &SenderSettleMode) -> bool {
    !matches!(settle, SenderSettleMode::Unsettled)
}

/// What the message says of itself, and its application properties. What AMQP has no property for is added to the annotations, a time that
/// is not one to the application properties.
pub(crate) fn split_properties(
    properties: impl Iterator<Item = Property>,
    annotations: &mut MessageAnnotations,
) -> (Properties, Option<ApplicationProperties>) {
    let mut annotate = |name, value| drop(annotations.0.insert(symbol(name), Value::String(value)));
    let (mut system, mut application) = (Properties::default(), OrderedMap::new());
    for (name, value) in properties {
        match name.as_str() {
            about::MESSAGE_ID => system.message_id = Some(MessageId::String(value)),
            about::CORRELATION_ID => system.correlation_id = Some(MessageId::String(value)),
            about::USER_ID => system.user_id = Some(Binary::from(value.into_bytes())),
            about::CONTENT_TYPE => system.content_type = Some(Symbol::from(value)),
            about::CONTENT_ENCODING => system.content_encoding = Some(Symbol::from(value)),
            about::COMPONENT => annotate("dt-subject", value),
            about::INTERFACE => annotate("iothub-interface-id", value),
            name @ (about::CREATION_TIME | about::EXPIRY_TIME) if let Some(ms) = clock::parse_rfc3339(&value) => {
                let is_creation = name == about::CREATION_TIME;
                let place = if is_creation { &mut system.creation_time } else { &mut system.absolute_expiry_time };
                *place = Some(timestamp(ms));
            }
            _ => drop(application.insert(name, SimpleValue::String(value))),
        }
    }
    (system, (!application.is_empty()).then_some(ApplicationProperties(application)))
}

/// A time in milliseconds since the Unix epoch.
pub(crate) fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from_milliseconds(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// The key of an annotation.
pub(crate) fn symbol(name: &str) -> OwnedKey {
    OwnedKey::Symbol(Symbol::from(name))
}

fn of(annotations: MessageAnnotations, payload: Vec<u8>) -> Message<Data> {
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: Some(annotations),
        properties: None,
        application_properties: None,
        body: Data(Binary::from(payload)),
        footer: None,
    }
}

fn annotations(found: &DeviceEvent, missed: u64) -> MessageAnnotations {
    let (seq, time_ms) = (found.event.seq.0, found.event.time_ms);
    let time = || Value::Timestamp(timestamp(time_ms));
    let text = |text: &str| Value::String(text.to_owned());
    let mut annotations = OrderedMap::with_capacity(ANNOTATIONS);
    let mut put = |name: &str, value: Value| drop(annotations.insert(symbol(name), value));
    put(SEQUENCE_NUMBER, Value::Long(i64::try_from(seq).unwrap_or(i64::MAX)));
    put(OFFSET, Value::String(seq.to_string()));
    put(ENQUEUED_TIME, time());
    put(DEVICE_ID, text(found.device.name.id.as_str()));
    put("iothub-connection-auth-generation-id", Value::String(found.device.num.num_id().to_string()));
    put("iothub-enqueuedtime", time());
    put("iothub-message-source", text(SOURCE));
    if missed > 0 {
        put(MISSED_EVENTS, Value::Long(i64::try_from(missed).unwrap_or(i64::MAX)));
    }
    MessageAnnotations(annotations)
}
