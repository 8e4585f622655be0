//! Admits calls: checks the token and its scope, the rate, and the size of the body. Every write is logged in the audit log with its
//! result. A write that cannot be logged is not carried out.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    answers::{self, TooManyAnswers},
    app::App,
    audit::{self, Line, Reserved},
    blocking::{blocking, blocking_in_place},
    details::{self, Details},
    error::{Error, ErrorStatus},
    head::bearer,
    rate::{self, Caller},
    verb_paths::shown,
};
use switchbox_admin_api::{Scope, TOKEN_FILE};
use switchbox_http_server::{ConnectionInfo, traces, with_body_deadline};
use switchbox_model::limits::{self, LimitName};
use switchbox_support::{
    clock,
    log_limit::{SiteLimit, SuppressionNote},
    tasks::{Completed, caught, spawn_contained},
};
use switchbox_telemetry as telemetry;
use switchbox_transport::admission::{Rate, network};

/// At most ten lines per minute about the audit log are logged; the others are counted.
static AUDIT_NOT_SYNCED: SiteLimit = SiteLimit::new(10);
static AUDIT_NOT_WRITTEN: SiteLimit = SiteLimit::new(10);

/// The name of callers that need no token, in the log and the audit log.
const UNAUTHENTICATED: &str = "unauthenticated";
/// A refused body up to this size is read to its end.
const DRAINED_BYTES: usize = 4 * 1024 * 1024;
/// Longest method and path in the audit log.
const CALL_BYTES: usize = 512;
/// Header of a response, for the audit log: the object that the call changed.
const OBJECT: HeaderName = HeaderName::from_static("switchbox-object");

/// The caller's name, for audit lines and for the cause of the call's changes.
#[derive(Debug, Clone)]
pub(super) struct AdminPrincipal(pub(super) String);

/// The requirements of one call.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) app: App,
    pub(super) scope: Scope,
    pub(super) body_bytes: usize,
    pub(super) takes_if_match: bool,
    /// For traces: the method, and the path with the names of its parts.
    pub(super) call: Arc<str>,
}

pub(super) async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let counters = gate.app.handles.counters.clone();
    let (call, traced) = (gate.call.clone(), traces::begins(&counters, &request));
    let context = traced.as_ref().and_then(telemetry::Call::context);
    let response = telemetry::within(context, checked(gate, request, next)).await;
    traces::ended(&counters, traced, &call, response.status());
    // The limit that refused a call, wherever it was checked.
    if let Some(limit) = response.extensions().get::<LimitName>() {
        counters.limit(*limit);
    }
    response
}

async fn checked(gate: Gate, request: Request, next: Next) -> Response {
    let address = address_of(&request);
    let mut request =
        request.map(|body| with_body_deadline(body, &gate.app.handles.counters, limits::names::ADMIN_BODY_TIME));
    let (name, scope) = match gate.admit(request.headers(), address.ip()) {
        Ok(admitted) => admitted,
        Err(error) => return error.into_response(),
    };
    if gate.scope.needs_token()
        && let Some(info) = request.extensions().get::<ConnectionInfo>()
    {
        info.mark_authenticated();
    }
    if let Err(error) = gate.allow(&name, scope, request.headers()) {
        let remark = is_write(&gate, &request).then(|| refused_line(&gate.app, &name, &error)).flatten();
        let call = remark.map(|more| format!("{}{more}", call_of(&request)));
        drain(request).await;
        let response = error.into_response();
        if let Some(call) = call {
            write_audit_line(&gate.app, line(name, address, call, response.status(), None), None).await;
        }
        return response;
    }
    request.extensions_mut().insert(AdminPrincipal(name.clone()));
    request.extensions_mut().insert(scope);
    let details = Details::new(request.uri());
    if !is_write(&gate, &request) {
        return gate.read(&name, details::of(details.clone(), next.run(request)), &details).await;
    }
    let done = telemetry::within(telemetry::current(), write(gate.app, name, address, request, next, details));
    // It is completed and logged even if the caller disconnects. The connection's task counts a panic.
    Completed::new(done).await
}

/// Carries a write out, if there is room for its line in the audit log.
async fn write(
    app: App,
    name: String,
    address: SocketAddr,
    request: Request,
    next: Next,
    details: Arc<Details>,
) -> Response {
    let reserved = match reserve(&app).await {
        Ok(reserved) => reserved,
        Err(error) => {
            app.handles.counters.refuse("audit_write");
            if let Some(more) = AUDIT_NOT_WRITTEN.allow() {
                tracing::error!(%error, "the audit log cannot be written; writes are refused until it can{more}");
            }
            drain(request).await;
            let text = format!(
                "nothing was changed: the audit log cannot be written ({error}); make room for it in audit/ in the data folder"
            );
            return Error::new(ErrorStatus::Unavailable, text).into_response();
        }
    };
    let call = call_of(&request);
    // A call that panics is logged as well.
    // Supervision: a panic becomes the answer.
    let ran = caught(details::of(details.clone(), next.run(request))).await;
    let response = ran.unwrap_or_else(|error| {
        Error::new(ErrorStatus::Internal, format!("the call failed on its way, and may be done in part: {error}"))
            .into_response()
    });
    let line = line(name, address, call, response.status(), Some(&details));
    write_audit_line(&app, line, Some(reserved)).await;
    with_object_header(response, &details)
}

/// Reserves room for a line of the audit log.
async fn reserve(app: &App) -> Result<Reserved, Error> {
    if let Some(reserved) = app.audit.try_reserve() {
        return Ok(reserved);
    }
    let log = app.audit.clone();
    blocking(move || Ok(log.reserve()?)).await
}

/// Adds a header with the object that the call found, because a path may name a device by its number.
fn with_object_header(mut response: Response, details: &Details) -> Response {
    if let Some(object) = details.header() {
        response.headers_mut().insert(OBJECT, object);
    }
    response
}

fn is_write(gate: &Gate, request: &Request) -> bool {
    gate.scope.needs_token() && !matches!(*request.method(), Method::GET | Method::HEAD)
}

/// The path for the audit log, cut because it may be far longer than any valid one.
fn call_of(request: &Request) -> String {
    let mut call = format!("{} {}", request.method(), shown(request.uri()));
    if call.len() > CALL_BYTES {
        call.truncate(call.floor_char_boundary(CALL_BYTES));
        call.push('…');
    }
    call
}

/// What is added to the audit log's line of a refused write. `None` when no line is written: a token that may not write cannot push the
/// lines of others out of the log.
fn refused_line(app: &App, caller: &str, error: &Error) -> Option<String> {
    if error.status == ErrorStatus::ResourceExhausted {
        return None;
    }
    match app.scope_log_limit.allow(caller.to_owned(), Instant::now())? {
        // The audit log is bounded by the number of its lines, so lines that only count calls are left out.
        SuppressionNote::Count(_) => None,
        SuppressionNote::Last => Some(" (no more of these for a minute)".into()),
        more @ (SuppressionNote::Nothing | SuppressionNote::LeftOut(_)) => Some(more.to_string()),
    }
}

/// Many clients do not read an answer before they have sent the whole body. A body that is not much too large is read and discarded for them.
async fn drain(request: Request) {
    let small = content_length(request.headers()).is_some_and(|length| length <= DRAINED_BYTES);
    if small {
        // A read error ends the discarding.
        let _ = axum::body::to_bytes(request.into_body(), DRAINED_BYTES).await;
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    text(headers, &header::CONTENT_LENGTH)?.parse().ok()
}

/// Absent only in tests that call the router without a socket.
fn address_of(request: &Request) -> SocketAddr {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map_or((Ipv4Addr::UNSPECIFIED, 0).into(), |ConnectInfo(address)| *address)
}

impl Gate {
    /// The caller's name and scope.
    fn admit(&self, headers: &HeaderMap, address: IpAddr) -> Result<(String, Scope), Error> {
        if !self.scope.needs_token() {
            self.check_rate(Caller::Address(network(address)), rate::CALLS)?;
            return self.check_origin_of_call(headers).map(|()| (UNAUTHENTICATED.into(), self.scope));
        }
        let shown = self.find_token(headers);
        if let Err(error) = &shown {
            // The console asks without a token whether one is needed.
            if headers.contains_key(header::AUTHORIZATION) {
                self.app.handles.counters.refuse("admin_token");
            }
            // Only calls with a wrong token are limited, so that they do not block other callers at the same address.
            self.check_rate(Caller::Unauthenticated(network(address)), rate::UNAUTHENTICATED)?;
            return Err(error.clone());
        }
        shown
    }

    /// A device that needs no credential is admitted like a caller that needs no token.
    fn check_origin_of_call(&self, headers: &HeaderMap) -> Result<(), Error> {
        let bare = self.scope == Scope::Device && !headers.contains_key(header::AUTHORIZATION);
        if bare && !from_this_machine(text(headers, &header::HOST), text(headers, &header::ORIGIN)) {
            return Err(only_from_here());
        }
        Ok(())
    }

    fn find_token(&self, headers: &HeaderMap) -> Result<(String, Scope), Error> {
        let Some(tokens) = &self.app.tokens else {
            let here = from_this_machine(text(headers, &header::HOST), text(headers, &header::ORIGIN));
            return if here { Ok((UNAUTHENTICATED.into(), Scope::Admin)) } else { Err(only_from_here()) };
        };
        let refused = |text: String| Error::new(ErrorStatus::Unauthenticated, text);
        let Some(shown) = bearer(headers) else {
            let file = TOKEN_FILE;
            return Err(refused(format!("a bearer token is needed: the one in {file} in the host's data folder")));
        };
        tokens.find(shown).ok_or_else(|| refused("the bearer token is not this host's".into()))
    }

    fn allow(&self, name: &str, scope: Scope, headers: &HeaderMap) -> Result<(), Error> {
        if scope < self.scope {
            self.app.handles.counters.refuse("admin_scope");
            let (required, had) = (self.scope.name(), scope.name());
            let text = format!("this call needs a token with the scope {required}; {name} has {had}");
            return Err(Error::new(ErrorStatus::PermissionDenied, text));
        }
        if self.scope.needs_token() {
            self.check_rate(Caller::Token(name.to_owned()), rate::CALLS)?;
        }
        if content_length(headers).is_some_and(|length| length > self.body_bytes) {
            return Err(Error::too_large(self.body_bytes));
        }
        if !self.takes_if_match && headers.contains_key(header::IF_MATCH) {
            return Err(Error::invalid("this call takes no If-Match"));
        }
        Ok(())
    }

    /// Carries out a reading call. For each token, the number of answers in memory is bounded.
    async fn read(&self, name: &str, call: impl Future<Output = Response>, details: &Details) -> Response {
        if !self.scope.needs_token() {
            return with_object_header(call.await, details);
        }
        match self.app.answers.acquire_permit(name).await {
            Ok(permit) => answers::with_permit(permit, with_object_header(call.await, details)),
            Err(full) => {
                self.app.handles.counters.limit(limits::names::ADMIN_ANSWERS);
                let error = Error::new(ErrorStatus::ResourceExhausted, full.to_string());
                Error { wait: Some(TooManyAnswers::RETRY), ..error }.into_response()
            }
        }
    }

    fn check_rate(&self, caller: Caller, rate: Rate) -> Result<(), Error> {
        check_rate(&self.app, caller, rate)
    }
}

fn check_rate(app: &App, caller: Caller, rate: Rate) -> Result<(), Error> {
    app.rates.take(caller, rate).map_err(|wait| {
        app.handles.counters.limit(limits::names::ADMIN_RATE);
        Error::too_often(wait)
    })
}

/// Checks the rate of calls of an address for paths that do not exist.
pub(super) fn check_unauthenticated_rate(app: &App, request: &Request) -> Result<(), Error> {
    check_rate(app, Caller::Address(network(address_of(request).ip())), rate::CALLS)
}

fn line(caller: String, address: SocketAddr, call: String, status: StatusCode, details: Option<&Details>) -> Line {
    Line {
        time: clock::rfc3339(clock::now_ms()),
        caller,
        address: address.ip().to_string(),
        call,
        object: details.and_then(Details::object),
        parameters: details.and_then(Details::parameters),
        status: status.as_u16(),
    }
}

async fn write_audit_line(app: &App, line: Line, reserved: Option<Reserved>) {
    let written = match app.audit.try_append(&line) {
        Some(written) => written,
        None => blocking_in_place(|| app.audit.append(&line)),
    };
    drop(reserved);
    let Line { caller, call, status, object, .. } = &line;
    tracing::info!(target: "audit", who = caller, call, object = object.as_deref().unwrap_or_default(), status);
    if app.audit.wants_sync() {
        let log = app.audit.clone();
        // No caller waits for this task.
        spawn_contained(app.handles.counters.panics.clone(), "sync of the audit log", async move {
            tokio::time::sleep(audit::SYNC_INTERVAL).await;
            if let Err(error) = blocking(move || Ok(log.sync()?)).await
                && let Some(more) = AUDIT_NOT_SYNCED.allow()
            {
                tracing::error!(%error, "the audit log cannot be synced to the disk{more}");
            }
        });
    }
    if let Err(error) = written {
        app.handles.counters.refuse("audit_write");
        if let Some(more) = AUDIT_NOT_WRITTEN.allow() {
            tracing::error!(%error, "a line of the audit log cannot be written; it is tried again with the next call{more}");
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn only_from_here() -> Error {
    let reason = "without a token, the API answers calls to a loopback address only, and no calls of other web pages";
    Error::new(ErrorStatus::PermissionDenied, reason)
}

/// A web page that an operator visits must not be able to call a host without a token: neither as itself (its origin)
/// nor under a name of its own that points to loopback.
fn from_this_machine(host: Option<&str>, origin: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_matches(['[', ']']);
    let local = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    local && origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_only_this_machine_is_accepted() {
        for (host, origin, admitted) in [
            (Some("127.0.0.1:8080"), None, true),
            (Some("localhost:8080"), Some("http://localhost:8080"), true),
            (Some("[::1]:8080"), None, true),
            (Some("127.0.0.1:8080"), Some("http://evil.example"), false),
            (Some("evil.example:8080"), None, false),
            (None, None, false),
        ] {
            assert_eq!(from_this_machine(host, origin), admitted, "{host:?} {origin:?}");
        }
    }
}
