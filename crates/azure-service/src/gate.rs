//! Checks every call before its handler: the size of its head, its rate, its token, and the right that it needs. Also counts the
//! limit by which a call was refused.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, Method, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    app::{App, Caller, RateKey},
    bounds,
    error::{Code, ServiceError},
};
use switchbox_auth::{AuthRefusal, Signed, Signer};
use switchbox_azure::{AccessRight, Policy, Sas};
use switchbox_http_server::{ConnectionInfo, traces, with_body_deadline};
use switchbox_model::{
    RegistryName,
    limits::{LimitName, fields, names},
};
use switchbox_support::{log_limit::SiteLimit, tasks::Completed};
use switchbox_telemetry as telemetry;
use switchbox_transport::admission::network;

/// At most ten such lines a minute are logged; the others are counted.
static REFUSED: SiteLimit = SiteLimit::new(10);

/// The right that a call requires.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) right: AccessRight,
}

/// Bounds the head of a call and the time of its body, makes its span, and counts the limit that it was refused by.
pub(crate) async fn bound(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = match measure(&request) {
        Ok(()) => traced(&app, request, next).await,
        Err(error) => error.into_response(),
    };
    if let Some(limit) = response.extensions().get::<LimitName>() {
        app.handles.metrics.limit(*limit);
    }
    response
}

/// Carries the call out as part of its caller's trace, or of a new one.
async fn traced(app: &App, request: Request, next: Next) -> Response {
    let metrics = &app.handles.metrics;
    let call = traces::begins(metrics, &request);
    let name = call.as_ref().map(|_| {
        let path = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
        format!("{} {path}", request.method())
    });
    let context = call.as_ref().and_then(telemetry::Call::context);
    let with_deadline = |body| with_body_deadline(body, metrics, names::HUB_API_BODY_TIME);
    let response = telemetry::within(context, next.run(request.map(with_deadline))).await;
    traces::ended(metrics, call, &name.unwrap_or_default(), response.status());
    response
}

/// Measures the head before any of it is parsed.
fn measure(request: &Request) -> Result<(), ServiceError> {
    let uri = request.uri();
    let url = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let too_much = |error: switchbox_model::limits::TooMuch| {
        ServiceError::new(Code::RequestTooLarge, error.to_string()).limit(names::HUB_API_HEAD_BYTES)
    };
    fields::PATH.check_len("the path", uri.path().len()).map_err(too_much)?;
    fields::HEAD.check_len("the call's URL with its headers", url + headers).map_err(too_much)
}

pub(crate) async fn check(State(guard): State<Gate>, request: Request, next: Next) -> Response {
    let Gate { app, right } = guard;
    let (parts, body) = request.into_parts();
    let address = address_of(&parts);
    let caller = match admit(&app, right, &parts, address).await {
        Ok(caller) => caller,
        Err(error) => {
            app.handles.metrics.refuse("hub_token");
            if let Some(more) = REFUSED.allow() {
                tracing::info!(%address, %error, "a call of the hub's API was refused{more}");
            }
            return error.into_response();
        }
    };
    if let Some(info) = parts.extensions.get::<ConnectionInfo>() {
        info.mark_authenticated();
    }
    if let Err(error) = check_api_version(&parts.uri) {
        return error.into_response();
    }
    let (caller_name, call) = (caller.name(), format!("{} {}", parts.method, parts.uri.path()));
    let is_write = parts.method != Method::GET;
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(caller);
    if !is_write {
        return next.run(request).await;
    }
    let done = telemetry::within(telemetry::current(), next.run(request));
    // It is completed even if the caller disconnects. The connection's task counts a panic.
    let response = Completed::new(done).await;
    tracing::info!(target: "audit", who = caller_name, call, status = response.status().as_u16(), "a call of the hub's API");
    response
}

/// Authenticates the caller and checks its rate and its right.
async fn admit(app: &App, right: AccessRight, parts: &Parts, address: IpAddr) -> Result<Caller, ServiceError> {
    let refused = |text: String| ServiceError::new(Code::Unauthorized, text);
    let host = host(parts);
    let token = text(&parts.headers, &header::AUTHORIZATION);
    let shown = async {
        let token = token.ok_or_else(|| refused("the header Authorization has no shared access signature".into()))?;
        let sas =
            Sas::parse(token.as_bytes()).map_err(|error| refused(format!("the token cannot be used: {error}")))?;
        let path = parts.uri.path().trim_start_matches('/');
        if !sas.covers(host, path) {
            return Err(refused("the token is for another hub, or for another part of it".into()));
        }
        let policy = sas.policy.ok_or_else(|| refused("the token names no policy (skn)".into()))?;
        let registry = registry(app, host);
        authenticate(app, &registry, policy, &sas, address).await?;
        Ok(Caller { registry, policy })
    };
    let caller = match shown.await {
        Ok(caller) => caller,
        Err(error) => {
            // Only failed calls count for the address, so one caller cannot block others at the same address.
            check_rate(app, RateKey::Address(network(address)), bounds::UNAUTHENTICATED)?;
            return Err(error);
        }
    };
    check_rate(app, RateKey::Policy(caller.registry.clone(), caller.policy.name()), bounds::CALLS)?;
    if !caller.policy.allows(right) {
        let text =
            format!("the policy {} does not have the right {right}, which this call requires", caller.policy.name());
        return Err(refused(text));
    }
    Ok(caller)
}

async fn authenticate(
    app: &App,
    registry: &RegistryName,
    policy: Policy,
    sas: &Sas,
    address: IpAddr,
) -> Result<(), ServiceError> {
    let signer = Signer::Registry(policy.name().to_owned());
    let signed = Signed::new(signer, sas.signed(), sas.signature.clone(), sas.expires_secs);
    let proved = app.handles.auth.admit_program(registry, &signed, address).await;
    proved.map(drop).map_err(|refusal| match refusal {
        AuthRefusal::NotAuthorised(why) => ServiceError::new(Code::Unauthorized, why),
        AuthRefusal::Unavailable(why) => ServiceError::new(Code::Throttled, why),
    })
}

/// The host name that the caller used, with or without a port.
pub(crate) fn host(parts: &Parts) -> &str {
    text(&parts.headers, &header::HOST).or_else(|| parts.uri.host()).unwrap_or_default()
}

pub(crate) fn registry(app: &App, host: &str) -> RegistryName {
    app.hubs.registry(host.split(':').next().unwrap_or_default())
}

pub(crate) fn check_rate(
    app: &App,
    key: RateKey,
    rate: switchbox_transport::admission::Rate,
) -> Result<(), ServiceError> {
    app.rates.take(key, rate).map_err(|wait| {
        ServiceError::new(Code::Throttled, "too many calls; call again later").limit(names::HUB_API_RATE).wait(wait)
    })
}

/// The API version decides the format of bodies. This host supports the format that all later SDKs use.
pub(crate) fn check_api_version(uri: &Uri) -> Result<(), ServiceError> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let version = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("api-version")).map(|(_, version)| version).next();
    let is_date = |version: &str| {
        let date = version.get(..10).unwrap_or_default();
        let shape =
            date.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
        date.len() == 10 && shape && date >= OLDEST
    };
    match version {
        Some(version) if is_date(version) => Ok(()),
        Some(version) => {
            let version: String = version.chars().take(40).collect();
            let text = format!("api-version {version} is not supported by this host: use 2021-04-12");
            Err(ServiceError::new(Code::InvalidProtocolVersion, text))
        }
        None => Err(ServiceError::new(Code::InvalidProtocolVersion, "the query parameter api-version is missing")),
    }
}

/// The oldest version whose twins and queries have today's format.
const OLDEST: &str = "2018-06-30";

pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The address is missing only in tests that call the router without a socket.
pub(crate) fn address_of(parts: &Parts) -> IpAddr {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(address)| address.ip())
}
