//! Processes a PUBLISH: it becomes an event of the client's device, a message on an ordinary topic, an answer to a method call, or a
//! refusal. Does not write to the socket.

use bytes::Bytes;

use crate::{
    bridge,
    connection::{Connection, batch::InboundBatch, register, twin},
    content::{Content, PublishRefusal, check_size, content},
    dialect::{self, TopicRefusal},
    end::ConnectionEnd,
};
use switchbox_auth as auth;
use switchbox_model::{Message, QoS, limits};
use switchbox_mqtt_codec::{
    fault::{Fault, reason},
    packet::{Ack, AckKind, Publish},
};
use switchbox_mqtt_session::session;
use switchbox_support::clock;

/// What a PUBLISH becomes.
enum Action {
    Content(Content),
    Message(Message),
    /// A request about the device's config and state, which is answered.
    Twin(twin::Request),
    /// A request of a device that is not registered yet.
    Register(register::Request),
    /// A topic that is not the client's own, for a client that is a gateway.
    AsGateway(Publish),
    /// The message is acknowledged and dropped.
    AcknowledgeOnly,
    Refuse(PublishRefusal),
}

impl Connection {
    pub(super) async fn publish(
        &mut self,
        mut publish: Publish,
        batch: &mut InboundBatch,
    ) -> Result<(), ConnectionEnd> {
        self.resolve_alias(&mut publish)?;
        if publish.qos == QoS::ExactlyOnce && !self.presence.dialect.rules().exactly_once {
            return Err(
                Fault::new(reason::QOS_NOT_SUPPORTED, "a client of this dialect may not publish with QoS 2").into()
            );
        }
        if publish.qos == QoS::ExactlyOnce && !self.receive(publish.id) {
            return Ok(());
        }
        let ack = acknowledgement(publish.qos, publish.id);
        let id = publish.id;
        let topic = publish.topic.clone();
        match self.action(publish) {
            Action::Content(Content::Event(event)) => {
                if !batch.accepts_own_event() {
                    self.submit(batch).await?;
                }
                batch.push(event, ack);
                return Ok(());
            }
            Action::Message(message) => {
                if !batch.events.is_empty() {
                    self.submit(batch).await?;
                }
                return self.publish_ordinary(message, ack, batch).await;
            }
            Action::Content(Content::Answer { rid, status, payload }) => {
                self.submit(batch).await?;
                self.presence.mailbox.record_answer(rid);
                if let Some(online) = &self.presence.online {
                    online.answer(rid, status, payload);
                }
            }
            Action::Twin(request) => {
                self.submit(batch).await?;
                return Box::pin(self.twin(request, ack)).await;
            }
            Action::Register(request) => return Box::pin(self.register(request, ack)).await,
            Action::AsGateway(publish) => return Box::pin(self.publish_as_gateway(publish, ack, batch)).await,
            Action::AcknowledgeOnly => self.submit(batch).await?,
            Action::Refuse(refusal) => {
                self.submit(batch).await?;
                if self.is_gateway() {
                    return self.refuse_gateways_own(&topic, id, &refusal, ack);
                }
                return self.refuse(&topic, &refusal, ack);
            }
        }
        match ack {
            Some(ack) => self.acknowledge_now(ack),
            None => Ok(()),
        }
    }

    /// Sets or looks up the topic alias.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Fault> {
        let Some(alias) = publish.alias else { return Ok(()) };
        let index = usize::from(alias - 1);
        if alias > limits::TOPIC_ALIASES {
            return Err(Fault::new(reason::TOPIC_ALIAS, "a topic alias over the topic alias maximum"));
        }
        if !publish.topic.is_empty() {
            if self.aliases.len() <= index {
                let mut aliases = std::mem::take(&mut self.aliases).into_vec();
                aliases.resize(index + 1, None);
                self.aliases = aliases.into();
            }
            if let Some(stored) = self.aliases.get_mut(index) {
                *stored = Some(publish.topic.clone());
            }
            return Ok(());
        }
        let stored = self.aliases.get(index).cloned().flatten();
        publish.topic = stored.ok_or_else(|| Fault::new(reason::TOPIC_ALIAS, "a topic alias that was never set"))?;
        Ok(())
    }

    /// Records a QoS 2 message. Returns false if it is a duplicate.
    fn receive(&self, id: u16) -> bool {
        let mut state = self.presence.mailbox.lock();
        match state.session.receive(id) {
            session::PublishReceipt::New => true,
            session::PublishReceipt::Waiting => false,
            session::PublishReceipt::Again => {
                state.session.ack(Ack::new(AckKind::PubRec, id));
                false
            }
        }
    }

    /// Decides what the PUBLISH becomes, by the client's dialect and access.
    fn action(&self, publish: Publish) -> Action {
        let device = self.presence.device.as_ref().map(|device| &device.name.id);
        let topic = publish.topic.clone();
        let shared = &self.presence.shared;
        match self.presence.dialect.publish(device, &topic, publish.retain) {
            dialect::Publish::Refused(TopicRefusal::OtherDevice) | dialect::Publish::Control(_) => {
                Action::AsGateway(publish)
            }
            dialect::Publish::Refused(TopicRefusal::Unknown | TopicRefusal::Answer)
                if self.presence.gateway.is_some() =>
            {
                Action::AsGateway(publish)
            }
            dialect::Publish::Refused(refused) => Action::Refuse(refused.into()),
            dialect::Publish::Ordinary => {
                if let Err(denied) = auth::may(&self.presence.auth_context.access, auth::Action::Publish, &topic) {
                    if bridge::is_notification(&topic) {
                        shared.metrics.refuse("bridge notification");
                        return Action::AcknowledgeOnly;
                    }
                    if self.presence.gateway.is_some() {
                        return Action::AsGateway(publish);
                    }
                    return Action::Refuse(PublishRefusal::not_authorised(denied.text()));
                }
                match check_size(&shared.metrics, publish.payload.len(), shared.options.payloads.message()) {
                    Ok(()) => Action::Message(message(publish)),
                    Err(refusal) => Action::Refuse(refusal),
                }
            }
            dialect::Publish::GetTwin { rid } => Action::Twin(twin::Request::Get { rid: rid.to_owned() }),
            dialect::Publish::StatePatch { rid } => {
                Action::Twin(twin::Request::Patch { rid: rid.to_owned(), patch: publish.payload })
            }
            dialect::Publish::Register { rid } => Action::Register(register::Request::Register { rid: rid.to_owned() }),
            dialect::Publish::RegistrationStatus { rid } => {
                Action::Register(register::Request::Status { rid: rid.to_owned() })
            }
            event_or_answer => match content(&shared.metrics, &shared.options.payloads, event_or_answer, publish) {
                Ok(content) => Action::Content(content),
                Err(refusal) => Action::Refuse(refusal),
            },
        }
    }
}

fn acknowledgement(qos: QoS, id: u16) -> Option<Ack> {
    match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(Ack::new(AckKind::PubAck, id)),
        QoS::ExactlyOnce => Some(Ack::new(AckKind::PubRec, id)),
    }
}

fn message(publish: Publish) -> Message {
    Message {
        topic: publish.topic,
        // Copied, because a message may be stored for long, and a slice would keep the whole read buffer.
        payload: Bytes::copy_from_slice(&publish.payload),
        qos: publish.qos,
        retain: publish.retain,
        expires: publish.expiry.map(|expiry| clock::instant() + expiry),
        properties: publish.properties,
    }
}
