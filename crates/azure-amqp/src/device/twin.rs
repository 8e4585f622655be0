//! `/devices/{d}/twin`: one link receives the device's requests about its twin, the other sends the answers, and each change of the
//! desired properties that the device asked for.

use bytes::Bytes;
use fe2o3_amqp::link::{Receiver, delivery::Sendable};
use fe2o3_amqp_types::{
    definitions::{AmqpError, SenderSettleMode},
    messaging::{Body, Data, Message, MessageAnnotations, MessageId, Properties, annotations::OwnedKey},
    primitives::{Binary, OrderedMap, Symbol, Value},
};
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    connection::DeviceConnection,
    mailbox::{TwinAnswer, TwinItem},
};
use crate::{context::Context, error::error, incoming, message::may_settle, outgoing_link::OutgoingLink};
use switchbox_azure::twin;
use switchbox_core::ingest;
use switchbox_delivery::{DeliveryReport, DownlinkKind};
use switchbox_rules::json::PatchError;
use switchbox_store::QueueShare;

const REPORTED: &str = "/properties/reported";
const DESIRED_CHANGES: &str = "/notifications/twin/properties/desired";

/// The answer to a request, without its correlation id.
struct Answer {
    status: i32,
    version: Option<u64>,
    body: Bytes,
}

impl Answer {
    fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: 200, version: None, body: body.into() }
    }

    /// The text is JSON, which the SDK for Node parses.
    fn error(status: i32, text: &str) -> Self {
        Self { status, version: None, body: json!(text).to_string().into() }
    }
}

/// Answers requests until the link ends.
pub(super) async fn receive(context: &Context, connection: &DeviceConnection, mut link: Receiver) {
    while let Ok(delivery) = link.recv::<Body<Value>>().await {
        if link.accept(&delivery).await.is_err() {
            break;
        }
        let message = delivery.into_message();
        let Answer { status, version, body } = answer(context, connection, &message).await;
        let correlation_id = message.properties.and_then(|properties| properties.correlation_id);
        // The loop does not wait for a client that takes no answers: its further requests would be buffered without bound.
        if !connection.mailbox().answer(TwinAnswer { correlation_id, status, version, body }) {
            let why = error(AmqpError::ResourceLimitExceeded, "too many answers wait for their link already");
            return drop(link.close_with_error(why).await);
        }
    }
    let _ = link.close().await;
}

async fn answer(context: &Context, connection: &DeviceConnection, message: &Message<Body<Value>>) -> Answer {
    let operation = incoming::annotation(message, "operation").unwrap_or_default();
    let resource = incoming::annotation(message, "resource").unwrap_or_default();
    match (operation, resource) {
        ("GET", "") => Answer::ok(both(connection)),
        ("PATCH", REPORTED) => match incoming::payload(&message.body) {
            Ok(patch) => patch_reported(context, connection, &patch).await,
            Err(_) => Answer::error(400, "the body of a patch must be data or text"),
        },
        ("PUT", DESIRED_CHANGES) => {
            let known = connection.online(switchbox_delivery::Online::follow_config);
            *connection.mailbox().known_config.lock() = known.unwrap_or_default();
            Answer::ok("")
        }
        ("DELETE", DESIRED_CHANGES) => {
            connection.online(|online| online.unsubscribe(DownlinkKind::Config));
            Answer::ok("")
        }
        _ => Answer::error(
            400,
            "the annotations operation and resource must be GET, PATCH of /properties/reported, or PUT or DELETE of \
             /notifications/twin/properties/desired",
        ),
    }
}

fn both(connection: &DeviceConnection) -> String {
    let device = connection.device();
    let config = device.config();
    let config = config.as_ref().map_or((&[][..], 0), |config| (&config.payload[..], config.version));
    let (state, version) = {
        let _order = device.order();
        device.newest_state()
    };
    twin::document(config, (&state, version))
}

/// Patches the device's state, and waits until that is durable.
async fn patch_reported(context: &Context, connection: &DeviceConnection, patch: &[u8]) -> Answer {
    if !twin::is_state_patch(patch) {
        return Answer::error(400, "a patch must be a JSON object without members that begin with $");
    }
    let (limit, ingest) = (context.payloads.state(), &context.handles.ingest);
    let Ok(permit) = ingest.reserve(limit.bytes, QueueShare::Bounded).await else {
        return Answer::error(503, "the journal cannot be written");
    };
    if connection.online(|_| ()).is_none() {
        return Answer::error(401, "the device's connection has ended");
    }
    let (done, written) = oneshot::channel();
    let done = move |version, result: Result<(), ingest::Error>| {
        // The link may have ended.
        let _ = done.send(result.map(|()| version));
    };
    match ingest.submit_state_patch(connection.device(), patch, limit.bytes, permit, done) {
        Ok(Ok(_)) => match written.await {
            Ok(Ok(version)) => Answer { version: Some(version), ..Answer::ok("") },
            _ => Answer::error(503, "the journal cannot be written"),
        },
        Ok(Err(why)) => Answer::error(503, &why.to_string()),
        Err(PatchError::TooLarge { .. }) => {
            context.handles.metrics.limit(limit.limit);
            Answer::error(413, limit.text)
        }
        Err(why) => Answer::error(400, &why.to_string()),
    }
}

/// Sends answers and changes until the link ends.
pub(super) async fn send(connection: &DeviceConnection, mut link: OutgoingLink, settle: &SenderSettleMode) {
    let mailbox = connection.mailbox();
    let turn = tokio::select! {
        turn = mailbox.twin_turn.lock() => turn,
        _ = link.on_detach() => return drop(link.close().await),
    };
    loop {
        let item = tokio::select! {
            _ = link.on_detach() => break,
            item = mailbox.next_for_twin() => item,
        };
        let (message, is_change) = match item {
            TwinItem::Answer(answer) => (answer_message(answer), false),
            TwinItem::Desired(config) => {
                let mut known = mailbox.known_config.lock();
                let mut change = String::new();
                twin::config_change(&known, &config.payload, config.version, &mut change);
                known.clone_from(&config.payload);
                (message(None, None, change.into_bytes()), true)
            }
        };
        let sendable = Sendable::builder().message(message).settled(Some(may_settle(settle))).build();
        if link.send_batchable(sendable).await.is_err() {
            break;
        }
        if is_change {
            connection.online(|online| online.acknowledged([DeliveryReport::ConfigSent]));
        }
    }
    connection.online(|online| online.unsubscribe(DownlinkKind::Config));
    drop(turn);
    // The peer may have closed the link already.
    let _ = link.close().await;
}

fn answer_message(answer: TwinAnswer) -> Message<Data> {
    let mut annotations = OrderedMap::new();
    let mut put = |name: &str, value| drop(annotations.insert(OwnedKey::Symbol(Symbol::from(name)), value));
    put("status", Value::Int(answer.status));
    if let Some(version) = answer.version {
        put("version", Value::Long(i64::try_from(version).unwrap_or(i64::MAX)));
    }
    message(answer.correlation_id, Some(MessageAnnotations(annotations)), answer.body.to_vec())
}

fn message(
    correlation_id: Option<MessageId>,
    message_annotations: Option<MessageAnnotations>,
    body: Vec<u8>,
) -> Message<Data> {
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations,
        properties: Some(Properties { correlation_id, ..Properties::default() }),
        application_properties: None,
        body: Data(Binary::from(body)),
        footer: None,
    }
}
