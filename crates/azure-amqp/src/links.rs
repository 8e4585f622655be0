//! The links of a session. Each link is accepted or refused by its address. All run in the session's task.

use std::{pin::pin, sync::Arc};

use fe2o3_amqp::acceptor::{LinkAcceptor, ListenerSessionHandle, SupportedReceiverSettleModes};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error, Role, SenderSettleMode},
    messaging::{FilterSet, TargetArchetype},
    performatives::Attach,
    primitives::Value,
};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};

use crate::{
    address::{Address, DeviceNode},
    authorization::ConnectionAuth,
    cbs,
    context::Context,
    device::{self, DeviceConnection},
    devicebound,
    error::error,
    event_selection::EventSelection,
    feedback,
    last_enqueued::{self, LastEnqueued},
    management,
    outgoing_link::AcceptedLink,
    reader::Reader,
    requests::ResponseQueue,
    selector::{self, Term},
    session_windows::SessionWindow,
    start_position::{self, StartPosition},
    streaming::PartitionStream,
};
use switchbox_model::{
    RegistryName,
    limits::{HUB_AMQP_LINKS, HUB_AMQP_REQUEST_BYTES, names},
};

/// Links that a client may have in one session before it has authenticated.
const UNAUTHENTICATED_LINKS: usize = 4;

/// The links of a session. They have no tasks of their own, so that an idle connection costs little.
type Links = FuturesUnordered<BoxFuture<'static, ()>>;

/// What the links of one session share.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) context: Context,
    pub(crate) auth: ConnectionAuth,
    cbs: Arc<ResponseQueue>,
    management: Arc<ResponseQueue>,
    window: Arc<SessionWindow>,
}

/// What a link that was accepted is attached to.
enum Node {
    Cbs,
    Management,
    ToDevices,
    /// Feedback, or file notifications.
    Feedback(EventSelection),
    Events(EventSource),
    Device(DeviceConnection, DeviceNode),
}

/// The checked source of a reader.
struct EventSource {
    registry: RegistryName,
    partition: u16,
    start: StartPosition,
    filter: Vec<Term>,
    /// The reader wants to know the partition's newest event.
    with_last: bool,
}

impl Session {
    pub(crate) fn new(context: Context, auth: ConnectionAuth, window: Arc<SessionWindow>) -> Self {
        let (cbs, management) = (Arc::new(ResponseQueue::new()), Arc::new(ResponseQueue::new()));
        Self { context, auth, cbs, management, window }
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
        let mut links = Links::new();
        while let Some(mut attach) = alongside(&mut links, handle.next_incoming_attach()).await {
            let most = if self.auth.is_authenticated() { HUB_AMQP_LINKS } else { UNAUTHENTICATED_LINKS };
            if links.len() >= most {
                self.context.handles.metrics.limit(names::HUB_AMQP_LINKS);
                let too_many = error(AmqpError::ResourceLimitExceeded, "a session has too many links");
                let _ = handle.end_with_error(too_many).await;
                return;
            }
            let node = alongside(&mut links, self.check_attach(&attach)).await;
            if matches!(node, Ok(Node::Events(_))) {
                // Azure's SDKs acknowledge no events, not even Python's, which asks for unsettled ones.
                attach.snd_settle_mode = SenderSettleMode::Settled;
            }
            let settle = attach.snd_settle_mode.clone();
            let acceptor = if attach.role == Role::Sender { &receiving } else { &sending };
            let accepted = acceptor.accept_incoming_attach(attach, &mut handle);
            let Ok(endpoint) = alongside(&mut links, accepted).await else { continue };
            let (session, link) = (self.clone(), AcceptedLink::new(endpoint, self.window.clone()));
            links.push(Box::pin(async move { session.serve(link, node, settle).await }));
        }
    }

    /// Checks what a link may be attached to. Returns the error for the client if it may not.
    async fn check_attach(&self, attach: &Attach) -> Result<Node, Error> {
        let text = match attach.role {
            Role::Sender => match attach.target.as_deref() {
                Some(TargetArchetype::Target(target)) => target.address.clone(),
                _ => None,
            },
            Role::Receiver => attach.source.as_ref().and_then(|source| source.address.clone()),
        };
        let not_allowed = |text: &str| Err(error(AmqpError::NotAllowed, text));
        match (Address::parse(&text.unwrap_or_default()), &attach.role) {
            (Address::Cbs, _) => Ok(Node::Cbs),
            (Address::Management, _) => Ok(Node::Management),
            (Address::ToDevices, Role::Sender) => self.for_program(Node::ToDevices),
            (Address::Feedback, Role::Receiver) => self.for_program(Node::Feedback(EventSelection::CommandEnds)),
            (Address::FileNotifications, Role::Receiver) => {
                self.for_program(Node::Feedback(EventSelection::FileUploads))
            }
            (Address::Events { entity, partition }, Role::Receiver) => {
                self.event_source(&entity, &partition, attach).map(Node::Events)
            }
            (Address::Device { node: DeviceNode::Events, .. }, Role::Receiver) => {
                not_allowed("events of a device can only be sent here; programs read them from the partitions")
            }
            (Address::Device { node: DeviceNode::Messages, .. }, Role::Sender) => not_allowed(
                "messages for a device can only be received here; programs send them to /messages/devicebound",
            ),
            (Address::Device { id, node }, _) => {
                let connection = self.auth.require_device(&self.context, &id).await;
                let connection = connection.map_err(|why| error(AmqpError::UnauthorizedAccess, why))?;
                Ok(Node::Device(connection, node))
            }
            (Address::ToDevices, Role::Receiver) => not_allowed("messages to devices can only be sent, not received"),
            (Address::Feedback | Address::FileNotifications, Role::Sender) => {
                not_allowed("feedback and file notifications can only be received, not sent")
            }
            (Address::Events { .. }, Role::Sender) => {
                not_allowed("events come from devices; nothing can be sent to a partition")
            }
            (Address::Other(path), Role::Sender) if self.is_event_endpoint(&path) => {
                not_allowed("events come from devices; nothing can be sent to the event endpoint")
            }
            (Address::Other(path), _) => {
                let text =
                    format!("{path:?} does not exist on this endpoint; docs/azure.md lists the addresses that do");
                Err(error(AmqpError::NotFound, text))
            }
        }
    }

    fn for_program(&self, node: Node) -> Result<Node, Error> {
        let program = self.auth.require_service_connect();
        program.map(|_| node).map_err(|why| error(AmqpError::UnauthorizedAccess, why))
    }

    fn is_event_endpoint(&self, path: &str) -> bool {
        let program = self.auth.require_service_connect();
        program.is_ok_and(|program| management::check_entity(&program.registry, path).is_ok())
    }

    fn event_source(&self, entity: &str, partition: &str, attach: &Attach) -> Result<EventSource, Error> {
        let program = self.auth.require_service_connect();
        let registry = program.map_err(|why| error(AmqpError::UnauthorizedAccess, why))?.registry;
        management::check_entity(&registry, entity).map_err(|why| error(AmqpError::NotFound, why))?;
        let number = partition.parse().ok().filter(|number| *number < self.context.partitions);
        let number = number.ok_or_else(|| {
            error(
                AmqpError::NotFound,
                format!("there is no partition {partition:?}; there are {}", self.context.partitions),
            )
        })?;
        let terms = terms(attach.source.as_ref().and_then(|source| source.filter.as_ref()))?;
        let (start, filter) = start_position::split(terms).map_err(|why| error(AmqpError::InvalidField, why))?;
        let mut capabilities = attach.desired_capabilities.iter().flat_map(|list| list.0.iter());
        let with_last = capabilities.any(|capability| capability.as_str() == last_enqueued::CAPABILITY);
        Ok(EventSource { registry, partition: number, start, filter, with_last })
    }

    async fn serve(self, link: AcceptedLink, node: Result<Node, Error>, settle: SenderSettleMode) {
        let (context, auth) = (self.context.clone(), self.auth.clone());
        match (link, node) {
            (AcceptedLink::Outgoing(link), Err(error)) => drop(link.close_with_error(error).await),
            (AcceptedLink::Incoming(link), Err(error)) => drop(link.close_with_error(error).await),
            (link, Ok(Node::Device(connection, node))) => {
                device::serve(&context, &connection, node, link, &settle).await;
            }
            (AcceptedLink::Incoming(link), Ok(Node::Cbs)) => {
                self.cbs.serve(link, |request| cbs::respond(&context, &auth, request)).await;
            }
            (AcceptedLink::Outgoing(link), Ok(Node::Cbs)) => self.cbs.send(link).await,
            (AcceptedLink::Incoming(link), Ok(Node::ToDevices)) => devicebound::serve(&context, &auth, link).await,
            (AcceptedLink::Outgoing(link), Ok(Node::Feedback(selection))) => {
                feedback::serve(&context, &auth, selection, link).await;
            }
            (AcceptedLink::Outgoing(link), Ok(Node::Events(source))) => {
                let EventSource { registry, partition, start, filter, with_last } = source;
                let last = with_last.then(|| LastEnqueued::new(&context, &registry, partition));
                match Reader::begin(&context, registry, EventSelection::Telemetry { partition }, start).await {
                    Ok(reader) => PartitionStream { link, reader, filter, last }.run().await,
                    Err(why) => drop(link.close_with_error(error(AmqpError::InternalError, why.to_string())).await),
                }
            }
            (AcceptedLink::Incoming(link), Ok(_)) => {
                self.management.serve(link, |request| management::respond(&context, &auth, request)).await;
            }
            (AcceptedLink::Outgoing(link), Ok(_)) => self.management.send(link).await,
        }
    }
}

/// Waits for the future, and runs the links meanwhile.
async fn alongside<T>(links: &mut Links, operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    loop {
        tokio::select! {
            got = &mut operation => return got,
            Some(()) = links.next(), if !links.is_empty() => {}
        }
    }
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
