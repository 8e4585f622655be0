//! A device over AMQP: its connection, and the links by which it sends events, receives messages, answers methods and uses its twin.

mod commands;
mod connection;
mod events;
mod mailbox;
mod methods;
mod twin;

pub(crate) use self::{connection::DeviceConnection, mailbox::Closing};

use fe2o3_amqp_types::definitions::SenderSettleMode;

use crate::{address::DeviceNode, context::Context, outgoing_link::AcceptedLink};

/// Serves a link of the device until it ends. `settle` is the mode that the client asked for.
pub(crate) async fn serve(
    context: &Context,
    connection: &DeviceConnection,
    node: DeviceNode,
    link: AcceptedLink,
    settle: &SenderSettleMode,
) {
    match (node, link) {
        (DeviceNode::Events, AcceptedLink::Incoming(link)) => events::serve(context, connection, link).await,
        (DeviceNode::Messages, AcceptedLink::Outgoing(link)) => commands::serve(connection, link, settle).await,
        (DeviceNode::Methods, AcceptedLink::Incoming(link)) => methods::receive(context, connection, link).await,
        (DeviceNode::Methods, AcceptedLink::Outgoing(link)) => methods::send(connection, link, settle).await,
        (DeviceNode::Twin, AcceptedLink::Incoming(link)) => twin::receive(context, connection, link).await,
        (DeviceNode::Twin, AcceptedLink::Outgoing(link)) => twin::send(connection, link, settle).await,
        // Refused when the client attached the link.
        (DeviceNode::Events, AcceptedLink::Outgoing(link)) => drop(link.close().await),
        (DeviceNode::Messages, AcceptedLink::Incoming(link)) => drop(link.close().await),
    }
}
