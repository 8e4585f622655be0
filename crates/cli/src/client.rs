//! Talking to a running host over its admin API.

use std::{
    fmt::Write as _,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use ureq::{
    http::{Method, Request, StatusCode},
    tls::Certificate,
};

use super::{
    advice,
    context::{self, Asked},
    readable, trust,
};
use switchbox_admin::TOKEN_FILE;
use switchbox_model::{DeviceName, DeviceNum, RegistryName};
use switchbox_support::terminal;

/// Longest wait for an answer: the longest method call, and some.
const TIMEOUT: Duration = Duration::from_secs(310);
/// The largest answer that is read, bytes.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Which host
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Host {
    /// The host's admin API [default: that of the host of the data folder]
    #[arg(long, value_name = "URL", env = "SWITCHBOX_ADMIN", global = true)]
    admin: Option<String>,
    /// The admin token [default: the one in the data folder]
    #[arg(long, value_name = "TOKEN", env = "SWITCHBOX_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// An authority (PEM) to trust beside this machine's own, for https
    #[arg(long, value_name = "FILE", env = "SWITCHBOX_CA", global = true)]
    ca: Option<PathBuf>,
    /// The host's data folder, to read the token from [default: that of the host that runs on this machine]
    #[arg(long, value_name = "DIR", env = "SWITCHBOX_DATA", global = true)]
    data: Option<PathBuf>,
    /// Print the host's answer as JSON, with payloads that are text as text beside their base64
    #[arg(long, global = true)]
    json: bool,
}

impl Host {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let target = context::find(Asked { admin: self.admin.as_deref(), data: self.data.as_deref() })?;
        let authorities = match &self.ca {
            Some(file) if target.admin.starts_with("https:") => trust::read(file)?,
            _ => Vec::new(),
        };
        Ok(Client::with(&target.admin, self.token.clone(), &target.data, authorities))
    }

    /// The same, for a command in which device names may be short.
    pub(super) fn client_in(&self, names: &Names) -> anyhow::Result<Client> {
        Ok(Client { names: names.clone(), ..self.client()? })
    }

    pub(super) fn wants_json(&self) -> bool {
        self.json
    }

    /// The answer for a program, or the text for a person.
    pub(super) fn show(&self, answer: &Value, text: String) -> String {
        if !self.json {
            return text;
        }
        terminal::json_piece(&format!("{:#}", readable::with_texts(answer.clone()))).into_owned()
    }

    /// The same for an answer in which documents stand byte for byte.
    pub(super) fn show_document(&self, answer: &switchbox_rules::json::Value<'_>, text: String) -> String {
        if self.json { terminal::json_piece(&switchbox_rules::json::pretty(answer)).into_owned() } else { text }
    }
}

/// Which device a name stands for
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Names {
    /// The registry of devices that are named by their id alone: its id, or its full name [default: default]
    #[arg(long, value_name = "REGISTRY", env = "SWITCHBOX_REGISTRY", global = true)]
    registry: Option<String>,
}

impl Names {
    /// The registry in which short names are looked up.
    pub(super) fn home(&self) -> anyhow::Result<RegistryName> {
        self.registry.as_deref().map_or_else(|| Ok(RegistryName::default_registry()), registry_name)
    }

    /// A device as a person names it: `lamp-1`, `hall/lamp-1` or in full.
    pub(super) fn device(&self, text: &str) -> anyhow::Result<DeviceName> {
        let home = self.home()?;
        let name = DeviceName::parse(text, &home)?;
        if self.registry.is_some() && name.registry != home {
            bail!("{text} is a device of {}, but --registry says {home}; leave one of the two out", name.registry);
        }
        if DeviceNum::parse_num_id(name.id.as_str()).is_some() {
            bail!(
                "{text} is a device's number (numId); name the device by its id, which `switchbox device list` shows"
            );
        }
        Ok(name)
    }
}

/// A registry as a person names it: `hall` or in full.
pub(super) fn registry_name(text: &str) -> anyhow::Result<RegistryName> {
    let home = RegistryName::default_registry();
    if text.contains('/') {
        return Ok(RegistryName::new(text)?);
    }
    Ok(RegistryName::of(home.project(), home.location(), text)?)
}

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

    /// The same, with authorities that are trusted beside the machine's own.
    fn with(admin: &str, token: Option<String>, data: &Path, authorities: Vec<Certificate<'static>>) -> Self {
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

    /// A device as a person names it.
    pub(super) fn device(&self, text: &str) -> anyhow::Result<DeviceName> {
        self.names.device(text)
    }

    /// The API's path of a device as a person names it, and what follows it.
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

    /// The first `most` items of a list, however many pages they come in, as one page.
    pub(super) fn list(&self, path: &str, field: &str, most: u32) -> anyhow::Result<Value> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut token) = (Vec::new(), String::new());
        loop {
            let left = most.saturating_sub(items.len()).max(1);
            let page = self.get(&format!("{path}{mark}pageSize={left}&pageToken={}", escape(&token)))?;
            items.extend(page.get(field).and_then(Value::as_array).into_iter().flatten().cloned());
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

    /// An answer that has no end, as it comes.
    pub(super) fn stream(&self, path: &str) -> anyhow::Result<impl Read + use<>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        // The stream may be silent for as long as nothing happens.
        let answer = request.config().timeout_global(None).build().call().with_context(|| self.nobody())?;
        if answer.status().is_success() {
            return Ok(answer.into_body().into_reader());
        }
        let status = answer.status();
        let text = answer.into_body().into_with_config().limit(ANSWER_BYTES).read_to_string()?;
        Err(self.refused(status, &serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn misspelt(&self) -> String {
        format!("{} is no address of a host; write --admin like http://127.0.0.1:8080", self.base)
    }

    fn nobody(&self) -> String {
        let data = self.data.display();
        format!(
            "no host answers at {}; start it with `switchbox serve --data {data}`, or name another with --data or --admin",
            self.base
        )
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None)
    }

    /// # Errors
    ///
    /// See [`get`](Self::get).
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body))
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::PATCH, path, Some(body))
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let text = self.call_text(method, path, body.map(ToString::to_string))?;
        let value = serde_json::from_str(&text).context("the host's answer is no JSON")?;
        show_warnings(&value);
        Ok(value)
    }

    /// The answer as it came, for one in which documents stand byte for byte.
    pub(super) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        self.call_text(Method::GET, path, None)
    }

    /// The same, for a body that is JSON already.
    pub(super) fn patch_text(&self, path: &str, body: String) -> anyhow::Result<String> {
        self.call_text(Method::PATCH, path, Some(body))
    }

    fn call_text(&self, method: Method, path: &str, body: Option<String>) -> anyhow::Result<String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = match body {
            None => self.agent.run(request.body(()).with_context(|| self.misspelt())?),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body).with_context(|| self.misspelt())?)
            }
        };
        let answer = answer.with_context(|| self.nobody())?;
        let status = answer.status();
        let text = answer.into_body().into_with_config().limit(ANSWER_BYTES).read_to_string()?;
        if status.is_success() {
            return Ok(text);
        }
        Err(self.refused(status, &serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn refused(&self, status: StatusCode, answer: &Value) -> anyhow::Error {
        let Some(text) = answer.pointer("/error/message").and_then(Value::as_str) else {
            return anyhow::anyhow!(
                "what answers at {} is no Switchbox host ({status}); name one with --data or --admin",
                self.base
            );
        };
        if status != StatusCode::UNAUTHORIZED {
            let kind = answer.pointer("/error/status").and_then(Value::as_str).unwrap_or_default();
            return match advice::for_answer(kind, text) {
                Some(advice) => anyhow::anyhow!("{text}; {advice}"),
                None => anyhow::anyhow!("{text}"),
            };
        }
        let where_from = match &self.token {
            Some(_) => "the token given".to_owned(),
            None => format!("{} has none that this user can read", self.data.display()),
        };
        anyhow::anyhow!("{text} ({where_from}); use --token, or --data with the host's data folder")
    }
}

/// What the host warns of is for who reads the terminal, whatever is done with the answer.
fn show_warnings(answer: &Value) {
    let warnings = answer.get("warnings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for warning in warnings.iter().filter_map(Value::as_str) {
        // There is nobody left to tell.
        let _ = terminal::print_error(&format!("warning: {warning}"));
    }
}

/// The API's path of a device.
pub(super) fn device_path(name: &DeviceName) -> String {
    escape(&format!("/v1/{name}"))
}

/// Percent-encodes what would end a path or a query parameter, or means something else there.
pub(super) fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@,".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// What a person gives as data: the text itself, `@FILE`, or `-` for standard input.
pub(super) fn data(text: &str) -> anyhow::Result<Vec<u8>> {
    match text.strip_prefix('@') {
        Some(file) => std::fs::read(Path::new(file)).with_context(|| format!("{file} cannot be read")),
        None if text == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
            Ok(bytes)
        }
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// Bytes of the API as a person reads them: text where it is text.
pub(super) fn shown(value: Option<&Value>) -> anyhow::Result<String> {
    use base64::Engine;
    let Some(text) = value.and_then(Value::as_str) else { return Ok(String::new()) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).context("the host's answer is no base64")?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|_| format!("base64:{text}")))
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_by_its_id_and_never_by_its_number() {
        let names = Names::default();
        let id = |text: &str| names.device(text).map(|name| name.id.to_string()).map_err(|error| error.to_string());
        assert_eq!(id("2"), Ok("2".into()));
        assert_eq!(id("hall/356938035643809"), Ok("356938035643809".into()));
        let number = DeviceNum(2).num_id();
        for text in [format!("{number}"), format!("default/{number}")] {
            assert!(id(&text).unwrap_err().contains("name the device by its id"), "{text}");
        }
    }
}
