//! `/devices/{d}/messages/events`: each message becomes telemetry of the device, and is accepted when it is on the disk. A message can
//! contain others, as the SDK for .NET sends them: each becomes telemetry, and all are accepted or refused together.

use std::collections::VecDeque;

use fe2o3_amqp::link::{
    Receiver,
    delivery::{Delivery, DeliveryInfo},
    receiver::CreditMode,
};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error, LinkError},
    messaging::{Body, Message, message::DecodeIntoMessage as _},
    primitives::Value,
};
use serde_amqp::read::SliceReader;
use tokio::sync::oneshot;

use super::connection::DeviceConnection;
use crate::{context::Context, error::error, frame_check, incoming};
use switchbox_azure::properties::MAX_PAIRS;
use switchbox_core::ingest::{self, NewEvent};
use switchbox_model::{EventData, limits::fields};
use switchbox_store::QueueShare;

/// Messages of a link that may be on their way to the disk at the same time.
const MAX_UNWRITTEN: usize = 64;
/// Messages that a device may send before the host has read them.
const CREDIT: u32 = 32;
/// The format of a message with others: each is a data section.
const BATCH_FORMAT: u32 = 0x8001_3700;

type Written = oneshot::Receiver<Result<(), ingest::Error>>;

/// Runs until the link ends, or the journal cannot be written.
pub(super) async fn serve(context: &Context, connection: &DeviceConnection, mut link: Receiver) {
    // The library begins with more.
    link.set_credit_mode(CreditMode::Auto(CREDIT));
    let mut unwritten: VecDeque<(DeliveryInfo, Written)> = VecDeque::new();
    loop {
        let has_room = unwritten.len() < MAX_UNWRITTEN;
        let oldest = unwritten.front_mut();
        let is_waiting = oldest.is_some();
        tokio::select! {
            written = async { oldest.map(|(_, written)| written)?.await.ok() }, if is_waiting => {
                let Some((info, _)) = unwritten.pop_front() else { continue };
                if let Err(why) = written.unwrap_or(Err(ingest::Error::Closed)) {
                    return drop(link.close_with_error(error(AmqpError::InternalError, why.to_string())).await);
                }
                if link.accept(info).await.is_err() {
                    break;
                }
            }
            received = link.recv::<Body<Value>>(), if has_room => {
                let Ok(delivery) = received else { break };
                let settled = match submit(context, connection, &delivery).await {
                    Ok(written) => {
                        unwritten.push_back(((&delivery).into(), written));
                        Ok(())
                    }
                    Err(why) => link.reject(&delivery, Some(why)).await,
                };
                if settled.is_err() {
                    break;
                }
            }
        }
    }
    // The peer may have closed the link already.
    let _ = link.close().await;
}

/// Submits a message to the journal. Waits for room there, which slows a fast device down.
async fn submit(
    context: &Context,
    connection: &DeviceConnection,
    delivery: &Delivery<Body<Value>>,
) -> Result<Written, Error> {
    let events = events(context, delivery)?;
    let bytes = events.iter().map(|event| event.payload().len()).sum();
    let failed = |why: ingest::Error| error(AmqpError::InternalError, why.to_string());
    let ingest = &context.handles.ingest;
    let permit = ingest.reserve(bytes, QueueShare::Bounded).await.map_err(failed)?;
    if connection.online(|_| ()).is_none() {
        return Err(error(AmqpError::UnauthorizedAccess, "the device's connection has ended"));
    }
    let (done, written) = oneshot::channel();
    let done = Box::new(move |result| {
        // The link may have ended.
        let _ = done.send(result);
    });
    ingest.submit(
        connection.device(),
        events.into_iter().map(|event| NewEvent::new(true, event)).collect(),
        permit,
        done,
    );
    Ok(written)
}

fn events(context: &Context, delivery: &Delivery<Body<Value>>) -> Result<Vec<EventData>, Error> {
    if *delivery.message_format() != Some(BATCH_FORMAT) {
        return Ok(vec![event(context, delivery.message())?]);
    }
    let Body::Data(messages) = delivery.body() else {
        return Err(error(AmqpError::InvalidField, "a message with others has them as data"));
    };
    let count = fields::HUB_MESSAGES.check_len("messages in one", messages.len());
    count.map_err(|why| error(AmqpError::InvalidField, why.to_string()))?;
    messages.iter().map(|message| event(context, &contained(&message.0)?)).collect()
}

fn contained(bytes: &[u8]) -> Result<Message<Body<Value>>, Error> {
    let wrong = |why: String| error(AmqpError::DecodeError, format!("a message within another: {why}"));
    // The library trusts sizes and nesting.
    frame_check::sections(bytes).map_err(|why| wrong(why.to_string()))?;
    Body::<Value>::decode_message_from_reader(SliceReader::new(bytes)).map_err(|why| wrong(why.to_string()))
}

fn event(context: &Context, message: &Message<Body<Value>>) -> Result<EventData, Error> {
    let payload = incoming::payload(&message.body)?;
    let limit = context.payloads.telemetry();
    if payload.len() > limit.bytes {
        context.handles.metrics.limit(limit.limit);
        let text = format!("a message of {} bytes is larger than {} ({})", payload.len(), limit.bytes, limit.setting);
        return Err(error(LinkError::MessageSizeExceeded, text));
    }
    let properties = incoming::properties(message);
    if properties.len() > MAX_PAIRS {
        let text = format!("a message has at most {MAX_PAIRS} properties, and this one has {}", properties.len());
        return Err(error(AmqpError::InvalidField, text));
    }
    Ok(EventData::Telemetry { subfolder: String::new(), payload, properties })
}
