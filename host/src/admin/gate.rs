//! Who may call, and the audit line of every write.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    App,
    error::{Error, Kind},
    routes,
};

/// Who calls, for audit lines and for the cause of what the call brings about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who(pub(super) &'static str);

pub(super) async fn check(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let who = match admit(&app, request.headers()) {
        Ok(who) => who,
        Err(error) => return error.into_response(),
    };
    let write = !matches!(*request.method(), Method::GET | Method::HEAD);
    let what = write.then(|| format!("{} {}", request.method(), routes::shown(request.uri())));
    request.extensions_mut().insert(who);
    let response = next.run(request).await;
    if let Some(what) = what {
        tracing::info!(target: "audit", who = who.0, what, status = response.status().as_u16());
    }
    response
}

fn admit(app: &App, headers: &HeaderMap) -> Result<Who, Error> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(token) = &app.token else {
        return if from_this_machine(text(header::HOST), text(header::ORIGIN)) {
            Ok(Who("anybody"))
        } else {
            let reason =
                "without a token, the API answers calls to a loopback address only, and none of other web pages";
            Err(Error::new(Kind::PermissionDenied, reason))
        };
    };
    let shown = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    match shown {
        Some(shown) if token.is(shown.trim()) => Ok(Who("admin-token")),
        Some(_) => Err(Error::new(Kind::Unauthenticated, "the bearer token is not this host's")),
        None => Err(Error::new(
            Kind::Unauthenticated,
            format!("a bearer token is needed: the one in {} in the host's data folder", super::TOKEN_FILE),
        )),
    }
}

/// A web page that an operator visits must not be able to call a host without a token: neither as itself (its origin)
/// nor under a name of its own that points to loopback.
fn from_this_machine(host: Option<&str>, origin: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_matches(['[', ']']);
    let local = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    local && origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_only_this_machine_is_let_in() {
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
