//! The links of a session. Each link is accepted or refused by its address, and then runs in its own task.

use std::sync::Arc;

use fe2o3_amqp::acceptor::{LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SupportedReceiverSettleModes};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error, Role},
    messaging::{FilterSet, TargetArchetype},
    performatives::Attach,
    primitives::Value,
};
use tokio::task::JoinSet;

use crate::{
    address::Address,
    authorization::ConnectionAuth,
    cbs,
    context::Context,
    devicebound,
    event_selection::EventSelection,
    feedback, management,
    reader::Reader,
    requests::ResponseQueue,
    selector::{self, Term},
    start_position::{self, StartPosition},
    streaming::PartitionStream,
};
use switchbox_model::{
    RegistryName,
    limits::{HUB_AMQP_LINKS, HUB_AMQP_REQUEST_BYTES, names},
};

/// Links that a client may have in one session before it has authenticated.
const UNAUTHENTICATED_LINKS: usize = 4;

/// What the links of one session share.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) context: Context,
    pub(crate) auth: ConnectionAuth,
    cbs: Arc<ResponseQueue>,
    management: Arc<ResponseQueue>,
}

/// The checked source of a reader.
struct EventSource {
    registry: RegistryName,
    partition: u16,
    start: StartPosition,
    filter: Vec<Term>,
}

impl Session {
    pub(crate) fn new(context: Context, auth: ConnectionAuth) -> Self {
        Self { context, auth, cbs: Arc::new(ResponseQueue::new()), management: Arc::new(ResponseQueue::new()) }
    }

    /// Accepts links until the session ends.
    pub(crate) async fn run(self, mut handle: ListenerSessionHandle) {
        let acceptor = || {
            LinkAcceptor::builder()
                .max_message_size(HUB_AMQP_REQUEST_BYTES as u64)
                .verify_incoming_source(false)
                .verify_incoming_target(false)
        };
        let sending = acceptor().build();
        // Azure's SDK for Python asks for mode `second`, but never sends the settlement that the mode requires.
        let receiving = acceptor().supported_receiver_settle_modes(SupportedReceiverSettleModes::First).build();
        let mut links = JoinSet::new();
        loop {
            let attach = tokio::select! {
                Some(_) = links.join_next(), if !links.is_empty() => continue,
                attach = handle.next_incoming_attach() => attach,
            };
            let Some(attach) = attach else { break };
            let most = if self.auth.is_authenticated() { HUB_AMQP_LINKS } else { UNAUTHENTICATED_LINKS };
            if links.len() >= most {
                self.context.parts.metrics.limit(names::HUB_AMQP_LINKS);
                let error =
                    Error::new(AmqpError::ResourceLimitExceeded, Some("a session has too many links".into()), None);
                let _ = handle.end_with_error(error).await;
                return;
            }
            let target = self.check_attach(&attach);
            let settle = attach.snd_settle_mode.clone();
            let acceptor = if attach.role == Role::Sender { &receiving } else { &sending };
            let Ok(endpoint) = acceptor.accept_incoming_attach(attach, &mut handle).await else { continue };
            let session = self.clone();
            links.spawn(async move { session.serve(endpoint, target, settle).await });
        }
    }

    /// Checks what a link may be attached to. Returns the error for the client if it may not.
    fn check_attach(&self, attach: &Attach) -> Result<(Address, Option<EventSource>), Error> {
        let text = match attach.role {
            Role::Sender => match attach.target.as_deref() {
                Some(TargetArchetype::Target(target)) => target.address.clone(),
                _ => None,
            },
            Role::Receiver => attach.source.as_ref().and_then(|source| source.address.clone()),
        };
        let address = Address::parse(&text.unwrap_or_default());
        let target = match (&address, &attach.role) {
            (Address::Cbs | Address::Management, _) => None,
            (Address::ToDevices, Role::Sender) | (Address::Feedback | Address::FileNotifications, Role::Receiver) => {
                self.auth.require_service_connect().map_err(|why| error(AmqpError::UnauthorizedAccess, why))?;
                None
            }
            (Address::ToDevices, Role::Receiver) => {
                return Err(error(AmqpError::NotAllowed, "messages to devices can only be sent, not received"));
            }
            (Address::Feedback | Address::FileNotifications, Role::Sender) => {
                return Err(error(
                    AmqpError::NotAllowed,
                    "feedback and file notifications can only be received, not sent",
                ));
            }
            (Address::Events { entity, partition }, Role::Receiver) => {
                let filter = attach.source.as_ref().and_then(|source| source.filter.as_ref());
                Some(self.event_source(entity, partition, filter)?)
            }
            (Address::Events { .. }, Role::Sender) => {
                return Err(error(
                    AmqpError::NotAllowed,
                    "events come from devices; nothing can be sent to a partition",
                ));
            }
            (Address::Other(path), _) => {
                let text =
                    format!("{path:?} does not exist on this endpoint; docs/azure.md lists the addresses that do");
                return Err(error(AmqpError::NotFound, text));
            }
        };
        Ok((address, target))
    }

    fn event_source(&self, entity: &str, partition: &str, filter: Option<&FilterSet>) -> Result<EventSource, Error> {
        let authorization =
            self.auth.require_service_connect().map_err(|why| error(AmqpError::UnauthorizedAccess, why))?;
        let registry = authorization.registry;
        if entity != registry.id() && !entity.eq_ignore_ascii_case("messages/events") {
            let text = format!("the hub's endpoint is called {:?}, not {entity:?}", registry.id());
            return Err(error(AmqpError::NotFound, text));
        }
        let number = partition.parse().ok().filter(|number| *number < self.context.partitions);
        let number = number.ok_or_else(|| {
            error(
                AmqpError::NotFound,
                format!("there is no partition {partition:?}; there are {}", self.context.partitions),
            )
        })?;
        let terms = terms(filter)?;
        let (start, filter) = start_position::split(terms).map_err(|why| error(AmqpError::InvalidField, why))?;
        Ok(EventSource { registry, partition: number, start, filter })
    }

    async fn serve(
        self,
        endpoint: LinkEndpoint,
        target: Result<(Address, Option<EventSource>), Error>,
        settle: fe2o3_amqp_types::definitions::SenderSettleMode,
    ) {
        let (context, auth) = (self.context.clone(), self.auth.clone());
        match (endpoint, target) {
            (LinkEndpoint::Sender(link), Err(error)) => drop(link.close_with_error(error).await),
            (LinkEndpoint::Receiver(link), Err(error)) => drop(link.close_with_error(error).await),
            (LinkEndpoint::Receiver(link), Ok((Address::Cbs, _))) => {
                self.cbs.serve(link, |request| cbs::respond(&context, &auth, request)).await;
            }
            (LinkEndpoint::Sender(link), Ok((Address::Cbs, _))) => self.cbs.send(link).await,
            (LinkEndpoint::Receiver(link), Ok((Address::ToDevices, _))) => {
                devicebound::serve(&context, &auth, link).await;
            }
            (LinkEndpoint::Sender(link), Ok((Address::Feedback, _))) => {
                feedback::serve(&context, &auth, EventSelection::CommandEnds, link).await;
            }
            (LinkEndpoint::Sender(link), Ok((Address::FileNotifications, _))) => {
                feedback::serve(&context, &auth, EventSelection::FileUploads, link).await;
            }
            (LinkEndpoint::Receiver(link), Ok(_)) => {
                self.management.serve(link, |request| management::respond(&context, &auth, request)).await;
            }
            (LinkEndpoint::Sender(link), Ok((_, None))) => self.management.send(link).await,
            (LinkEndpoint::Sender(link), Ok((_, Some(EventSource { registry, partition, start, filter })))) => {
                match Reader::begin(&context, registry, EventSelection::Telemetry { partition }, start).await {
                    Ok(reader) => PartitionStream { link, settle, reader, filter }.run().await,
                    Err(why) => drop(link.close_with_error(error(AmqpError::InternalError, why.to_string())).await),
                }
            }
        }
    }
}

fn error(condition: AmqpError, text: impl Into<String>) -> Error {
    Error::new(condition, Some(text.into()), None)
}

/// The comparisons of all selectors of a link.
fn terms(filter: Option<&FilterSet>) -> Result<Vec<Term>, Error> {
    let mut terms = Vec::new();
    for (name, value) in filter.into_iter().flat_map(|filter| filter.iter()) {
        let text = match value {
            Value::Described(described) => &described.value,
            other => other,
        };
        match text {
            Value::String(text) => {
                terms.extend(selector::parse(text).map_err(|why| error(AmqpError::InvalidField, why.to_string()))?);
            }
            Value::Null => {}
            _ => return Err(error(AmqpError::NotImplemented, format!("the filter {name:?} is not a selector"))),
        }
    }
    Ok(terms)
}
