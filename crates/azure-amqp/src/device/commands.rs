//! `/devices/{d}/messages/devicebound`: the device's commands. What it does with a message ends the command: accepted is
//! acknowledged, rejected is rejected. A message that it releases is sent again, until it was released too often.

use std::time::Instant;

use fe2o3_amqp::link::{SendError, delivery::Sendable};
use fe2o3_amqp_types::{
    definitions::SenderSettleMode,
    messaging::{Data, Header, Message, MessageAnnotations, Outcome},
    primitives::{Binary, OrderedMap, Timestamp, Value},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{connection::DeviceConnection, mailbox::WaitingCommand};
use crate::{
    message::{split_properties, symbol},
    outgoing_link::OutgoingLink,
};
use switchbox_core::registry::Device;
use switchbox_delivery::{DeliveryReport, DownlinkKind, Outbound, OutboundCommand};
use switchbox_model::event::about;
use switchbox_support::clock;

pub(super) async fn serve(connection: &DeviceConnection, mut link: OutgoingLink, settle: &SenderSettleMode) {
    let mailbox = connection.mailbox();
    let turn = tokio::select! {
        turn = mailbox.command_turn.lock() => turn,
        _ = link.on_detach() => return drop(link.close().await),
    };
    let settled = matches!(settle, SenderSettleMode::Settled);
    mailbox.set_confirmed(!settled);
    connection.online(|online| online.subscribe(DownlinkKind::Commands));
    run(connection, &mut link, settled).await;
    connection.online(|online| online.unsubscribe(DownlinkKind::Commands));
    drop(turn);
    // The peer may have closed the link already.
    let _ = link.close().await;
}

/// Sends commands until the link ends.
async fn run(connection: &DeviceConnection, link: &mut OutgoingLink, settled: bool) {
    let mailbox = connection.mailbox();
    let mut unsettled: Vec<WaitingCommand> = Vec::new();
    let mut outcomes = FuturesUnordered::new();
    loop {
        let waiting = tokio::select! {
            Some((num, outcome)) = outcomes.next(), if !outcomes.is_empty() => {
                settle_command(connection, &mut unsettled, num, outcome);
                continue;
            }
            _ = link.on_detach() => break,
            waiting = mailbox.next_command() => waiting,
        };
        let Some(message) = message(connection.device(), &waiting) else { continue };
        let Outbound::Command(command) = &waiting.command else { continue };
        let num = command.num;
        unsettled.push(waiting);
        let sendable = Sendable::builder().message(message).settled(Some(settled)).build();
        // Without credit this waits, and what was sent before is settled meanwhile.
        let sending = link.send_batchable(sendable);
        let mut sending = std::pin::pin!(sending);
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                Some((num, outcome)) = outcomes.next(), if !outcomes.is_empty() => {
                    settle_command(connection, &mut unsettled, num, outcome);
                }
            }
        };
        let Ok(delivery) = sent else { break };
        if settled {
            // Its end was journaled before it was sent.
            unsettled.retain(|waiting| !is(waiting, num));
            continue;
        }
        connection.online(|online| online.acknowledged([DeliveryReport::CommandSent { num }]));
        outcomes.push(async move { (num, delivery.await) });
    }
    mailbox.return_commands(unsettled);
}

fn is(waiting: &WaitingCommand, number: u64) -> bool {
    matches!(&waiting.command, Outbound::Command(command) if command.num == number)
}

/// The device has settled a command.
fn settle_command(
    connection: &DeviceConnection,
    unsettled: &mut Vec<WaitingCommand>,
    num: u64,
    outcome: Result<Outcome, SendError>,
) {
    let Some(at) = unsettled.iter().position(|waiting| is(waiting, num)) else { return };
    let Ok(outcome) = outcome else {
        // The link has ended: the command is still unsettled.
        return;
    };
    let waiting = unsettled.swap_remove(at);
    let Outbound::Command(command) = &waiting.command else { return };
    let id = &command.id;
    match outcome {
        Outcome::Accepted(_) => {
            let report = DeliveryReport::CommandAcknowledged { num, id: id.clone() };
            connection.online(|online| online.acknowledged([report]));
        }
        Outcome::Rejected(_) => {
            let report = DeliveryReport::CommandRefused { num, id: id.clone() };
            connection.online(|online| online.acknowledged([report]));
        }
        Outcome::Released(_) | Outcome::Modified(_) => {
            let times = connection.online(|online| online.abandoned(num, id)).flatten();
            if let Some(abandoned) = times {
                connection.mailbox().return_commands(vec![WaitingCommand { abandoned, ..waiting }]);
            }
        }
    }
}

/// The message for the device. Returns `None` if it is not a command.
fn message(device: &Device, waiting: &WaitingCommand) -> Option<Message<Data>> {
    let Outbound::Command(command) = &waiting.command else { return None };
    let OutboundCommand { num, id, subfolder, payload, properties: user_properties, expires, .. } = &**command;
    let own_id = (!user_properties.iter().any(|(name, _)| name == about::MESSAGE_ID))
        .then(|| (about::MESSAGE_ID.into(), id.to_string()));
    let subfolder = (!subfolder.is_empty()).then(|| ("subfolder".to_owned(), subfolder.to_string()));
    let mut annotations = MessageAnnotations(OrderedMap::new());
    let properties = own_id.into_iter().chain(subfolder).chain(user_properties.iter().cloned());
    let (mut properties, application) = split_properties(properties, &mut annotations);
    properties.to = Some(format!("/devices/{}/messages/devicebound", device.name.id));
    properties.absolute_expiry_time = expires.map(expiry);
    let number = Value::Long(i64::try_from(*num).unwrap_or(i64::MAX));
    annotations.0.insert(symbol("x-opt-sequence-number"), number);
    let delivery_count = waiting.abandoned;
    Some(Message {
        header: Some(Header { delivery_count, ..Header::default() }),
        delivery_annotations: None,
        message_annotations: Some(annotations),
        properties: Some(properties),
        application_properties: application,
        body: Data(Binary::from(payload.to_vec())),
        footer: None,
    })
}

fn expiry(at: Instant) -> Timestamp {
    let left_ms = u64::try_from(at.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_milliseconds(i64::try_from(clock::now_ms().saturating_add(left_ms)).unwrap_or(i64::MAX))
}
