//! The provisioning service for programs: individual enrolments and enrolment groups of the registry that the host name of the call
//! selects.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::{CONTINUATION, ITEM_TYPE, QueryIn, rows, text};
use crate::{
    app::{App, Caller},
    body::Body,
    enrollment::{self, EnrollmentIn, EnrollmentOut, Kind},
    error::{Code, ServiceError},
    etag::IfMatch,
};
use switchbox_core::registry;
use switchbox_model::{
    enrollment::Enrollment,
    limits::{CHANGE_ATTEMPTS, fields},
};

type FoundEnrollment = (String, Enrollment);

fn all(app: &App, caller: &Caller) -> std::sync::Arc<BTreeMap<String, Enrollment>> {
    app.handles.registry.registry(&caller.registry).map(|registry| registry.enrollments).unwrap_or_default()
}

/// An individual enrolment is found by its registration id, a group by its id.
fn look_up(app: &App, caller: &Caller, kind: Kind, id: &str) -> Option<FoundEnrollment> {
    let is_it = |(own, enrollment): &(&String, &Enrollment)| {
        kind.is_of(enrollment) && *enrollment.registration_id.as_ref().unwrap_or(own) == *id
    };
    all(app, caller).iter().find(is_it).map(|(own, enrollment)| (own.clone(), enrollment.clone()))
}

fn find(app: &App, caller: &Caller, kind: Kind, id: &str) -> Result<FoundEnrollment, ServiceError> {
    let missing = || ServiceError::new(Code::EnrollmentNotFound, format!("there is no enrolment {id}"));
    look_up(app, caller, kind, id).ok_or_else(missing)
}

fn refused(error: registry::Error) -> ServiceError {
    match error {
        registry::Error::Exists(what) => ServiceError::new(Code::EnrollmentExists, format!("{what} exists already")),
        registry::Error::NoSuch(what) => ServiceError::new(Code::EnrollmentNotFound, format!("there is no {what}")),
        registry::Error::OtherRevision { .. } => ServiceError::precondition("the enrolment"),
        error => error.into(),
    }
}

fn check_etag(if_match: &IfMatch, enrollment: &Enrollment) -> Result<(), ServiceError> {
    if if_match.allows(&enrollment::etag(enrollment)) {
        Ok(())
    } else {
        Err(ServiceError::precondition("the enrolment"))
    }
}

/// Creates an enrolment without If-Match, and replaces one with it. The answer has the keys.
async fn put(
    app: &App,
    caller: &Caller,
    (kind, id): (Kind, &str),
    if_match: &IfMatch,
    body: &EnrollmentIn,
) -> Result<Json<EnrollmentOut>, ServiceError> {
    let named = if kind == Kind::Device { &body.registration_id } else { &body.enrollment_group_id };
    if named.as_ref().is_some_and(|named| named != id) {
        return Err(ServiceError::invalid("the id in the body differs from the id in the path"));
    }
    let registry = &app.handles.registry;
    if *if_match == IfMatch::Absent {
        let new = body.enrollment(app, &caller.registry, (kind, id), None)?;
        registry.create_enrollment(&caller.registry, id.to_owned(), new).await.map_err(refused)?;
    } else {
        replace(app, caller, (kind, id), if_match, body).await?;
    }
    let (own, enrollment) = find(app, caller, kind, id)?;
    Ok(Json(enrollment::to_json(&own, &enrollment, true)))
}

/// What the caller left out, such as a key, is taken from the enrolment as it is, and the new one takes the place of no other.
async fn replace(
    app: &App,
    caller: &Caller,
    (kind, id): (Kind, &str),
    if_match: &IfMatch,
    body: &EnrollmentIn,
) -> Result<(), ServiceError> {
    for _ in 0..CHANGE_ATTEMPTS {
        let (own, before) = find(app, caller, kind, id)?;
        check_etag(if_match, &before)?;
        let new = body.enrollment(app, &caller.registry, (kind, id), Some(&before))?;
        match app.handles.registry.replace_enrollment(&caller.registry, own, before, new).await {
            Err(registry::Error::OtherRevision { .. }) if !if_match.is_tag() => {}
            done => return done.map_err(refused),
        }
    }
    Err(ServiceError::outrun("the enrolment"))
}

/// With an ETag, the enrolment is compared again where the entry is applied.
async fn remove(app: &App, caller: &Caller, kind: Kind, id: &str, if_match: &IfMatch) -> Result<(), ServiceError> {
    let (own, enrollment) = find(app, caller, kind, id)?;
    check_etag(if_match, &enrollment)?;
    let before = if_match.is_tag().then_some(enrollment);
    app.handles.registry.delete_enrollment(&caller.registry, own, before).await.map_err(refused)
}

/// All enrolments of a kind, page by page. A continuation is the id of the last one.
fn query(
    app: &App,
    caller: &Caller,
    kind: Kind,
    headers: &HeaderMap,
    body: &QueryIn,
) -> Result<Response, ServiceError> {
    let words: Vec<_> = body.query.split_whitespace().map(str::to_ascii_lowercase).collect();
    let from = if kind == Kind::Device { "enrollments" } else { "enrollmentgroups" };
    let is_all = |words: &[String]| matches!(words, [select, star, word, name] if select == "select" && star == "*" && word == "from" && name == from);
    if !words.is_empty() && !is_all(&words) {
        return Err(ServiceError::not_supported(&format!("the query {:?} (SELECT * FROM {from} is)", body.query)));
    }
    let (after, limit) = (text(headers, &CONTINUATION).unwrap_or_default(), rows(headers));
    let all = all(app, caller);
    let mut found = all.iter().filter(|(id, enrollment)| kind.is_of(enrollment) && id.as_str() > after).peekable();
    let page: Vec<_> = found.by_ref().take(limit).collect();
    let last = page.last().map(|(id, _)| (*id).clone()).filter(|_| found.peek().is_some());
    let shown = page.into_iter().map(|(id, enrollment)| enrollment::to_json(id, enrollment, false)).collect::<Vec<_>>();
    let mut response = Json(shown).into_response();
    let kind = if kind == Kind::Device { "enrollment" } else { "enrollmentGroup" };
    response.headers_mut().insert(ITEM_TYPE, HeaderValue::from_static(kind));
    if let Some(next) = last.and_then(|last| HeaderValue::from_str(&last).ok()) {
        response.headers_mut().insert(CONTINUATION, next);
    }
    Ok(response)
}

/// For handlers of individual enrolments.
pub(crate) const DEVICE: bool = false;
/// For handlers of enrolment groups.
pub(crate) const GROUP: bool = true;

pub(crate) async fn get<const OF_GROUP: bool>(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<EnrollmentOut>, ServiceError> {
    let (own, enrollment) = find(&app, &caller, Kind::of(OF_GROUP), &id)?;
    Ok(Json(enrollment::to_json(&own, &enrollment, false)))
}

pub(crate) async fn put_one<const OF_GROUP: bool>(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    if_match: IfMatch,
    Body(body): Body<EnrollmentIn>,
) -> Result<Json<EnrollmentOut>, ServiceError> {
    put(&app, &caller, (Kind::of(OF_GROUP), &id), &if_match, &body).await
}

pub(crate) async fn delete<const OF_GROUP: bool>(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    if_match: IfMatch,
) -> Result<StatusCode, ServiceError> {
    remove(&app, &caller, Kind::of(OF_GROUP), &id, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn query_all<const OF_GROUP: bool>(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(body): Body<QueryIn>,
) -> Result<Response, ServiceError> {
    query(&app, &caller, Kind::of(OF_GROUP), &headers, &body)
}

/// The keys or the certificate of an enrolment.
pub(crate) async fn keys<const OF_GROUP: bool>(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ServiceError> {
    let (_, enrollment) = find(&app, &caller, Kind::of(OF_GROUP), &id)?;
    Ok(Json(enrollment::attestation_json(&enrollment, true)))
}

#[derive(Debug, Deserialize)]
pub(crate) struct BulkIn {
    mode: String,
    enrollments: Vec<EnrollmentIn>,
}

/// Each enrolment is changed on its own, and the answer names those that failed.
pub(crate) async fn bulk(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(BulkIn { mode, enrollments }): Body<BulkIn>,
) -> Result<Json<Value>, ServiceError> {
    fields::HUB_BULK.check_len("enrolments in one call", enrollments.len())?;
    let mut errors = Vec::new();
    for enrollment in &enrollments {
        let id = enrollment.registration_id.as_deref().unwrap_or_default();
        if let Err(error) = one(&app, &caller, &mode, id, enrollment).await {
            error.count(&app.handles.metrics);
            let (code, status) = (error.code.number(), error.to_string());
            errors.push(json!({ "registrationId": id, "errorCode": code, "errorStatus": status }));
        }
    }
    Ok(Json(json!({ "isSuccessful": errors.is_empty(), "errors": errors })))
}

async fn one(app: &App, caller: &Caller, mode: &str, id: &str, body: &EnrollmentIn) -> Result<(), ServiceError> {
    let tag = || IfMatch::new(Some(body.etag.as_deref().unwrap_or("*")));
    match mode.to_ascii_lowercase().as_str() {
        "create" => put(app, caller, (Kind::Device, id), &IfMatch::Absent, body).await.map(drop),
        "update" => put(app, caller, (Kind::Device, id), &IfMatch::Any, body).await.map(drop),
        "updateifmatchetag" => put(app, caller, (Kind::Device, id), &tag(), body).await.map(drop),
        "delete" => remove(app, caller, Kind::Device, id, &tag()).await,
        other => {
            Err(ServiceError::invalid(format!("mode is create, update, updateIfMatchETag or delete, not {other:?}")))
        }
    }
}
