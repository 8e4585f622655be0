//! Ordinary topics: the retained messages, and publishing by hand.

use std::sync::Arc;

use axum::{Json, extract::State};
use tokio::sync::oneshot;

use super::bridge::within;
use crate::{
    app::App,
    convert::Params,
    details,
    error::{Error, ErrorStatus},
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{Base64, Empty, ListTopicMessagesResponse, Time, TopicMessage};
use switchbox_core::ingest::{self, OnCommit};
use switchbox_model::{Message, QoS, broker::Owner};
use switchbox_mqtt_session::topics::{self, Publisher, WaitBudget};
use switchbox_store::QueueShare;
use switchbox_telemetry as telemetry;

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

/// Topics that only devices and the host publish to.
const RESERVED: [&str; 3] = ["/devices/", "registries/", "$"];

pub(crate) fn show(message: &Message, time: Option<Time>) -> TopicMessage {
    TopicMessage {
        topic: message.topic.to_string(),
        binary_data: Base64(message.payload.clone()),
        qos: message.qos as u8,
        retain: message.retain,
        time,
    }
}

/// The parameter `filter`; without one, all ordinary topics.
pub(crate) fn filter(params: &Params) -> Result<String, Error> {
    let filter = params.one("filter").unwrap_or("#");
    let wrong = |why: &dyn std::fmt::Display| Error::invalid(format!("filter {filter:?}: {why}")).of_field("filter");
    topics::check_filter(filter).map_err(|error| wrong(&error))?;
    if topics::is_shared(filter) || RESERVED.iter().any(|reserved| filter.starts_with(reserved)) {
        return Err(wrong(&"only ordinary topics are shown here; what devices send is at /v1/events"));
    }
    Ok(filter.to_owned())
}

pub(crate) async fn retained(State(app): State<App>, params: Params) -> ApiResult<ListTopicMessagesResponse<Written>> {
    params.only(&["filter", "pageSize", "pageToken"])?;
    let filter = filter(&params)?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let mut after = params.one("pageToken").map(str::to_owned);
    let (mut list, mut last) = (Items::default(), None);
    let next_page_token = 'pages: loop {
        let page = app.handles.topics.retained(&filter, after.as_deref(), switchbox_pubsub::now());
        for message in page.messages {
            if list.len() >= limit || !list.push(&show(&message, None)) {
                break 'pages last;
            }
            last = Some(message.topic.to_string());
        }
        match page.next {
            Some(next) => after = Some(next.to_string()),
            None => break None,
        }
    };
    Ok(Json(ListTopicMessagesResponse { messages: list.page(&app.handles.counters), next_page_token }))
}

/// The topic of a message that a caller may publish.
pub(crate) fn check_topic(topic: &str) -> Result<(), Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::invalid(format!("topic {topic:?}: {why}")).of_field("topic");
    topics::check_name(topic).map_err(|error| wrong(&error))?;
    if RESERVED.iter().any(|reserved| topic.starts_with(reserved)) {
        return Err(wrong(&"it is the host's or a device's; publish on an ordinary topic"));
    }
    Ok(())
}

/// The answer is sent when the event is durable for the plugins that it triggers (QoS 1 and 2), and delivered to all subscribers.
pub(crate) async fn publish(
    State(app): State<App>,
    params: Params,
    Body(request): Body<TopicMessage>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    check_topic(&request.topic)?;
    let qos = QoS::of(request.qos).ok_or_else(|| Error::invalid("qos is 0, 1 or 2").of_field("qos"))?;
    let payload = within("the payload", app.payloads.message(), request.binary_data)?;
    details::object(&request.topic);
    let mut message = Message::new(&request.topic, payload);
    (message.qos, message.retain) = (qos, request.retain);
    let traceparent = app.handles.counters.traces.on().and_then(|_| telemetry::current_traceparent());
    if let Some(traceparent) = traceparent {
        message.properties.get_or_insert_default().user.push((telemetry::PROPERTY.to_owned(), traceparent));
    }
    let message = Arc::new(message);
    if let Some(event) = app.handles.ingest.topic_event(&message) {
        let permit = app.handles.ingest.reserve(message.size(), QueueShare::Bounded).await?;
        let (done, durable) = oneshot::channel();
        // The caller may have disconnected.
        let on_commit = OnCommit::Call(Box::new(move |result| drop(done.send(result.map(drop)))));
        app.handles.ingest.submit_topic(event, vec![], Some(permit), on_commit)?;
        durable.await.map_err(|_| ingest::Error::Closed)?.map_err(ingest::Error::from)?;
    }
    let from = Publisher::of(Owner::Everyone);
    app.handles.topics.publish(message.clone(), &from, &mut WaitBudget::default()).await;
    let is_kept = || {
        app.handles
            .topics
            .retained(&message.topic, None, switchbox_pubsub::now())
            .messages
            .iter()
            .any(|one| one.payload == message.payload)
    };
    if message.retain && !message.payload.is_empty() && !is_kept() {
        let text = "it was given to the subscribers, but there is no room to retain it (limits retained_messages, retained_bytes)";
        return Err(Error::new(ErrorStatus::ResourceExhausted, text));
    }
    Ok(Json(Empty {}))
}
