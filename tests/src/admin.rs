//! Calls of the admin API, with the host's own token.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{LIMIT, until_within};

/// The API of one host.
#[derive(Debug)]
pub struct Admin {
    base: String,
    token_file: PathBuf,
    agent: ureq::Agent,
}

/// A status and a JSON body (null if there is none).
#[derive(Debug)]
pub struct AdminResponse {
    pub status: u16,
    pub body: Value,
}

impl AdminResponse {
    /// The body of a successful answer.
    ///
    /// # Panics
    ///
    /// Panics if the status is an error.
    #[must_use]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }
}

impl Admin {
    pub(crate) fn new(base: &str, data: &Path) -> Self {
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        Self { base: base.to_owned(), token_file: data.join("admin-token"), agent }
    }

    /// The URL of the listener.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> AdminResponse {
        answer(self.agent.get(self.url(path)).header("authorization", self.bearer()).call())
    }

    /// Its content type and its text.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    pub fn text_as(&self, path: &str, accept: &str) -> (String, String) {
        let call = self.agent.get(self.url(path)).header("authorization", self.bearer()).header("accept", accept);
        let mut answered = call.call().expect("the admin API does not answer");
        let kind = answered.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        (kind, answered.body_mut().read_to_string().expect("no text"))
    }

    /// The lines of an endless answer.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    pub fn stream(&self, path: &str, last_event_id: &str) -> impl Iterator<Item = String> + use<> {
        let call = self.agent.get(self.url(path)).header("authorization", self.bearer());
        let call = if last_event_id.is_empty() { call } else { call.header("last-event-id", last_event_id) };
        let answered = call.call().expect("the admin API does not answer");
        assert_eq!(answered.status().as_u16(), 200);
        BufReader::new(answered.into_body().into_reader()).lines().map_while(Result::ok)
    }

    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> AdminResponse {
        answer(self.agent.post(self.url(path)).header("authorization", self.bearer()).send_json(body))
    }

    /// As [`Admin::post`], with `traceparent`.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    pub fn post_traced(&self, path: &str, body: &Value, traceparent: &str) -> AdminResponse {
        let call = self.agent.post(self.url(path)).header("authorization", self.bearer());
        answer(call.header("traceparent", traceparent).send_json(body))
    }

    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    pub fn patch(&self, path: &str, body: &Value) -> AdminResponse {
        answer(self.agent.patch(self.url(path)).header("authorization", self.bearer()).send_json(body))
    }

    /// # Panics
    ///
    /// Panics if there is no answer.
    #[must_use]
    pub fn delete(&self, path: &str) -> AdminResponse {
        self.try_delete(path).expect("the admin API does not answer")
    }

    /// Returns `None` if there is no answer, for example because the host was killed.
    #[must_use]
    pub fn try_delete(&self, path: &str) -> Option<AdminResponse> {
        read(self.agent.delete(self.url(path)).header("authorization", self.bearer()).call().ok()?)
    }

    /// Returns `None` if there is no answer, for example because the host was killed.
    #[must_use]
    pub fn try_post(&self, path: &str, body: &Value) -> Option<AdminResponse> {
        read(self.agent.post(self.url(path)).header("authorization", self.bearer()).send_json(body).ok()?)
    }

    /// Returns `None` if there is no answer, for example because the host was killed.
    #[must_use]
    pub fn try_patch(&self, path: &str, body: &Value) -> Option<AdminResponse> {
        read(self.agent.patch(self.url(path)).header("authorization", self.bearer()).send_json(body).ok()?)
    }

    /// The ETag of the object.
    ///
    /// # Panics
    ///
    /// Panics if there is no answer, or it has no ETag.
    #[must_use]
    pub fn etag(&self, path: &str) -> String {
        let answered = self.agent.get(self.url(path)).header("authorization", self.bearer()).call();
        let answered = answered.expect("the admin API does not answer");
        let etag = answered.headers().get("etag").and_then(|etag| etag.to_str().ok());
        etag.expect("no ETag").to_owned()
    }

    /// A device of the default registry: `rest` is empty, `/configVersions`, `:invokeMethod` and the like.
    #[must_use]
    pub fn device_path(id: &str, rest: &str) -> String {
        format!("/v1/projects/local/locations/local/registries/default/devices/{id}{rest}")
    }

    /// Returns `None` if there is no such plugin.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<Value> {
        let answer = self.get(&format!("/v1/plugins/{name}"));
        (answer.status != 404).then(|| answer.ok())
    }

    /// Waits until `holds` is true for the plugin's description in the API.
    pub fn wait_plugin(&self, name: &str, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let mut last = None;
        let found = until_within(LIMIT, || {
            last = self.plugin(name);
            last.clone().filter(&mut holds)
        });
        found.unwrap_or_else(|| panic!("waited in vain for {name} {what}: {last:?}"))
    }

    /// All dead letters, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Value> {
        let mut answer = self.get("/v1/deadLetters?pageSize=1000").ok();
        serde_json::from_value(answer["deadLetters"].take()).expect("no dead letters")
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", fs::read_to_string(&self.token_file).unwrap_or_default().trim())
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Option<AdminResponse> {
    let text = response.body_mut().read_to_string().ok()?;
    Some(AdminResponse {
        status: response.status().as_u16(),
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}

fn answer(answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> AdminResponse {
    let mut response = answered.expect("the admin API does not answer");
    let text = response.body_mut().read_to_string().expect("the admin API's answer breaks off");
    AdminResponse {
        status: response.status().as_u16(),
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}
