//! The host itself: its health, this document, and what happened.

use super::call::{Call, Shape::Other, delete, get, json, post, stream, verb};
use crate::{
    handlers::{dead_letters, explain, follow, health, history, status, tokens, topic_follow, topics},
    openapi,
};
use switchbox_admin_api::{
    CreateTokenRequest, DeadLetter, Explanation, HostSeries, HostStatus, JournalItem, ListAuditResponse,
    ListDeadLettersResponse, ListEventsResponse, ListExecutionsResponse, ListMethodCallsResponse, ListTokensResponse,
    ListTopicMessagesResponse, Listeners, PurgeDeadLettersResponse, RedriveDeadLettersRequest,
    RedriveDeadLettersResponse, Scope, Token, TopicItem, TopicMessage,
};

const TEXT: super::Shape = Other(&["text/plain"]);

pub(super) fn calls() -> Vec<Call> {
    let all = [health_and_status(), tokens_and_audit(), events(), topic_messages(), executions(), dead_letters()];
    all.into_iter().flatten().chain([explanation()]).collect()
}

fn health_and_status() -> Vec<Call> {
    vec![
        get("/healthz", health::alive).says("Whether the host is running").scope(Scope::Open).answers(TEXT),
        get("/readyz", health::ready)
            .says("Whether the host accepts clients; 503 until it does")
            .scope(Scope::Open)
            .answers(TEXT),
        get("/openapi.json", openapi::show)
            .says("The API as an OpenAPI document")
            .scope(Scope::Open)
            .answers(super::Shape::Any),
        get("/metrics", health::metrics)
            .says("Metrics in Prometheus' text format, or in OpenMetrics' for scrapers that accept it")
            .answers(Other(&["text/plain", "application/openmetrics-text"])),
        get("/v1/listeners", health::listeners)
            .says("The addresses of the host's listeners")
            .answers(json::<Listeners>()),
        get("/v1/status", status::status)
            .says("The host's status: version, counts, problems, and the scope of the caller's token")
            .answers(json::<HostStatus>()),
        get("/v1/status/series", status::series)
            .says("Counts of the last hour, one sample every ten seconds")
            .answers(json::<HostSeries>()),
    ]
}

fn tokens_and_audit() -> Vec<Call> {
    vec![
        get("/v1/tokens", tokens::list)
            .says("The tokens of this API, without their secrets")
            .scope(Scope::Admin)
            .answers(json::<ListTokensResponse>()),
        post("/v1/tokens", tokens::create)
            .says("Creates a token, which is shown once")
            .takes(json::<CreateTokenRequest>())
            .answers(json::<Token>()),
        delete("/v1/tokens/{name}", tokens::delete).says("Deletes a token; calls with it are refused from then on"),
        get("/v1/audit", tokens::audit)
            .says("Changes through the API, newest first")
            .scope(Scope::Admin)
            .params(&["pageSize", "pageToken"])
            .answers(json::<ListAuditResponse>()),
    ]
}

fn events() -> Vec<Call> {
    vec![
        get("/v1/events", history::events)
            .says("Events, newest first")
            .params(&["pageSize", "pageToken", "device", "kind", "since"])
            .answers(json::<ListEventsResponse>()),
        get("/v1/events:follow", follow::follow)
            .says("Events as they come, as server-sent events; continues after the Last-Event-ID")
            .params(&["device", "kind", "plugin", "executions", "perSecond"])
            .answers(stream::<JournalItem>()),
    ]
}

fn topic_messages() -> Vec<Call> {
    vec![
        get("/v1/topics", topics::retained)
            .says("The retained messages on ordinary topics, in order of their topics")
            .params(&["filter", "pageSize", "pageToken"])
            .answers(json::<ListTopicMessagesResponse>()),
        get("/v1/topics:follow", topic_follow::follow)
            .says("Messages on ordinary topics as they are published, as server-sent events; at most perSecond of them")
            .params(&["filter", "perSecond"])
            .answers(stream::<TopicItem>()),
        verb("/v1/topics", "publish", topics::publish)
            .says("Publishes a message on an ordinary topic")
            .scope(Scope::Operate)
            .takes(json::<TopicMessage>()),
    ]
}

fn executions() -> Vec<Call> {
    vec![
        get("/v1/executions", history::executions)
            .says("Executions of events by plugins, newest first")
            .params(&[
                "pageSize",
                "pageToken",
                "plugin",
                "event",
                "device",
                "interesting",
                "logged",
                "since",
                "withDevice",
            ])
            .answers(json::<ListExecutionsResponse>()),
        get("/v1/methodCalls", history::method_calls)
            .says("Calls of methods of devices by plugins and by callers of the API, newest first")
            .params(&["pageSize", "pageToken", "device", "plugin", "since", "withDevice"])
            .answers(json::<ListMethodCallsResponse>()),
    ]
}

fn dead_letters() -> Vec<Call> {
    vec![
        get("/v1/deadLetters", dead_letters::list)
            .says("Events that no plugin could handle, oldest first")
            .params(&["pageSize", "pageToken", "plugin"])
            .answers(json::<ListDeadLettersResponse>()),
        delete("/v1/deadLetters", dead_letters::purge_all)
            .says("Deletes the dead letters of a plugin, or all of them")
            .params(&["plugin", "all"])
            .answers(json::<PurgeDeadLettersResponse>()),
        verb("/v1/deadLetters", "redrive", dead_letters::redrive_all)
            .says("Redrives all dead letters, or those of a plugin: their events are handled again")
            .scope(Scope::Operate)
            .takes(json::<RedriveDeadLettersRequest>())
            .answers(json::<RedriveDeadLettersResponse>()),
        get("/v1/deadLetters/{id}", dead_letters::get)
            .says("A dead letter, with its event and the plugin's log lines")
            .answers(json::<DeadLetter>()),
        delete("/v1/deadLetters/{id}", dead_letters::purge).says("Deletes a dead letter"),
        verb("/v1/deadLetters/{id}", "redrive", dead_letters::redrive)
            .says("Redrives a dead letter: its event is handled again")
            .scope(Scope::Operate),
    ]
}

fn explanation() -> Call {
    get("/v1/explain/{*id}", explain::explain)
        .says("Explains why something happened: from an effect back to its causes, or from an event to its effects")
        .answers(json::<Explanation>())
}
