//! Calls of a hub's programs at the same time: an acknowledged change is never undone by another, and the change of a device is one
//! entry of the journal.

use std::{pin::Pin, sync::Arc};

use axum::{
    Extension,
    extract::{Path, State},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, AppState, Caller},
    body::Body,
    error::{Code, ServiceError},
    etag::{self, IfMatch},
    handlers::{bulk, devices, enrollments, twins},
};
use switchbox_auth::{
    Signed, Signer,
    provisioning::{Registrant, RegistrationRequest},
};
use switchbox_azure::{Hubs, Policy, Sas, sas};
use switchbox_azure_amqp::{Endpoint, HostHandles, Settings};
use switchbox_core::{
    ingest::NewEvent,
    outbox::NewConfig,
    registry::{Device, Registered},
};
use switchbox_files as files;
use switchbox_model::{
    Entry, EventData, PayloadLimits, RegistryName,
    limits::{CHANGE_ATTEMPTS, names},
    patch::{CredentialOwner, DevicePatch},
    registry::{Credential, KeyFormat},
    symmetric::{SymmetricKey, SymmetricKeys},
};
use switchbox_store::QueueShare;
use switchbox_support::clock;
use switchbox_testing::{Host, Options};
use switchbox_transport::admission::Rates;

type Call = Pin<Box<dyn Future<Output = Result<(), ServiceError>> + Send>>;

/// A hub with a device `lamp`, and one whose telemetry holds the journal up.
pub(super) struct Hub {
    pub(super) host: Host,
    pub(super) app: App,
    caller: Caller,
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A symmetric key whose bytes are all the same.
pub(super) fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn keys(keys: Value) -> Value {
    json!({ "authentication": { "type": "sas", "symmetricKey": keys } })
}

impl Hub {
    pub(super) async fn start() -> Self {
        let host = Host::start(Options::default()).await;
        let handles = HostHandles {
            registry: host.registry.clone(),
            ingest: host.ingest.clone(),
            outbox: host.outbox.clone(),
            delivery: host.delivery.clone(),
            store: host.store.clone(),
            auth: host.auth.clone(),
            metrics: host.metrics.clone(),
            tasks: host.tasks.clone(),
        };
        let data = host.folder().join("data");
        let quota = files::Quota { device_bytes: 1 << 20, total_bytes: 1 << 20 };
        let files = files::Handle::open(&files::Options { data: data.clone(), quota }).unwrap();
        let (hubs, payloads) = (Hubs::default(), PayloadLimits::default());
        let settings = Settings { hubs: hubs.clone(), partitions: 4, payloads, data };
        let amqp = Endpoint::new(handles.clone(), settings, CancellationToken::new());
        let (rates, queries) = (Rates::new(8), Arc::new(Semaphore::new(1)));
        let app = App::new(AppState { handles, files, amqp, hubs, payloads, rates, queries });
        let caller = Caller { registry: RegistryName::default_registry(), policy: Policy::Owner };
        let hub = Self { host, app, caller };
        for id in ["lamp", "busy"] {
            hub.put(id, IfMatch::Absent, keys(json!({ "primaryKey": key(1), "secondaryKey": key(2) }))).await.unwrap();
        }
        hub
    }

    fn lamp(&self) -> Arc<Device> {
        self.host.device("lamp")
    }

    fn parts(&self) -> (State<App>, Extension<Caller>) {
        (State(self.app.clone()), Extension(self.caller.clone()))
    }

    fn put(&self, id: &str, if_match: IfMatch, identity: Value) -> Call {
        let ((app, caller), id) = (self.parts(), Path(id.to_owned()));
        Box::pin(async move { devices::put(app, caller, id, if_match, Body(read(identity))).await.map(drop) })
    }

    /// A call for one device, which fails if the answer names it.
    fn bulk(&self, item: Value) -> Call {
        let (app, caller) = self.parts();
        Box::pin(async move {
            let (_, answer) = bulk::bulk(app, caller, Body(read(json!([item])))).await?;
            match answer.0["errors"].as_array().unwrap().first() {
                Some(error) => Err(ServiceError::invalid(error.to_string())),
                None => Ok(()),
            }
        })
    }

    fn twin(&self, method: &str, if_match: IfMatch, twin: Value) -> Call {
        let ((app, caller), id, replaces) = (self.parts(), Path("lamp".to_owned()), method == "PUT");
        Box::pin(async move {
            match replaces {
                true => twins::replace(app, caller, id, if_match, Body(read(twin))).await.map(drop),
                false => twins::change(app, caller, id, if_match, Body(read(twin))).await.map(drop),
            }
        })
    }

    pub(super) fn enrol(&self, if_match: IfMatch, keys: Value) -> Call {
        let ((app, caller), id) = (self.parts(), Path("maker".to_owned()));
        let enrollment_body = json!({ "attestation": { "type": "symmetricKey", "symmetricKey": keys } });
        Box::pin(async move {
            let put = enrollments::put_one::<{ enrollments::DEVICE }>;
            put(app, caller, id, if_match, Body(read(enrollment_body))).await.map(drop)
        })
    }

    fn unenrol(&self, if_match: IfMatch) -> Call {
        let ((app, caller), id) = (self.parts(), Path("maker".to_owned()));
        Box::pin(
            async move { enrollments::delete::<{ enrollments::DEVICE }>(app, caller, id, if_match).await.map(drop) },
        )
    }

    async fn enrolled(&self) -> Option<Value> {
        let ((app, caller), id) = (self.parts(), || Path("maker".to_owned()));
        let found = enrollments::keys::<{ enrollments::DEVICE }>(app.clone(), caller.clone(), id()).await.ok()?;
        let shown = enrollments::get::<{ enrollments::DEVICE }>(app, caller, id()).await.ok()?;
        let shown = serde_json::to_value(&shown.0).unwrap();
        Some(json!({ "keys": found.0["symmetricKey"], "etag": shown["etag"] }))
    }

    /// Begins all of them, in this order, before an entry of one of them is applied.
    async fn at_once(&self, calls: Vec<Call>) -> Vec<Result<(), Code>> {
        self.host.disk.block();
        let room = self.host.ingest.reserve(1024, QueueShare::Whole).await.unwrap();
        let data = EventData::Telemetry { subfolder: String::new(), payload: "1".into(), properties: Vec::new() };
        self.host.ingest.submit(&self.host.device("busy"), vec![NewEvent::new(true, data)], room, Box::new(|_| {}));
        let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
        // There is one thread: each call has come to its first wait, which is that for its entry, when this task continues.
        tokio::task::yield_now().await;
        self.host.disk.release();
        let mut results = Vec::new();
        for call in calls {
            results.push(call.await.unwrap().map_err(|error| error.code));
        }
        results
    }

    /// The changes of operators in the journal.
    async fn entries(&self) -> usize {
        let page = self.host.store.journal_page(0, 1 << 20).await.unwrap();
        let entries = page.rows.iter().flat_map(|row| &row.entries);
        entries.filter(|entry| matches!(entry, Entry::Registry { .. } | Entry::Operator { .. })).count()
    }

    fn tags(&self) -> Value {
        let spec = self.lamp().spec();
        spec.metadata.get("tags").map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    fn desired(&self, id: &str) -> Value {
        let config = self.host.device(id).config();
        config.map_or(Value::Null, |config| serde_json::from_slice(&config.payload).unwrap())
    }

    fn etag(&self) -> IfMatch {
        IfMatch::Tag(etag::of_identity(&self.lamp().registered()))
    }

    fn twin_etag(&self) -> IfMatch {
        IfMatch::Tag(etag::of_twin(&self.lamp().registered(), self.lamp().config_version()))
    }
}

pub(super) fn secrets(registered: &Registered) -> [String; 2] {
    let keys = registered.spec.symmetric_keys.clone().unwrap();
    [keys.primary.0.to_string(), keys.secondary.0.to_string()]
}

#[tokio::test]
async fn two_calls_that_replace_one_key_each_replace_both() {
    let hub = Hub::start().await;
    let of = |mode: &str, keys: Value| json!({ "id": "lamp", "importMode": mode, "authentication": { "type": "sas", "symmetricKey": keys } });
    let mut next = 3;
    for mode in ["put", "update", "createOrUpdate"] {
        let (primary, secondary) = (key(next), key(next + 1));
        next += 2;
        let call = |keys: Value| match mode {
            "put" => hub.put("lamp", IfMatch::Any, self::keys(keys)),
            _ => hub.bulk(of(mode, keys)),
        };
        let calls = vec![call(json!({ "primaryKey": primary })), call(json!({ "secondaryKey": secondary }))];
        assert_eq!(hub.at_once(calls).await, [Ok(()), Ok(())], "{mode}");
        assert_eq!(secrets(&hub.lamp().registered()), [primary, secondary], "{mode}");
    }
    let call = |keys: Value| hub.put("lamp", hub.etag(), self::keys(keys));
    let calls = vec![call(json!({ "primaryKey": key(20) })), call(json!({ "secondaryKey": key(21) }))];
    assert_eq!(hub.at_once(calls).await, [Ok(()), Err(Code::PreconditionFailed)]);
    assert_eq!(secrets(&hub.lamp().registered()), [key(20), key(next - 1)]);
}

#[tokio::test]
async fn a_call_that_others_outrun_each_time_is_refused_and_counted() {
    let hub = Hub::start().await;
    let calls = (0..100).map(|n| hub.put("lamp", IfMatch::Any, keys(json!({ "primaryKey": key(n) })))).collect();
    let results = hub.at_once(calls).await;
    let refused = results.iter().filter(|result| **result == Err(Code::Throttled)).count();
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!(done >= CHANGE_ATTEMPTS && done + refused == results.len(), "{results:?}");
    // These calls did not go through the gate, which counts the limit of an answer: one in a bulk call is counted there.
    assert_eq!(hub.host.metrics.limit_hits(names::CHANGE_ATTEMPTS), 0);
    ServiceError::outrun("the device").count(&hub.host.metrics);
    assert_eq!(hub.host.metrics.limit_hits(names::CHANGE_ATTEMPTS), 1);
}

#[tokio::test]
async fn a_credential_that_is_added_while_thumbprints_are_set_stays() {
    let hub = Hub::start().await;
    let (owner, registry) = (CredentialOwner::Device(hub.lamp().num), hub.host.registry.clone());
    let credential = Credential { format: KeyFormat::Es256Pem, key: "a public key".into(), expires_ms: None };
    let add = Box::pin(async move { Ok(registry.add_credential(owner, credential, None).await?) });
    let thumbprint = "AB".repeat(20);
    let identity =
        json!({ "authentication": { "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": thumbprint } } });
    assert_eq!(hub.at_once(vec![add, hub.put("lamp", IfMatch::Any, identity)]).await, [Ok(()), Ok(())]);
    let spec = hub.lamp().spec();
    let known: Vec<_> = spec.credentials.iter().map(|credential| credential.key.as_str()).collect();
    assert_eq!(known, ["a public key", thumbprint.as_str()]);
}

#[tokio::test]
async fn a_change_of_a_twin_is_one_entry_and_one_that_is_refused_changes_nothing() {
    let hub = Hub::start().await;
    let both = |tag: u64, level: u64| json!({ "tags": { "n": tag }, "properties": { "desired": { "level": level } } });
    let mut before = hub.entries().await;
    for (n, (method, if_match)) in
        (1..).zip([("PATCH", IfMatch::Absent), ("PUT", IfMatch::Any), ("PATCH", hub.twin_etag())])
    {
        // The last one has an ETag of before the others.
        let is_done = !if_match.is_tag();
        let done = hub.twin(method, if_match, both(n, n)).await;
        assert_eq!(done.map_err(|error| error.code).is_ok(), is_done, "{method} {n}");
        assert_eq!(hub.entries().await, before + usize::from(is_done), "{method} {n}");
        before = hub.entries().await;
        let n = n.min(2);
        assert_eq!((hub.tags(), hub.desired("lamp")), (json!({ "n": n }), json!({ "level": n })));
    }
    hub.twin("PATCH", hub.twin_etag(), both(3, 3)).await.unwrap();
    assert_eq!((hub.tags(), hub.desired("lamp")), (json!({ "n": 3 }), json!({ "level": 3 })));
    // A config that is no JSON object cannot be patched.
    let config = NewConfig { payload: "off".into(), expected: None, force: false };
    hub.host.outbox.set_config(&hub.lamp(), config, hub.caller.cause()).await.unwrap();
    assert_eq!(
        hub.twin("PATCH", IfMatch::Any, both(4, 4)).await.map_err(|error| error.code),
        Err(Code::ArgumentInvalid)
    );
    // Nor can tags be as large as this.
    let large = json!({ "tags": { "n": "x".repeat(300_000) }, "properties": { "desired": {} } });
    assert_eq!(hub.twin("PUT", IfMatch::Any, large).await.map_err(|error| error.code), Err(Code::ArgumentInvalid));
    assert_eq!((hub.tags(), &hub.lamp().config().unwrap().payload[..]), (json!({ "n": 3 }), &b"off"[..]));
}

#[tokio::test]
async fn a_twin_keeps_the_digits_of_its_numbers() {
    let hub = Hub::start().await;
    let twin = |n: &str| {
        let text = format!(r#"{{"tags":{{"n":{n}}},"properties":{{"desired":{{"n":{n},"z":1.50}}}}}}"#);
        Body(serde_json::from_str(&text).unwrap())
    };
    for (method, n) in [("PATCH", "12345678901234567890123"), ("PUT", "1e400")] {
        let ((app, caller), id) = (hub.parts(), Path("lamp".to_owned()));
        let answer = match method {
            "PUT" => twins::replace(app, caller, id, IfMatch::Any, twin(n)).await,
            _ => twins::change(app, caller, id, IfMatch::Any, twin(n)).await,
        };
        let shown = axum::body::to_bytes(answer.unwrap().into_body(), usize::MAX).await.unwrap();
        let shown = String::from_utf8(shown.to_vec()).unwrap();
        assert!(shown.contains(&format!(r#""tags":{{"n":{n}}}"#)), "{shown}");
        assert!(shown.contains(&format!(r#""n":{n},"z":1.50}}"#)), "{shown}");
        let stored = hub.lamp().config().unwrap().payload.clone();
        assert_eq!(stored, format!(r#"{{"n":{n},"z":1.50}}"#).as_bytes());
        assert_eq!(hub.lamp().spec().metadata["tags"], format!(r#"{{"n":{n}}}"#));
    }
}

#[tokio::test]
async fn concurrent_changes_of_a_twin_all_hold_and_an_etag_names_tags_and_desired() {
    let hub = Hub::start().await;
    let names: Vec<_> = (0..20).map(|n| format!("n{n}")).collect();
    let call = |name: &String| {
        let twin = json!({ "tags": { name: 1 }, "properties": { "desired": { name: 1 } } });
        hub.twin("PATCH", IfMatch::Absent, twin)
    };
    assert_eq!(hub.at_once(names.iter().map(call).collect()).await, vec![Ok(()); names.len()]);
    let all = Value::Object(names.iter().map(|name| (name.clone(), json!(1))).collect());
    assert_eq!((hub.tags(), hub.desired("lamp")), (all.clone(), all));
    // Each of the two parts of a twin is one that the ETag of the second call has not seen.
    for first in [json!({ "tags": { "first": 1 } }), json!({ "properties": { "desired": { "first": 2 } } })] {
        for second in [json!({ "tags": { "second": 1 } }), json!({ "properties": { "desired": { "second": 1 } } })] {
            let _ = hub.twin("PATCH", IfMatch::Any, json!({ "tags": { "first": null } })).await;
            let _ = hub.twin("PATCH", IfMatch::Any, json!({ "properties": { "desired": { "first": null } } })).await;
            let calls = vec![
                hub.twin("PATCH", IfMatch::Any, first.clone()),
                hub.twin("PATCH", hub.twin_etag(), second.clone()),
            ];
            assert_eq!(hub.at_once(calls).await, [Ok(()), Err(Code::PreconditionFailed)], "{first} {second}");
        }
    }
}

#[tokio::test]
async fn a_device_that_is_created_with_its_twin_is_one_entry() {
    let hub = Hub::start().await;
    let before = hub.entries().await;
    let item = json!({ "id": "plug", "importMode": "create", "tags": { "room": "hall", "floor": null },
                       "properties": { "desired": { "$version": 1, "level": 3 } } });
    hub.bulk(item.clone()).await.unwrap();
    assert_eq!(hub.entries().await, before + 1);
    let spec = hub.host.device("plug").spec();
    assert_eq!((&*spec.metadata["tags"], hub.desired("plug")), (r#"{"room":"hall"}"#, json!({ "level": 3 })));
    assert!(hub.bulk(item).await.is_err());
    // One whose twin is refused is not created either.
    for twin in [json!({ "$x": 1 }), json!({ "level": "x".repeat(70_000) })] {
        let item = json!({ "id": "bulb", "properties": { "desired": twin } });
        assert!(hub.bulk(item).await.is_err());
        assert!(hub.app.find(&hub.caller, "bulb").is_err());
    }
}

#[tokio::test]
async fn a_device_that_is_updated_with_its_twin_gets_both() {
    let hub = Hub::start().await;
    let item = |mode: &str, n: u64, more: Value| {
        let mut item = json!({ "id": "lamp", "importMode": mode, "statusReason": n.to_string(), "tags": { "n": n },
                               "properties": { "desired": { "level": n } } });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let reason = || hub.lamp().spec().metadata["statusReason"].clone();
    for (n, mode) in (1..).zip(["createOrUpdate", "update", "updateIfMatchETag"]) {
        let more = json!({ "eTag": etag::of_identity(&hub.lamp().registered()) });
        hub.bulk(item(mode, n, more)).await.unwrap();
        assert_eq!((hub.tags(), hub.desired("lamp")), (json!({ "n": n }), json!({ "level": n })), "{mode}");
        assert_eq!(reason(), n.to_string(), "{mode}");
    }
    // What says nothing of the twin leaves it as it is.
    hub.bulk(json!({ "id": "lamp", "statusReason": "3" })).await.unwrap();
    assert_eq!(hub.desired("lamp"), json!({ "level": 3 }));
    // The ETag of the twin is checked before the device is changed, and so is what can be read of the change.
    let seen = etag::of_twin(&hub.lamp().registered(), hub.lamp().config_version());
    hub.bulk(item("update", 4, json!({ "twinETag": seen.clone() }))).await.unwrap();
    assert!(hub.bulk(item("update", 5, json!({ "twinETag": seen }))).await.is_err());
    assert!(hub.bulk(item("update", 5, json!({ "properties": { "desired": { "$x": 1 } } }))).await.is_err());
    assert_eq!((reason(), hub.tags(), hub.desired("lamp")), ("4".into(), json!({ "n": 4 }), json!({ "level": 4 })));
    let large = item("update", 5, json!({ "properties": { "desired": { "level": "x".repeat(70_000) } } }));
    let error = hub.bulk(large).await.unwrap_err().to_string();
    assert!(error.contains("the device was changed, but its twin was not"), "{error:.300}");
    assert_eq!((reason(), hub.tags()), ("5".into(), json!({ "n": 4 })));
}

#[tokio::test]
async fn an_enrolment_is_replaced_and_deleted_as_it_was_seen() {
    let hub = Hub::start().await;
    hub.enrol(IfMatch::Absent, json!({ "primaryKey": key(1), "secondaryKey": key(2) })).await.unwrap();
    let calls = vec![
        hub.enrol(IfMatch::Any, json!({ "primaryKey": key(3) })),
        hub.enrol(IfMatch::Any, json!({ "secondaryKey": key(4) })),
    ];
    assert_eq!(hub.at_once(calls).await, [Ok(()), Ok(())]);
    let seen = hub.enrolled().await.unwrap();
    assert_eq!(seen["keys"], json!({ "primaryKey": key(3), "secondaryKey": key(4) }));
    let tag = |seen: &Value| IfMatch::new(seen["etag"].as_str());
    let calls = vec![hub.enrol(IfMatch::Any, json!({ "primaryKey": key(5) })), hub.unenrol(tag(&seen))];
    assert_eq!(hub.at_once(calls).await, [Ok(()), Err(Code::PreconditionFailed)]);
    let seen = hub.enrolled().await.unwrap();
    assert_eq!(seen["keys"]["primaryKey"], key(5));
    hub.unenrol(tag(&seen)).await.unwrap();
    assert!(hub.enrolled().await.is_none());
}

/// The token of the device `maker` with this key.
pub(super) fn token(byte: u8) -> String {
    sas::sign("default/registrations/maker", &[byte; 32], clock::now_ms() / 1_000 + 60, None)
}

impl Hub {
    /// The device `maker`, which proves that it has this key.
    async fn registrant(&self, byte: u8) -> Registrant {
        self.registrant_with(byte, None).await
    }

    /// With the public key that it brings.
    pub(super) async fn registrant_with(&self, byte: u8, public_key: Option<&Credential>) -> Registrant {
        let token = token(byte);
        let token = Sas::parse(token.as_bytes()).unwrap();
        let signed = Signed::new(Signer::Device, token.signed(), token.signature, token.expires_secs);
        let request = RegistrationRequest {
            registry: &self.caller.registry,
            registration_id: "maker",
            address: [127, 0, 0, 1].into(),
            certificates: &[],
            signed: Some(&signed),
            public_key,
        };
        self.app.handles.auth.admit_registrant(request).await.unwrap()
    }
}

#[tokio::test]
async fn a_device_that_an_operator_takes_over_is_not_given_the_keys_of_its_enrolment() {
    let hub = Hub::start().await;
    hub.enrol(IfMatch::Absent, json!({ "primaryKey": key(1), "secondaryKey": key(2) })).await.unwrap();
    let (auth, registry) = (hub.app.handles.auth.clone(), hub.host.registry.clone());
    auth.register(&hub.registrant(1).await).await.unwrap();
    hub.enrol(IfMatch::Any, json!({ "primaryKey": key(3) })).await.unwrap();
    let (registrant, device) = (hub.registrant(3).await, hub.host.device("maker"));
    let (primary, secondary) = (SymmetricKey(key(8).into()), SymmetricKey(key(9).into()));
    let patch = DevicePatch {
        metadata: Some([].into()),
        symmetric_keys: Some(Some(Box::new(SymmetricKeys { primary, secondary }))),
        ..DevicePatch::default()
    };
    let taken = Box::pin(async move { Ok(registry.patch(&device, patch, None).await?) });
    let again = Box::pin(async move {
        auth.register(&registrant).await.map(drop).map_err(|error| ServiceError::invalid(error.to_string()))
    });
    assert_eq!(hub.at_once(vec![taken, again]).await, [Ok(()), Err(Code::ArgumentInvalid)]);
    assert_eq!(secrets(&hub.host.device("maker").registered()), [key(8), key(9)]);
}
