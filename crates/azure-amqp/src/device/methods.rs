//! `/devices/{d}/methods/devicebound`: one link sends method calls to the device, the other receives its answers. The correlation id
//! is a UUID, as Azure's SDKs require; its last six bytes are the number of the call.

use fe2o3_amqp::link::{Receiver, SendError, delivery::Sendable};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error, LinkError, SenderSettleMode},
    messaging::{ApplicationProperties, Body, Data, Message, MessageId, Outcome, Properties},
    primitives::{Binary, OrderedMap, SimpleValue, Value},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::connection::DeviceConnection;
use crate::{context::Context, error::error, incoming, message::may_settle, outgoing_link::OutgoingLink};
use switchbox_delivery::{DeliveryReport, DownlinkKind, Outbound, OutboundCall};
use switchbox_model::limits;

const METHOD_NAME: &str = "IoThub-methodname";
const STATUS: &str = "IoThub-status";
/// What an empty payload is sent as, because the SDKs parse it as JSON.
const NO_ARGUMENTS: &[u8] = b"null";

/// Sends calls until the link ends.
pub(super) async fn send(connection: &DeviceConnection, mut link: OutgoingLink, settle: &SenderSettleMode) {
    let mailbox = connection.mailbox();
    let turn = tokio::select! {
        turn = mailbox.call_turn.lock() => turn,
        _ = link.on_detach() => return drop(link.close().await),
    };
    connection.online(|online| online.subscribe(DownlinkKind::Methods));
    let mut outcomes = FuturesUnordered::new();
    loop {
        let call = tokio::select! {
            Some((rid, outcome)) = outcomes.next(), if !outcomes.is_empty() => {
                settled(connection, rid, &outcome);
                continue;
            }
            _ = link.on_detach() => break,
            call = mailbox.next_call() => call,
        };
        let Outbound::Method(call) = &call else { continue };
        let (rid, message) = (call.rid, message(call));
        let sendable = Sendable::builder().message(message).settled(Some(may_settle(settle))).build();
        let sent = {
            let mut sending = std::pin::pin!(link.send_batchable(sendable));
            loop {
                tokio::select! {
                    sent = &mut sending => break sent,
                    // While the link waits for credit, earlier calls may be refused.
                    Some((rid, outcome)) = outcomes.next(), if !outcomes.is_empty() => settled(connection, rid, &outcome),
                }
            }
        };
        match sent {
            // If the device settles nothing, the outcomes of later calls are not awaited: these end with the answer or their time.
            Ok(_) if outcomes.len() >= limits::METHODS_IN_FLIGHT => {}
            Ok(outcome) => outcomes.push(async move { (rid, outcome.await) }),
            // Nothing of it was sent: the link takes the next one.
            Err(SendError::MessageSizeExceeded(_)) => refused(connection, rid),
            Err(_) => {
                refused(connection, rid);
                break;
            }
        }
    }
    connection.online(|online| online.unsubscribe(DownlinkKind::Methods));
    drop(turn);
    // The peer may have closed the link already.
    let _ = link.close().await;
}

/// Whether a call has this outcome because the device did not take it. After an error, which is the end of the link, the answer may still
/// come over the other one.
fn is_refusal(outcome: &Result<Outcome, SendError>) -> bool {
    outcome.as_ref().is_ok_and(|outcome| !matches!(outcome, Outcome::Accepted(_)))
}

/// Fails a call that has an outcome because the device did not take it.
fn settled(connection: &DeviceConnection, rid: u64, outcome: &Result<Outcome, SendError>) {
    if is_refusal(outcome) {
        refused(connection, rid);
    }
}

/// Fails the call, which the device did not take.
fn refused(connection: &DeviceConnection, rid: u64) {
    connection.online(|online| online.acknowledged([DeliveryReport::MethodRefused { rid }]));
}

fn message(call: &OutboundCall) -> Message<Data> {
    let OutboundCall { rid, name, payload, .. } = call;
    let mut named = OrderedMap::new();
    named.insert(METHOD_NAME.to_owned(), SimpleValue::String(name.to_string()));
    let payload = if payload.is_empty() { NO_ARGUMENTS } else { payload };
    let correlation_id = Some(MessageId::Uuid(call_id(*rid).into()));
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties { correlation_id, ..Properties::default() }),
        application_properties: Some(ApplicationProperties(named)),
        body: Data(Binary::from(payload.to_vec())),
        footer: None,
    }
}

/// The UUID of a call. It is one of version 4 in its form, so that SDKs in JavaScript send it back as a UUID.
fn call_id(rid: u64) -> [u8; 16] {
    let [_, _, a, b, c, d, e, f] = rid.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, a, b, c, d, e, f]
}

/// The number of the call that an answer belongs to. SDKs send the UUID back as it came, or as text.
fn call_number(id: &MessageId) -> Option<u64> {
    let text = incoming::text_of_id(id);
    let (_, number) = text.rsplit_once('-').filter(|(_, number)| number.len() == 12)?;
    u64::from_str_radix(number, 16).ok()
}

/// Receives answers until the link ends.
pub(super) async fn receive(context: &Context, connection: &DeviceConnection, mut link: Receiver) {
    while let Ok(delivery) = link.recv::<Body<Value>>().await {
        let settled = match answer(context, connection, delivery.message()) {
            Ok(()) => link.accept(&delivery).await,
            Err(why) => link.reject(&delivery, Some(why)).await,
        };
        if settled.is_err() {
            break;
        }
    }
    let _ = link.close().await;
}

fn answer(context: &Context, connection: &DeviceConnection, message: &Message<Body<Value>>) -> Result<(), Error> {
    let invalid = |text: &str| error(AmqpError::InvalidField, text);
    let id = message.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref());
    let number = id.and_then(call_number).ok_or_else(|| invalid("the correlation id is not that of a method call"))?;
    let status = message.application_properties.as_ref().and_then(status);
    let status = status.ok_or_else(|| invalid("the application property IoThub-status must be a whole number"))?;
    let payload = incoming::payload(&message.body)?;
    let limit = context.payloads.answer();
    if payload.len() > limit.bytes {
        context.handles.metrics.limit(limit.limit);
        return Err(error(LinkError::MessageSizeExceeded, limit.text));
    }
    // An answer that comes too late is accepted: the device cannot do better.
    connection.online(|online| online.answer(number, status, payload));
    Ok(())
}

/// The status of an answer, whatever its size. Returns `None` if there is none, or if it is not a whole number.
fn status(named: &ApplicationProperties) -> Option<i64> {
    incoming::text(named.0.get(STATUS)?).parse().ok()
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::messaging::{Accepted, Rejected, Released};

    use super::*;

    #[test]
    fn a_call_is_refused_by_each_outcome_but_accepted() {
        for (outcome, expect) in [
            (Ok(Outcome::Accepted(Accepted {})), false),
            (Ok(Outcome::Rejected(Rejected { error: None })), true),
            (Ok(Outcome::Released(Released {})), true),
            (Err(SendError::IllegalDeliveryState), false),
        ] {
            assert_eq!(is_refusal(&outcome), expect, "{outcome:?}");
        }
    }

    #[test]
    fn the_status_of_an_answer_is_any_whole_number() {
        for (value, expect) in [
            (SimpleValue::Int(200), Some(200)),
            (SimpleValue::Int(-1), Some(-1)),
            (SimpleValue::Long(70_000), Some(70_000)),
            (SimpleValue::Double(70_000.0.into()), Some(70_000)),
            (SimpleValue::String("0".into()), Some(0)),
            (SimpleValue::String("ok".into()), None),
            (SimpleValue::Null, None),
        ] {
            let named = OrderedMap::from_iter([(STATUS.to_owned(), value.clone())]);
            assert_eq!(status(&ApplicationProperties(named)), expect, "{value:?}");
        }
    }

    #[test]
    fn an_answer_names_its_call_as_sdks_send_it_back() {
        for rid in [1, 77, (1 << 48) - 1] {
            let id = MessageId::Uuid(call_id(rid).into());
            let text = incoming::text_of_id(&id);
            assert!(text.starts_with("00000000-0000-4000-8000-"), "{text}");
            assert_eq!([call_number(&id), call_number(&MessageId::String(text))], [Some(rid); 2]);
        }
        for wrong in [MessageId::Ulong(7), MessageId::String("7".into()), MessageId::String("a-00000000000x".into())] {
            assert_eq!(call_number(&wrong), None, "{wrong:?}");
        }
    }
}
