//! Requests to a node and their responses. A client uses two links of one session for them, one for each direction.

use fe2o3_amqp::link::Receiver;
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error},
    messaging::{AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties},
    primitives::{OrderedMap, SimpleValue, Value},
};
use tokio::sync::{Mutex, mpsc};

use crate::outgoing_link::OutgoingLink;

/// Responses that may wait for their link.
const MAX_QUEUED_RESPONSES: usize = 16;

pub(crate) type Request = Message<Body<Value>>;
pub(crate) type ResponseMessage = Message<AmqpValue<Value>>;

/// The responses of one node to one session.
pub(crate) struct ResponseQueue {
    to: mpsc::Sender<ResponseMessage>,
    /// Locked by the link that sends the responses.
    from: Mutex<mpsc::Receiver<ResponseMessage>>,
}

impl ResponseQueue {
    pub(crate) fn new() -> Self {
        let (to, from) = mpsc::channel(MAX_QUEUED_RESPONSES);
        Self { to, from: Mutex::new(from) }
    }

    /// Sends the responses until the link ends.
    pub(crate) async fn send(&self, mut link: OutgoingLink) {
        let mut from = self.from.lock().await;
        loop {
            let answer = tokio::select! {
                _ = link.on_detach() => break,
                answer = from.recv() => answer,
            };
            let Some(answer) = answer else { break };
            // This does not wait until the client settles the message.
            if link.send_batchable(answer).await.is_err() {
                break;
            }
        }
        drop(from);
        // The peer may have closed the link already.
        let _ = link.close().await;
    }

    /// Accepts requests until the link ends, and queues a response to each.
    pub(crate) async fn serve<F>(&self, mut link: Receiver, mut respond: impl FnMut(Request) -> F)
    where
        F: Future<Output = Response>,
    {
        while let Ok(delivery) = link.recv::<Body<Value>>().await {
            if link.accept(&delivery).await.is_err() {
                break;
            }
            let request = delivery.into_message();
            let id = request.properties.as_ref().and_then(|properties| properties.message_id.clone());
            let response = respond(request).await;
            // The loop does not wait for a client that takes no responses: its further requests would be buffered without bound.
            if self.to.try_send(response.message(id)).is_err() {
                let error = Error::new(
                    AmqpError::ResourceLimitExceeded,
                    Some(format!("{MAX_QUEUED_RESPONSES} responses wait for their link already")),
                    None,
                );
                return drop(link.close_with_error(error).await);
            }
        }
        let _ = link.close().await;
    }
}

/// The response to a request.
pub(crate) struct Response {
    pub(crate) status: i32,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Response {
    pub(crate) fn ok(status: i32, body: Value) -> Self {
        Self { status, text: "OK".into(), body }
    }

    pub(crate) fn error(status: i32, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), body: Value::Null }
    }

    fn message(self, id: Option<MessageId>) -> ResponseMessage {
        let mut fields: OrderedMap<String, SimpleValue> = OrderedMap::new();
        fields.insert("status-code".into(), SimpleValue::Int(self.status));
        fields.insert("status-description".into(), SimpleValue::String(self.text.clone()));
        // Older clients read the names that Service Bus used.
        fields.insert("statusCode".into(), SimpleValue::Int(self.status));
        fields.insert("statusDescription".into(), SimpleValue::String(self.text));
        Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: Some(Properties { correlation_id: id, ..Properties::default() }),
            application_properties: Some(ApplicationProperties(fields)),
            body: AmqpValue(self.body),
            footer: None,
        }
    }
}

/// A text field among the application properties of a request.
pub(crate) fn field(request: &Request, name: &str) -> Option<String> {
    match request.application_properties.as_ref()?.0.get(name)? {
        SimpleValue::String(text) => Some(text.clone()),
        SimpleValue::Symbol(symbol) => Some(symbol.as_str().to_owned()),
        SimpleValue::Binary(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}
