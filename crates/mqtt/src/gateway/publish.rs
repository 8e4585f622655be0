//! Processes what a gateway publishes for its devices, and reports failures. If the gateway subscribes to its errors topic, the failure is
//! published there and the failed message is acknowledged. Otherwise the failure is only logged, and the message is not acknowledged.

use std::sync::Arc;

use crate::{
    connection::{Connection, batch::InboundBatch},
    content::{Content, PublishRefusal, content},
    dialect::{
        self, Control, TopicRefusal,
        gateway_errors::{self, ErrorType, GatewayError, MessageInfo},
        iot_core,
    },
    end::ConnectionEnd,
    gateway::Failure,
    subscriptions::SubscriptionTarget,
};
use switchbox_model::{DeviceId, Message, QoS, limits};
use switchbox_mqtt_codec::{
    fault::{Fault, reason},
    packet::{Ack, AckKind, Publish, Version},
};
use switchbox_mqtt_session::session::{Body, Expected, Item, OfferResult};
use switchbox_support::clock;

/// The request of a publish under `/devices/` on another device's topic.
enum Request<'a> {
    /// To attach or detach this device.
    Control(Control, DeviceId),
    /// An event or answer of this device.
    For(DeviceId, dialect::Publish<'a>),
}

/// Reads the topic. The error says why it has no meaning.
fn request(topic: &str) -> Result<Request<'_>, Failure> {
    let invalid = |id: &str, text: String| Failure::new(ErrorType::InvalidTopic, id, text);
    let id = match iot_core::addressee(topic) {
        Some(Ok(id)) => id,
        Some(Err(id)) => return Err(invalid(id, format!("{id:?} is not a device id"))),
        None => return Err(invalid("", "a gateway may use topics under /devices/ only".into())),
    };
    match iot_core::publish(Some(&id), topic) {
        dialect::Publish::Control(control) => Ok(Request::Control(control, id)),
        dialect::Publish::Refused(refused) => Err(invalid(id.as_str(), refused.to_string())),
        other => Ok(Request::For(id, other)),
    }
}

impl Connection {
    /// Processes a publish under `/devices/` that is not telemetry, state or an answer of the client's own device.
    pub(crate) async fn publish_as_gateway(
        &mut self,
        publish: Publish,
        ack: Option<Ack>,
        batch: &mut InboundBatch,
    ) -> Result<(), ConnectionEnd> {
        let topic = publish.topic.clone();
        let request = request(&topic);
        if !self.is_gateway() {
            self.submit(batch).await?;
            if matches!(request, Ok(Request::Control(..))) {
                self.presence.shared.metrics.refuse("control");
                let text = "a control message from a device that is not a gateway";
                return Err(Fault::new(reason::NOT_AUTHORISED, text).into());
            }
            return self.refuse(&topic, &TopicRefusal::OtherDevice.into(), ack);
        }
        let packet_id = publish.id;
        let result = match request {
            Ok(Request::For(id, meaning)) => self.publish_for(&id, meaning, publish, ack.clone(), batch).await?,
            Ok(Request::Control(control, id)) => {
                self.submit(batch).await?;
                let mailbox = self.presence.mailbox.clone();
                let controlled = mailbox.unless_closing(self.control(control, &id, &publish)).await;
                controlled.map_err(ConnectionEnd::Closed)?.map(|()| Acknowledge::Now)
            }
            Err(failure) => Err(failure),
        };
        match (result, ack) {
            (Ok(Acknowledge::Now), Some(ack)) => self.acknowledge_now(ack),
            (Ok(_), _) => Ok(()),
            (Err(failure), ack) => {
                self.submit(batch).await?;
                let info = MessageInfo { message_type: "PUBLISH", topic: topic.to_string(), packet_id };
                self.fail(&failure, info, ack)
            }
        }
    }

    /// Attaches or detaches the device.
    async fn control(&mut self, control: Control, id: &DeviceId, publish: &Publish) -> Result<(), Failure> {
        match control {
            Control::Attach => self.attach(id, &publish.payload).await,
            Control::Detach => {
                self.detach(id, "detached by its gateway");
                Ok(())
            }
        }
    }

    /// Processes an event or answer of an attached device.
    async fn publish_for(
        &mut self,
        id: &DeviceId,
        meaning: dialect::Publish<'_>,
        publish: Publish,
        ack: Option<Ack>,
        batch: &mut InboundBatch,
    ) -> Result<Result<Acknowledge, Failure>, ConnectionEnd> {
        let attached = self.presence.gateway.as_ref().and_then(|gateway| gateway.get(id));
        let Some(attached) = attached else { return Ok(Err(not_attached(id))) };
        let device = attached.device.clone();
        device.record_gateway_event(clock::now_ms());
        let shared = &self.presence.shared;
        match content(&shared.metrics, &shared.options.payloads, meaning, publish) {
            Err(refusal) => Ok(Err(Failure::new(ErrorType::Unknown, id.as_str(), refusal.text_with_sizes()))),
            Ok(Content::Event(event)) => {
                if !batch.accepts_event_of(&device) {
                    self.submit(batch).await?;
                }
                batch.push_event_of(device, event, ack);
                Ok(Ok(Acknowledge::WhenDurable))
            }
            Ok(Content::Answer { rid, status, payload }) => {
                self.submit(batch).await?;
                self.presence.mailbox.record_answer(rid);
                if let Some(attached) = self.presence.gateway.as_ref().and_then(|gateway| gateway.get(id)) {
                    attached.online.answer(rid, status, payload);
                }
                Ok(Ok(Acknowledge::Now))
            }
        }
    }

    /// Refuses a publish on the gateway's own topics. Its attached devices stay connected.
    pub(crate) fn refuse_gateways_own(
        &mut self,
        topic: &str,
        packet_id: u16,
        refusal: &PublishRefusal,
        ack: Option<Ack>,
    ) -> Result<(), ConnectionEnd> {
        let own_id = self.presence.device.as_ref().map_or("", |device| device.name.id.as_str()).to_owned();
        let failure = Failure::new(ErrorType::Unknown, own_id, refusal.text_with_sizes());
        let info = MessageInfo { message_type: "PUBLISH", topic: topic.to_owned(), packet_id };
        if self.peer.version == Version::V311 {
            return self.fail(&failure, info, ack);
        }
        self.log_refusal("gateway message", topic, &failure.text);
        self.publish_error(&failure, Some(info));
        self.acknowledge_refused(refusal, ack)
    }

    /// Reports a failed message of the gateway, and acknowledges it if the gateway got the report.
    fn fail(&mut self, failure: &Failure, info: MessageInfo, ack: Option<Ack>) -> Result<(), ConnectionEnd> {
        let text = format!("{}: {}", failure.kind.as_str(), failure.text);
        self.log_line(("gateway message", failure.kind.as_str()), &info.topic, &text);
        let is_reported = self.publish_error(failure, Some(info));
        let Some(ack) = ack else { return Ok(()) };
        let has_reasons = self.peer.version == Version::V5;
        if ack.kind == AckKind::PubRec && (has_reasons || !is_reported) {
            self.presence.mailbox.lock().session.unreceive(ack.id);
        }
        match (is_reported, has_reasons) {
            (false, _) => Ok(()),
            (true, false) => self.acknowledge_now(ack),
            (true, true) => {
                let text = Some(failure.kind.as_str());
                self.acknowledge_now(Ack { reason: reason_of(failure.kind), text, ..ack })
            }
        }
    }

    /// Reports a failed filter that names none of the gateway's devices.
    pub(crate) fn fail_own_subscription(&mut self, text: &str, filter: &str, packet_id: u16) {
        if self.is_gateway() {
            self.fail_subscription(&Failure::new(ErrorType::InvalidTopic, "", text), filter, packet_id);
        }
    }

    /// Reports a failed filter of the gateway, in addition to the SUBACK.
    pub(crate) fn fail_subscription(&mut self, failure: &Failure, filter: &str, packet_id: u16) {
        let info = MessageInfo { message_type: "SUBSCRIBE", topic: filter.to_owned(), packet_id };
        self.publish_error(failure, Some(info));
    }

    /// Reports an acknowledgement that was not expected.
    pub(crate) fn check_expected(&mut self, kind: AckKind, id: u16) {
        let expected = self.presence.mailbox.lock().session.expects(kind, id);
        let (error, text) = match expected {
            Expected::Yes => return,
            Expected::Nothing => {
                (ErrorType::UnexpectedPacketId, "nothing waits for an acknowledgement with this packet id")
            }
            Expected::OtherKind => (
                ErrorType::UnexpectedMessageType,
                "what waits under this packet id has another kind of acknowledgement",
            ),
        };
        let message_type = match kind {
            AckKind::PubAck => "PUBACK",
            AckKind::PubRec => "PUBREC",
            AckKind::PubRel => "PUBREL",
            AckKind::PubComp => "PUBCOMP",
        };
        self.log_line(("gateway message", error.as_str()), message_type, &format!("{}: {text}", error.as_str()));
        let info = MessageInfo { message_type, topic: String::new(), packet_id: id };
        self.publish_error(&Failure::new(error, "", text), Some(info));
    }

    /// Publishes the failure on the gateway's errors topic. Returns false if the gateway does not subscribe to it.
    pub(crate) fn publish_error(&self, failure: &Failure, info: Option<MessageInfo>) -> bool {
        let Some(gateway) = &self.presence.device else { return false };
        let mut state = self.presence.mailbox.lock();
        if !state.subscriptions.errors() {
            return false;
        }
        let Failure { kind, device, text } = failure;
        let (device_id, description) = (device.clone(), text.clone());
        let error = GatewayError { error_type: *kind, device_id, description, mqtt_message_info: info };
        let topic = gateway_errors::topic(&gateway.name.id);
        let message = Arc::new(Message::new(&topic, error.json()));
        let ids = state.subscriptions.ids(|_, target| target == SubscriptionTarget::Errors);
        let body = Body::matched(message, false, ids, None);
        let item = Item { qos: QoS::AtMostOnce, body, journaled: None };
        if self.presence.mailbox.offer(&mut state, item) == OfferResult::Full {
            self.presence.shared.metrics.limit(limits::names::SESSION_QUEUE);
        }
        true
    }
}

/// When a message that succeeded is acknowledged.
enum Acknowledge {
    Now,
    /// With the batch that it is in.
    WhenDurable,
}

pub(crate) fn not_attached(id: &DeviceId) -> Failure {
    Failure::new(ErrorType::DeviceNotFound, id.as_str(), format!("{id} is not attached"))
}

/// The reason code of an acknowledgement in MQTT 5.
fn reason_of(kind: ErrorType) -> u8 {
    match kind {
        ErrorType::InvalidTopic => reason::TOPIC_INVALID,
        ErrorType::Attachment | ErrorType::DeviceNotFound | ErrorType::Detachment => reason::NOT_AUTHORISED,
        ErrorType::UnexpectedPacketId | ErrorType::UnexpectedMessageType | ErrorType::Unknown => reason::UNSPECIFIED,
    }
}
