//! The host itself: its health, this document, and what happened.

use super::call::{
    Call,
    Shape::{Json, Other},
    get, verb,
};
use crate::admin::{
    handlers::{explain, health, history},
    openapi,
    scope::Scope,
};

const TEXT: super::Shape = Other(&["text/plain"]);

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/healthz", health::alive).says("Is the host alive?").scope(Scope::Open).answers(TEXT),
        get("/readyz", health::ready).says("Does it take clients? 503 until it does").scope(Scope::Open).answers(TEXT),
        get("/openapi.json", openapi::show).says("This document").scope(Scope::Open).answers(super::Shape::Any),
        get("/metrics", health::metrics)
            .says("Counters, in OpenMetrics' text format")
            .answers(Other(&["application/openmetrics-text"])),
        get("/v1/events", history::events)
            .says("What happened, newest first")
            .params(&["pageSize", "pageToken", "device", "kind"])
            .answers(Json("ListEventsResponse")),
        get("/v1/events:follow", history::no_follow).says("Events as they come (not in this version)"),
        get("/v1/executions", history::executions)
            .says("What plugins did with events, newest first")
            .params(&["pageSize", "pageToken", "plugin", "event"])
            .answers(Json("ListExecutionsResponse")),
        get("/v1/deadLetters", history::dead_letters)
            .says("Events that no plugin could handle, oldest first")
            .params(&["pageSize", "pageToken"])
            .answers(Json("ListDeadLettersResponse")),
        get("/v1/deadLetters/{id}", history::dead_letter).says("One of them").answers(Json("DeadLetter")),
        verb("/v1/deadLetters/{id}", "redrive", history::redrive)
            .says("Hands the event to its plugin again")
            .scope(Scope::Operate),
        get("/v1/explain/{*id}", explain::explain)
            .says("Why something happened, from an effect back to its event, or from an event to what came of it")
            .answers(Json("Explanation")),
    ]
}
