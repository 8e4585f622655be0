//! Calls of a running host's admin API.

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use ureq::{
    http::{Method, Request, StatusCode},
    tls::Certificate,
};

use super::{
    advice,
    exit::{Code, Failed, failed, refused},
    names::{Names, device_path},
    trust,
    url::escape,
};
use switchbox_admin_api::TOKEN_FILE;
use switchbox_model::{DeviceName, RegistryName};
use switchbox_support::terminal;

/// Longest wait for an answer: a little more than the longest method call.
const TIMEOUT: Duration = Duration::from_secs(310);
/// The largest answer that is read, bytes.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// Most items of one page of a list.
const PAGE: usize = 1_000;

/// Calls of one host's API, as JSON.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    data: PathBuf,
    names: Names,
}

impl Client {
    /// Without a token, the one in the data folder is used.
    #[must_use]
    pub fn of(admin: &str, token: Option<String>, data: &Path) -> Self {
        Self::with(admin, token, data, Vec::new())
    }

    /// Makes a client that trusts these authorities in addition to those of the machine.
    pub(super) fn with(
        admin: &str,
        token: Option<String>,
        data: &Path,
        authorities: Vec<Certificate<'static>>,
    ) -> Self {
        let from_file = || std::fs::read_to_string(data.join(TOKEN_FILE)).ok();
        let token = token.or_else(from_file).map(|token| token.trim().to_owned());
        let base = admin.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(TIMEOUT));
        let config = if base.starts_with("https:") { config.tls_config(trust::config(authorities)) } else { config };
        let config = config.build();
        Self { agent: config.new_agent(), base, token, data: data.to_owned(), names: Names::default() }
    }

    /// This client, for a command in which device names may be short.
    pub(super) fn in_registry_of(self, names: &Names) -> Self {
        Self { names: names.clone(), ..self }
    }

    /// A device's name, as users write it.
    pub(super) fn device(&self, text: &str) -> anyhow::Result<DeviceName> {
        self.names.device(text)
    }

    /// The API's path of a device, and what follows it.
    pub(super) fn path(&self, device: &str, rest: &str) -> anyhow::Result<String> {
        Ok(format!("{}{rest}", device_path(&self.device(device)?)))
    }

    /// The registry in which short names are looked up.
    pub(super) fn home(&self) -> anyhow::Result<RegistryName> {
        self.names.home()
    }

    /// Where the admin API is.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// # Errors
    ///
    /// The host cannot be reached or refuses; so with every call.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None)
    }

    /// All items of a list, as one page.
    pub(super) fn all(&self, path: &str, field: &str) -> anyhow::Result<Value> {
        self.list(path, field, u32::MAX)
    }

    /// The first `most` items of a list, however many pages they come in, as one page.
    pub(super) fn list(&self, path: &str, field: &str, most: u32) -> anyhow::Result<Value> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let left = most.saturating_sub(items.len()).clamp(1, PAGE);
            let page = self.get(&format!("{path}{mark}pageSize={left}&pageToken={}", escape(&token)))?;
            items.extend(page.get(field).and_then(Value::as_array).into_iter().flatten().cloned());
            items.truncate(most);
            match page.get("nextPageToken").and_then(Value::as_str) {
                Some(next) if items.len() < most => next.clone_into(&mut token),
                next => {
                    let mut page = json!({ field: items });
                    if let (Some(next), Some(fields)) = (next, page.as_object_mut()) {
                        fields.insert("nextPageToken".to_owned(), next.into());
                    }
                    return Ok(page);
                }
            }
        }
    }

    /// An endless answer, as it arrives.
    pub(super) fn stream(&self, path: &str) -> anyhow::Result<impl Read + use<>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        // The stream may be silent for any time.
        let answer = request.config().timeout_global(None).build().call().map_err(|error| self.unanswered(error))?;
        if answer.status().is_success() {
            return Ok(answer.into_body().into_reader());
        }
        let status = answer.status();
        let text = answer.into_body().into_with_config().limit(ANSWER_BYTES).read_to_string()?;
        Err(self.refused(status, &serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn invalid_address(&self) -> Failed {
        let base = &self.base;
        failed(
            Code::Arguments,
            format!("{base} is not the address of a host; write --admin like http://127.0.0.1:8080"),
        )
    }

    /// Why a call has no answer.
    fn unanswered(&self, error: ureq::Error) -> anyhow::Error {
        let problem = match &error {
            // The scheme is not http or https.
            ureq::Error::BadUri(_) => self.invalid_address(),
            error if is_certificate_refused(error) => failed(
                Code::Unreachable,
                format!("the certificate of {} is not accepted; --ca FILE names an authority to trust", self.base),
            ),
            _ => self.no_host(),
        };
        anyhow::Error::new(error).context(problem)
    }

    fn no_host(&self) -> Failed {
        let data = self.data.display();
        let text = format!(
            "no host answers at {}; start it with `switchbox serve --data {data}`, or name another with --data or --admin",
            self.base
        );
        failed(Code::Unreachable, text)
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None)
    }

    /// # Errors
    ///
    /// See [`get`](Self::get).
    pub fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(serde_json::to_string(body)?))
    }

    pub(super) fn patch(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        self.call(Method::PATCH, path, Some(serde_json::to_string(body)?))
    }

    fn call(&self, method: Method, path: &str, body: Option<String>) -> anyhow::Result<Value> {
        let text = self.call_text(method, path, body)?;
        let value = serde_json::from_str(&text).context("the host's answer is not JSON")?;
        show_warnings(&value);
        Ok(value)
    }

    /// The answer as text, for documents that must stay byte for byte.
    pub(super) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        self.call_text(Method::GET, path, None)
    }

    /// Sends a PATCH whose body is JSON text.
    pub(super) fn patch_text(&self, path: &str, body: String) -> anyhow::Result<String> {
        self.call_text(Method::PATCH, path, Some(body))
    }

    fn call_text(&self, method: Method, path: &str, body: Option<String>) -> anyhow::Result<String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = match body {
            None => self.agent.run(request.body(()).with_context(|| self.invalid_address())?),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body).with_context(|| self.invalid_address())?)
            }
        };
        let answer = answer.map_err(|error| self.unanswered(error))?;
        let status = answer.status();
        let text = answer.into_body().into_with_config().limit(ANSWER_BYTES).read_to_string()?;
        if status.is_success() {
            return Ok(text);
        }
        Err(self.refused(status, &serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn refused(&self, status: StatusCode, answer: &Value) -> anyhow::Error {
        let Some(text) = answer.pointer("/error/message").and_then(Value::as_str) else {
            let other = format!(
                "the server at {} is not a Switchbox host ({status}); name one with --data or --admin",
                self.base
            );
            return failed(Code::Unreachable, other).into();
        };
        let kind = answer.pointer("/error/status").and_then(Value::as_str).unwrap_or_default();
        if status != StatusCode::UNAUTHORIZED {
            return match advice::for_answer(kind, text) {
                Some(advice) => refused(kind, format!("{text}; {advice}")),
                None => refused(kind, text.to_owned()),
            };
        }
        let where_from = match &self.token {
            Some(_) => "the token given".to_owned(),
            None => format!("{} has no token that this user can read", self.data.display()),
        };
        refused(kind, format!("{text} ({where_from}); use --token, or --data with the host's data folder"))
    }
}

/// Whether this machine does not accept the server's certificate.
fn is_certificate_refused(error: &ureq::Error) -> bool {
    let tls = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|error| error.downcast_ref()),
        _ => None,
    };
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// Prints the host's warnings to standard error, so that they are visible if the answer goes to a program.
fn show_warnings(answer: &Value) {
    let warnings = answer.get("warnings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for warning in warnings.iter().filter_map(Value::as_str) {
        // Standard error is closed, so the warning cannot be shown.
        let _ = terminal::print_error(&format!("warning: {warning}"));
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_leads_to_the_flag_for_its_authority() {
        let client = Client::of("https://switchbox.example:8443", None, Path::new("/nowhere"));
        let refused = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for error in [ureq::Error::Rustls(refused()), ureq::Error::Io(std::io::Error::other(refused()))] {
            let error = client.unanswered(error);
            assert!(error.to_string().contains("--ca FILE"), "{error}");
            assert_eq!(crate::exit::code(&error), Some(6));
        }
        let other = client.unanswered(ureq::Error::Io(std::io::ErrorKind::ConnectionRefused.into()));
        assert!(other.to_string().contains("no host answers"), "{other}");
    }
}
