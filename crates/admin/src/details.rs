//! The details of a call for the audit log and the caller: its objects, and its important fields that are not secret.
//! Handlers record them for the call in whose task they run.

use std::{fmt::Display, sync::Arc};

use axum::http::{HeaderValue, Uri};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::convert::camel;
use switchbox_model::limits;

/// Fields whose values are shown. Only the size of all others is shown.
const SHOWN: &[&str] = &[
    "all",
    "blocked",
    "deviceId",
    "disabled",
    "dryRun",
    "enabled",
    "expirationTime",
    "force",
    "format",
    "gatewayAuthMethod",
    "gatewayId",
    "gatewayType",
    "httpEnabledState",
    "id",
    "logLevel",
    "method",
    "mqttEnabledState",
    "name",
    "neverUsed",
    "plugin",
    "publish",
    "pubsubTopicName",
    "purgeState",
    "qos",
    "retain",
    "scope",
    "subfolder",
    "subfolderMatches",
    "subscribe",
    "timeout",
    "ttl",
    "updateMask",
    "versionToUpdate",
];
/// Fields whose content is shown as well.
const OPENED: &[&str] = &[
    "credentials",
    "eventNotificationConfigs",
    "gatewayConfig",
    "httpConfig",
    "mqttConfig",
    "publicKey",
    "publicKeyCertificate",
    "stateNotificationConfig",
];
/// Public keys and certificates: shown by their digest.
const DIGESTED: &[&str] = &["certificate", "key"];
/// Longest text that is shown whole, bytes.
const TEXT_BYTES: usize = 256;
/// Maximum bytes of the names of a call's objects.
const OBJECT_BYTES: usize = 4 * 1024;
/// Items of a list, and fields of an object, that are shown.
const ITEMS: usize = 20;

tokio::task_local! {
    static CALL: Arc<Details>;
}

#[derive(Debug, Default)]
pub(super) struct Details(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    objects: Vec<String>,
    parameters: Map<String, Value>,
}

/// Runs a call and collects its details.
pub(super) async fn of<T>(details: Arc<Details>, call: impl Future<Output = T>) -> T {
    CALL.scope(details, call).await
}

/// Adds an object of the call.
pub(super) fn object(name: &impl Display) {
    // A handler that a test calls by itself runs in no call.
    let _ = CALL.try_with(|details| {
        let (mut inner, name) = (details.0.lock(), name.to_string());
        let bytes: usize = inner.objects.iter().map(String::len).sum();
        if bytes + name.len() <= OBJECT_BYTES && !inner.objects.contains(&name) {
            inner.objects.push(name);
        }
    });
}

/// Records the call's body.
pub(super) fn body(bytes: &[u8]) {
    let _ = CALL.try_with(|details| {
        let mut inner = details.0.lock();
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => inner.parameters.extend(summary(&fields)),
            _ if bytes.is_empty() => {}
            _ => {
                inner.parameters.insert("body".into(), digest(bytes).into());
            }
        }
    });
}

impl Details {
    /// Records the query of this URL.
    pub(super) fn new(uri: &Uri) -> Arc<Self> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = query.map(|query| query.0).unwrap_or_default();
        let shown = pairs.into_iter().map(|(name, value)| (camel(&name), value));
        let shown = shown.filter(|(name, _)| SHOWN.contains(&name.as_str()));
        let parameters = shown.map(|(name, value)| (name, text(&value))).take(ITEMS).collect();
        Arc::new(Self(Mutex::new(Inner { objects: Vec::new(), parameters })))
    }

    /// The objects of the call. `None` if its path names them.
    pub(super) fn object(&self) -> Option<String> {
        let objects = &self.0.lock().objects;
        (!objects.is_empty()).then(|| objects.join(", "))
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.object()?).ok()
    }

    /// `None` if there are none. The values of fields that would be too long are omitted.
    pub(super) fn parameters(&self) -> Option<Map<String, Value>> {
        let mut parameters = self.0.lock().parameters.clone();
        while Value::Object(parameters.clone()).to_string().len() > limits::AUDIT_PARAMETERS_BYTES {
            let longest = parameters.iter().max_by_key(|(_, value)| value.to_string().len());
            let (name, bytes) = longest.map(|(name, value)| (name.clone(), value.to_string().len()))?;
            if bytes <= size(bytes).to_string().len() {
                return Some(Map::from_iter([("cut".to_owned(), true.into())]));
            }
            parameters.insert(name, size(bytes));
        }
        (!parameters.is_empty()).then_some(parameters)
    }
}

fn size(bytes: usize) -> Value {
    format!("({bytes} bytes)").into()
}

fn digest(bytes: &[u8]) -> String {
    let hash: String = Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("({} bytes, sha256:{hash}…)", bytes.len())
}

fn text(value: &str) -> Value {
    if value.len() <= TEXT_BYTES { value.into() } else { size(value.len()) }
}

fn summary(fields: &Map<String, Value>) -> Map<String, Value> {
    let named = fields.iter().take(ITEMS).map(|(name, value)| (name.chars().take(64).collect::<String>(), value));
    named.map(|(name, value)| (name.clone(), shown(&camel(&name), value))).collect()
}

fn shown(name: &str, value: &Value) -> Value {
    let name_is = |list: &[&str]| list.contains(&name);
    match value {
        Value::Null => Value::Null,
        Value::String(key) if name_is(DIGESTED) => digest(key.as_bytes()).into(),
        // A plugin's grants: by capability, a list of patterns each.
        Value::Object(grants) if name == "grants" => {
            grants.iter().take(ITEMS).map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Object(fields) if name_is(OPENED) => Value::Object(summary(fields)),
        Value::Array(items) if name_is(OPENED) => items.iter().take(ITEMS).map(|item| shown(name, item)).collect(),
        value if name_is(SHOWN) => plain(value),
        Value::Object(fields) => {
            let names = fields.keys().take(ITEMS).map(|name| name.chars().take(64).collect::<String>());
            json!({"fields": names.collect::<Vec<_>>()})
        }
        Value::String(text) => size(text.len()),
        Value::Array(items) => format!("({} items)", items.len()).into(),
        Value::Bool(_) | Value::Number(_) => "(not shown)".into(),
    }
}

/// The value, with long texts cut and nested objects left out.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(value) => text(value),
        Value::Array(items) => items.iter().take(ITEMS).map(plain).collect(),
        Value::Object(fields) => format!("({} fields)", fields.len()).into(),
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str, request_body: &Value) -> Value {
        let details = Details::new(&format!("/x?{query}").parse().unwrap());
        CALL.sync_scope(details.clone(), || body(request_body.to_string().as_bytes()));
        details.parameters().map_or(Value::Null, Value::Object)
    }

    #[test]
    fn what_matters_is_shown_and_no_secret() {
        for (query, body, expect) in [
            (
                "updateMask=blocked&key=secret",
                json!({"blocked": true}),
                json!({"updateMask": "blocked", "blocked": true}),
            ),
            ("", json!({"password": "secret"}), json!({"password": "(6 bytes)"})),
            ("binaryData=c2VjcmV0", json!({"binary_data": "c2VjcmV0"}), json!({"binary_data": "(8 bytes)"})),
            ("", json!({"settings": {"pin": 1234}}), json!({"settings": {"fields": ["pin"]}})),
            ("", json!({"metadata": {"a": "secret"}}), json!({"metadata": {"fields": ["a"]}})),
            ("", json!({"pin": 1234}), json!({"pin": "(not shown)"})),
            ("", json!({"grants": {"config": ["lamp-*"]}}), json!({"grants": {"config": ["lamp-*"]}})),
            ("", json!({"publish": ["a/#"], "scope": "read"}), json!({"publish": ["a/#"], "scope": "read"})),
            (
                "",
                json!({"credentials": [{"publicKey": {"format": 2, "key": "x"}}]}),
                json!({"credentials": [{"publicKey": {"format": 2, "key": "(1 bytes, sha256:2d711642b726…)"}}]}),
            ),
            ("purgeState=true", json!({}), json!({"purgeState": "true"})),
            ("", json!({"neverUsed": true, "dryRun": true}), json!({"neverUsed": true, "dryRun": true})),
            ("", json!({"force": true, "qos": 1, "retain": true}), json!({"force": true, "qos": 1, "retain": true})),
            ("", json!({"id": "x".repeat(300)}), json!({"id": "(300 bytes)"})),
            ("", json!({}), json!(null)),
        ] {
            assert_eq!(parameters(query, &body), expect, "{query} {body}");
        }
    }

    #[test]
    fn parameters_are_bounded_whatever_is_sent() {
        let many: Map<String, Value> = (0..1_000).map(|n| (format!("\u{1}{n}").repeat(100), json!("x"))).collect();
        let filters = vec!["x".repeat(250); 100];
        for body in [json!(many), json!({"publish": filters, "subscribe": filters}), json!({"grants": many})] {
            let shown = parameters("", &body).to_string();
            assert!(shown.len() <= limits::AUDIT_PARAMETERS_BYTES, "{} bytes", shown.len());
        }
        let details = Details::new(&"/x".parse().unwrap());
        CALL.sync_scope(details.clone(), || body(b"\0asm"));
        let shown = Value::Object(details.parameters().unwrap());
        assert_eq!(shown, json!({"body": "(4 bytes, sha256:cd5d4935a48c…)"}));
    }
}
