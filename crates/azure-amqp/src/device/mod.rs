//! A device over AMQP: its connection, and the links by which it sends events, receives messages, answers methods and uses its twin.

mod commands;
mod connection;
mod events;
mod mailbox;
mod methods;
mod twin;

pub(crate) use self::{connection::DeviceConnection, mailbox::Closing};

use fe2o3_amqp::acceptor::LinkEndpoint;
use fe2o3_amqp_types::definitions::SenderSettleMode;

use crate::{address::DeviceNode, context::Context};

/// Serves a link of the device until it ends. `settle` is the mode that the client asked for.
pub(crate) async fn serve(
    context: &Context,
    connection: &DeviceConnection,
    node: DeviceNode,
    link: LinkEndpoint,
    settle: &SenderSettleMode,
) {
    match (node, link) {
        (DeviceNode::Events, LinkEndpoint::Receiver(link)) => events::serve(context, connection, link).await,
        (DeviceNode::Messages, LinkEndpoint::Sender(link)) => commands::serve(connection, link, settle).await,
        (DeviceNode::Methods, LinkEndpoint::Receiver(link)) => methods::receive(context, connection, link).await,
        (DeviceNode::Methods, LinkEndpoint::Sender(link)) => methods::send(connection, link, settle).await,
        (DeviceNode::Twin, LinkEndpoint::Receiver(link)) => twin::receive(context, connection, link).await,
        (DeviceNode::Twin, LinkEndpoint::Sender(link)) => twin::send(connection, link, settle).await,
        // Refused when the client attached the link.
        (DeviceNode::Events, LinkEndpoint::Sender(link)) => drop(link.close().await),
        (DeviceNode::Messages, LinkEndpoint::Receiver(link)) => drop(link.close().await),
    }
}
