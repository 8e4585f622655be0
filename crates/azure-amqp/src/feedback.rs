//! `/messages/servicebound/feedback`: the outcomes of messages to devices, for senders that asked for them.
//! `/messages/servicebound/filenotifications`: the files that devices uploaded. Both are read from the journal. The position
//! up to which readers have accepted is stored; the first reader of a registry starts one hour back.

use std::time::Duration;

use fe2o3_amqp_types::{
    definitions::{AmqpError, Error},
    messaging::{Data, Message, Outcome, Properties},
    primitives::{Binary, Symbol},
};
use serde_json::{Value, json};

use crate::{
    authorization::ConnectionAuth,
    context::Context,
    event_selection::EventSelection,
    feedback_cursor::FeedbackCursor,
    outgoing_link::OutgoingLink,
    reader::{DeviceEvent, Reader},
    start_position::StartPosition,
};
use switchbox_azure::storage::CONTAINER;
use switchbox_model::{CommandStatus, EventData, Property, RegistryName, event::about};
use switchbox_store as store;
use switchbox_support::clock;

/// The property by which a sender asks for feedback.
const ACK: &str = "iothub-ack";
const CONTENT_TYPE: &str = "application/vnd.microsoft.iothub.feedback.json";
const FILE_CONTENT_TYPE: &str = "application/json";
/// How far back the first reader starts.
const LOOK_BACK: Duration = Duration::from_secs(3_600);
/// Records in one feedback message at most. A file notification has one.
const MAX_RECORDS: usize = 64;

pub(crate) async fn serve(context: &Context, auth: &ConnectionAuth, selection: EventSelection, mut link: OutgoingLink) {
    let ended = match auth.require_service_connect() {
        Ok(program) => run(context, &program.registry, selection, &mut link).await,
        Err(why) => Err(Error::new(AmqpError::UnauthorizedAccess, Some(why), None)),
    };
    // The peer may have closed the link already.
    let _ = match ended {
        Ok(()) => link.close().await,
        Err(error) => link.close_with_error(error).await,
    };
}

/// Sends what was selected until the link ends.
async fn run(
    context: &Context,
    registry: &RegistryName,
    selection: EventSelection,
    link: &mut OutgoingLink,
) -> Result<(), Error> {
    let failed = |error: store::Error| Error::new(AmqpError::InternalError, Some(error.to_string()), None);
    let cursor = context.feedback.of(registry, selection);
    let mut cursor = tokio::select! {
        cursor = cursor.lock() => cursor,
        _ = link.on_detach() => return Ok(()),
    };
    let look_back_ms = u64::try_from(LOOK_BACK.as_millis()).unwrap_or(0);
    let start = StartPosition::Since(clock::now_ms().saturating_sub(look_back_ms));
    // A position after the end is that of another journal.
    let end = context.handles.store.journal_end().1;
    let next = match cursor.next.filter(|(next, _)| next.0 <= end.0.saturating_add(1)) {
        Some(next) => next,
        None => start.find(&context.journal).await.map_err(failed)?,
    };
    let mut reader = Reader::at(context, registry.clone(), selection, next);
    loop {
        let FeedbackCursor { next, waiting } = &mut *cursor;
        let has_sent = !waiting.is_empty();
        while !waiting.is_empty() {
            let (most, message) = match selection {
                EventSelection::FileUploads => (1, message(FILE_CONTENT_TYPE, waiting.first().unwrap_or(&Value::Null))),
                _ => {
                    let most = waiting.len().min(MAX_RECORDS);
                    (most, message(CONTENT_TYPE, &Value::from(waiting.get(..most).unwrap_or_default())))
                }
            };
            let Ok(delivery) = link.send_batchable(message).await else { return Ok(()) };
            match delivery.await {
                // A reader that rejects the records does not want them again.
                Ok(Outcome::Accepted(_) | Outcome::Rejected(_)) => drop(waiting.drain(..most)),
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
        if let Some(next) = next.filter(|_| has_sent) {
            let (cursors, registry) = (context.feedback.clone(), registry.clone());
            // A failure is logged there.
            let _ = tokio::task::spawn_blocking(move || cursors.store(&registry, selection, next)).await;
        }
        let page = reader.page().await.map_err(failed)?;
        for found in page.found {
            cursor.waiting.extend(record(context, &found).await.map_err(failed)?);
        }
        cursor.next = Some(reader.next());
        if page.is_end {
            tokio::select! {
                _ = link.on_detach() => return Ok(()),
                () = reader.wait() => {}
            }
        }
    }
}

fn message(content_type: &str, body: &Value) -> Message<Data> {
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties { content_type: Some(Symbol::from(content_type)), ..Properties::default() }),
        application_properties: None,
        body: Data(Binary::from(body.to_string().into_bytes())),
        footer: None,
    }
}

/// The record for the end of a command, or for an uploaded file. Returns `None` if the sender did not ask for it, or if the command is no longer
/// kept.
async fn record(context: &Context, found: &DeviceEvent) -> Result<Option<Value>, store::Error> {
    let EventData::CommandSettled { id, status } = &found.event.data else { return Ok(file(context, found)) };
    let Some(command) = context.handles.store.command(found.device.num, id.clone()).await? else { return Ok(None) };
    let wants = property(&command.properties, ACK).unwrap_or_default();
    if !is_requested(wants, *status) {
        return Ok(None);
    }
    let count_exceeded = context.handles.delivery.delivery_count_exceeded(found.device.num, command.num);
    let code = code(*status, count_exceeded);
    Ok(Some(json!({
        "originalMessageId": property(&command.properties, about::MESSAGE_ID).unwrap_or(id),
        "enqueuedTimeUtc": clock::rfc3339(found.event.time_ms),
        "statusCode": code,
        "description": code,
        "deviceId": found.device.name.id,
        "deviceGenerationId": found.device.num.num_id().to_string(),
    })))
}

/// The notification of an uploaded file. Returns `None` if the event is of another kind.
fn file(context: &Context, found: &DeviceEvent) -> Option<Value> {
    let uploaded: Value = serde_json::from_slice(found.event.data.payload()).ok()?;
    let (name, device) = (uploaded.get("file")?.as_str()?, &found.device.name);
    let (blob, time) = (format!("{}/{name}", device.id), clock::rfc3339(found.event.time_ms));
    let hub = context.hubs.host(&device.registry).unwrap_or_default();
    Some(json!({
        "deviceId": device.id,
        "blobUri": format!("https://{hub}/{CONTAINER}/{blob}"),
        "blobName": blob,
        "lastUpdatedTime": time,
        "blobSizeInBytes": uploaded.get("bytes")?,
        "enqueuedTimeUtc": time,
    }))
}

fn property<'a>(properties: &'a [Property], name: &str) -> Option<&'a str> {
    properties.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn is_requested(wants: &str, status: CommandStatus) -> bool {
    let is_good = status == CommandStatus::Acknowledged;
    match wants.to_ascii_lowercase().as_str() {
        "full" => true,
        "positive" => is_good,
        "negative" => !is_good,
        _ => false,
    }
}

/// Azure's name for the outcome.
fn code(status: CommandStatus, count_exceeded: bool) -> &'static str {
    match status {
        CommandStatus::Acknowledged => "Success",
        CommandStatus::Rejected if count_exceeded => "DeliveryCountExceeded",
        CommandStatus::Rejected => "Rejected",
        CommandStatus::Purged => "Purged",
        _ => "Expired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_gets_the_feedback_that_it_asked_for() {
        use CommandStatus::{Acknowledged, Expired, Purged, Rejected};
        for (wants, valid, invalid) in [
            ("full", true, true),
            ("Positive", true, false),
            ("negative", false, true),
            ("none", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_requested(wants, Acknowledged), is_requested(wants, Expired)), (valid, invalid), "{wants}");
        }
        let codes = [(Acknowledged, false), (Rejected, true), (Rejected, false), (Purged, false), (Expired, false)];
        let codes = codes.map(|(status, count_exceeded)| code(status, count_exceeded));
        assert_eq!(codes, ["Success", "DeliveryCountExceeded", "Rejected", "Purged", "Expired"]);
    }
}
