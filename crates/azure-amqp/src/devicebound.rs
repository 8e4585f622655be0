//! `/messages/devicebound`: messages that a program sends to devices. Each one becomes a command. It is accepted when the command
//! is durable.

use std::time::Duration;

use fe2o3_amqp::link::{Receiver, delivery::Delivery};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error},
    messaging::{Body, Message, MessageId},
    primitives::{SimpleValue, Value},
};

use crate::{authorization::ConnectionAuth, context::Context};
use switchbox_azure::url_encoding;
use switchbox_core::outbox::{self, NewCommand};
use switchbox_model::{Cause, DeviceId, DeviceName, Property, RegistryName, event::about};
use switchbox_support::clock;

/// How long a message without an expiry time waits for its device.
const DEFAULT_TTL: Duration = Duration::from_secs(3_600);

/// Accepts messages until the link ends, one at a time: while one is being written to the journal, the next ones wait in the
/// socket.
pub(crate) async fn serve(context: &Context, auth: &ConnectionAuth, mut link: Receiver) {
    loop {
        let delivery = match link.recv::<Body<Value>>().await {
            Ok(delivery) => delivery,
            Err(error) => {
                tracing::debug!(%error, "a link for messages to devices ended");
                break;
            }
        };
        let settled = match accept_message(context, auth, &delivery).await {
            Ok(()) => link.accept(&delivery).await,
            Err(error) => link.reject(&delivery, Some(error)).await,
        };
        if settled.is_err() {
            break;
        }
    }
    // The peer may have closed the link already.
    let _ = link.close().await;
}

async fn accept_message(
    context: &Context,
    auth: &ConnectionAuth,
    delivery: &Delivery<Body<Value>>,
) -> Result<(), Error> {
    let authorization = auth.require_service_connect().map_err(|why| error(AmqpError::UnauthorizedAccess, why))?;
    let message = delivery.message();
    let name = addressee(&authorization.registry, message)?;
    let device = context.parts.registry.find(&name);
    let missing = || error(AmqpError::NotFound, format!("device {} is not registered", name.id));
    let device = device.ok_or_else(missing)?;
    let command = command(message)?;
    let cause = Cause::Api { who: format!("hub policy {}", authorization.policy.name()) };
    context.parts.outbox.send_command(&device, command, cause).await.map_err(|why| {
        let condition = match &why {
            outbox::Error::QueueFull { .. } => AmqpError::ResourceLimitExceeded,
            outbox::Error::DeviceGone => AmqpError::NotFound,
            outbox::Error::TooMuch(too_much) => {
                context.parts.metrics.limit(too_much.limit);
                AmqpError::ResourceLimitExceeded
            }
            outbox::Error::Store(_) => AmqpError::InternalError,
            _ => AmqpError::InvalidField,
        };
        error(condition, why.to_string())
    })
}

/// Reads the address `/devices/{d}/messages/devicebound`.
fn addressee(registry: &RegistryName, message: &Message<Body<Value>>) -> Result<DeviceName, Error> {
    let to = message.properties.as_ref().and_then(|properties| properties.to.as_deref()).unwrap_or_default();
    let id = to.trim_start_matches('/').strip_prefix("devices/").and_then(|rest| {
        let (id, rest) = rest.split_once('/')?;
        rest.trim_end_matches('/').eq_ignore_ascii_case("messages/devicebound").then_some(id)
    });
    let wrong = || {
        let to: String = to.chars().take(200).collect();
        error(AmqpError::InvalidField, format!("to is {to:?}, not /devices/DEVICE/messages/devicebound"))
    };
    let id = id.and_then(url_encoding::decode).ok_or_else(wrong)?;
    let id = DeviceId::new(&id).map_err(|why| error(AmqpError::InvalidField, why.to_string()))?;
    Ok(DeviceName { registry: registry.clone(), id })
}

fn command(message: &Message<Body<Value>>) -> Result<NewCommand, Error> {
    let of_sender = message.properties.clone().unwrap_or_default();
    let expires = of_sender.absolute_expiry_time.as_ref().map(|at| u64::try_from(at.milliseconds()).unwrap_or(0));
    let ttl = match expires {
        None => DEFAULT_TTL,
        Some(at_ms) => {
            let left_ms = at_ms.checked_sub(clock::now_ms()).filter(|left_ms| *left_ms > 0);
            let left_ms = left_ms.ok_or_else(|| error(AmqpError::InvalidField, "absolute-expiry-time is in the past"));
            Duration::from_millis(left_ms?)
        }
    };
    let payload = match &message.body {
        Body::Data(parts) => parts.iter().flat_map(|part| part.0.iter().copied()).collect::<Vec<u8>>(),
        Body::Value(value) => match &value.0 {
            Value::String(text) => text.clone().into_bytes(),
            Value::Binary(bytes) => bytes.to_vec(),
            Value::Null => Vec::new(),
            _ => return Err(error(AmqpError::NotImplemented, "the body of a message must be data or text")),
        },
        Body::Empty => Vec::new(),
        Body::Sequence(_) => {
            return Err(error(AmqpError::NotImplemented, "the body of a message must be data or text"));
        }
    };
    let of_message = [
        (about::MESSAGE_ID, of_sender.message_id.as_ref().map(text_of_id)),
        (about::CORRELATION_ID, of_sender.correlation_id.as_ref().map(text_of_id)),
        (about::USER_ID, of_sender.user_id.map(|id| String::from_utf8_lossy(&id).into_owned())),
        (about::CONTENT_TYPE, of_sender.content_type.map(|kind| kind.as_str().to_owned())),
        (about::CONTENT_ENCODING, of_sender.content_encoding.map(|kind| kind.as_str().to_owned())),
    ];
    let of_message = of_message.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut properties: Vec<Property> = of_message.collect();
    for (name, value) in message.application_properties.iter().flat_map(|named| named.0.iter()) {
        properties.push((name.clone(), text(value)));
    }
    let number = getrandom::u64().map_err(|why| error(AmqpError::InternalError, why.to_string()))?;
    let id = format!("hub.{number:016x}");
    Ok(NewCommand { id, subfolder: String::new(), payload: payload.into(), properties, ttl })
}

/// The text of a property: properties of commands are text.
fn text(value: &SimpleValue) -> String {
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

fn text_of_id(id: &MessageId) -> String {
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

fn error(condition: AmqpError, text: impl Into<String>) -> Error {
    Error::new(condition, Some(text.into()), None)
}
