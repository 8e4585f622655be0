//! `/messages/devicebound`: messages that a program sends to devices. Each one becomes a command. It is accepted when the command
//! is durable.

use std::time::Duration;

use fe2o3_amqp::link::{Receiver, delivery::Delivery};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error},
    messaging::{Body, Message},
    primitives::Value,
};

use crate::{authorization::ConnectionAuth, context::Context, error::error, incoming};
use switchbox_azure::url_encoding;
use switchbox_core::outbox::{self, NewCommand};
use switchbox_model::{Cause, DeviceId, DeviceName, RegistryName};
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
    let program = auth.require_service_connect().map_err(|why| error(AmqpError::UnauthorizedAccess, why))?;
    let message = delivery.message();
    let name = addressee(&program.registry, message)?;
    let device = context.handles.registry.find(&name);
    let missing = || error(AmqpError::NotFound, format!("device {} is not registered", name.id));
    let device = device.ok_or_else(missing)?;
    let command = command(message)?;
    let cause = Cause::Api { caller: format!("hub policy {}", program.policy.name()) };
    context.handles.outbox.send_command(&device, command, cause).await.map_err(|why| {
        let condition = match &why {
            outbox::Error::QueueFull { .. } => AmqpError::ResourceLimitExceeded,
            outbox::Error::DeviceGone => AmqpError::NotFound,
            outbox::Error::TooMuch(too_much) => {
                context.handles.metrics.limit(too_much.limit);
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
    let expires = message.properties.as_ref().and_then(|properties| properties.absolute_expiry_time.as_ref());
    let expires = expires.map(|at| u64::try_from(at.milliseconds()).unwrap_or(0));
    let ttl = match expires {
        None => DEFAULT_TTL,
        Some(at_ms) => {
            let left_ms = at_ms.checked_sub(clock::now_ms()).filter(|left_ms| *left_ms > 0);
            let left_ms = left_ms.ok_or_else(|| error(AmqpError::InvalidField, "absolute-expiry-time is in the past"));
            Duration::from_millis(left_ms?)
        }
    };
    let payload = incoming::payload(&message.body)?;
    let properties = incoming::properties(message);
    let number = getrandom::u64().map_err(|why| error(AmqpError::InternalError, why.to_string()))?;
    let id = format!("hub.{number:016x}");
    Ok(NewCommand { id, subfolder: String::new(), payload, properties, ttl })
}
