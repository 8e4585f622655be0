//! A link on which the host sends. It tells its session each delivery that it hands to the AMQP library, which keeps it until the socket takes it.

use std::sync::Arc;

use fe2o3_amqp::{
    acceptor::LinkEndpoint,
    link::{
        DetachError, Receiver, SendError, Sender,
        delivery::{DeliveryFut, Sendable},
    },
};
use fe2o3_amqp_types::{
    definitions::Error,
    messaging::{Outcome, SerializableBody},
};

use crate::session_windows::SessionWindow;

/// A link of a client, by the side that sends.
pub(crate) enum AcceptedLink {
    Incoming(Receiver),
    Outgoing(OutgoingLink),
}

impl AcceptedLink {
    pub(crate) fn new(endpoint: LinkEndpoint, session: Arc<SessionWindow>) -> Self {
        match endpoint {
            LinkEndpoint::Receiver(link) => Self::Incoming(link),
            LinkEndpoint::Sender(link) => Self::Outgoing(OutgoingLink { link, session }),
        }
    }
}

pub(crate) struct OutgoingLink {
    link: Sender,
    session: Arc<SessionWindow>,
}

impl OutgoingLink {
    pub(crate) fn session(&self) -> &Arc<SessionWindow> {
        &self.session
    }

    /// Hands over a message of few bytes, or one that is bounded elsewhere. Waits for credit, and not until the client settles it.
    pub(crate) async fn send_batchable<T: SerializableBody>(
        &mut self,
        message: impl Into<Sendable<T>>,
    ) -> Result<DeliveryFut<Result<Outcome, SendError>>, SendError> {
        self.send_counted(message, 0).await
    }

    /// Hands over a message of which `bytes` count in the budget of the connection until it is written. Waits for credit, not for room.
    pub(crate) async fn send_counted<T: SerializableBody>(
        &mut self,
        message: impl Into<Sendable<T>>,
        bytes: usize,
    ) -> Result<DeliveryFut<Result<Outcome, SendError>>, SendError> {
        let delivery = self.link.send_batchable(message).await?;
        self.session.handed_over(bytes);
        Ok(delivery)
    }

    /// Waits until the client detaches the link.
    pub(crate) async fn on_detach(&mut self) -> DetachError {
        self.link.on_detach().await
    }

    pub(crate) async fn close(self) -> Result<(), DetachError> {
        self.link.close().await
    }

    pub(crate) async fn close_with_error(self, error: Error) -> Result<(), DetachError> {
        self.link.close_with_error(error).await
    }
}
