//! Devices that register themselves: what they are registered with, and how often they may call.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::json;
use tower::ServiceExt as _;

use super::{
    etag::IfMatch,
    routes::routes,
    tests::{Hub, key, secrets, token},
};
use switchbox_model::{
    patch::CredentialOwner,
    registry::{Credential, KeyFormat},
};

fn public_key(key: &str) -> Credential {
    Credential { format: KeyFormat::Es256Pem, key: key.into(), expires_ms: None }
}

#[tokio::test]
async fn what_a_device_proves_when_it_registers_again_is_its_only_proof() {
    let hub = Hub::start().await;
    hub.enrol(IfMatch::Absent, json!({ "primaryKey": key(1), "secondaryKey": key(2) })).await.unwrap();
    let (auth, registry) = (hub.app.handles.auth.clone(), hub.host.registry.clone());
    let (first, second) = (public_key("first"), public_key("second"));
    for brought in [None, Some(&first), Some(&second), None, Some(&first)] {
        let registrant = hub.registrant_with(1, brought).await;
        // The second time, an operator has added a credential.
        for _ in 0..2 {
            auth.register(&registrant).await.unwrap();
            let device = hub.host.device("maker");
            let registered = device.registered();
            assert_eq!(registered.spec.credentials, brought.into_iter().cloned().collect::<Vec<_>>(), "{brought:?}");
            assert_eq!(registered.spec.symmetric_keys.is_some(), brought.is_none(), "{brought:?}");
            if brought.is_none() {
                assert_eq!(secrets(&registered), [key(1), key(2)]);
            }
            registry.add_credential(CredentialOwner::Device(device.num), public_key("added"), None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_device_that_registers_again_with_the_same_proof_is_not_changed() {
    let hub = Hub::start().await;
    hub.enrol(IfMatch::Absent, json!({ "primaryKey": key(1), "secondaryKey": key(2) })).await.unwrap();
    let auth = hub.app.handles.auth.clone();
    for brought in [None, Some(&public_key("first"))] {
        let registrant = hub.registrant_with(1, brought).await;
        auth.register(&registrant).await.unwrap();
        let revision = hub.host.device("maker").registered().revision;
        auth.register(&registrant).await.unwrap();
        assert_eq!(hub.host.device("maker").registered().revision, revision, "{brought:?}");
    }
}

#[tokio::test]
async fn only_calls_without_a_valid_proof_count_for_the_address() {
    let hub = Hub::start().await;
    hub.enrol(IfMatch::Absent, json!({ "primaryKey": key(1), "secondaryKey": key(2) })).await.unwrap();
    let routes = routes(hub.app.clone());
    let statuses = async |token: String| {
        let mut found = Vec::new();
        for _ in 0..200 {
            let request = Request::post("/default/registrations/maker?api-version=2021-06-01");
            let request = request.header(header::AUTHORIZATION, &token).body(Body::empty()).unwrap();
            found.push(routes.clone().oneshot(request).await.unwrap().status());
        }
        found
    };
    let valid = statuses(token(1)).await;
    assert!(valid.iter().all(|status| *status == StatusCode::NOT_FOUND), "it is not registered yet: {valid:?}");
    let wrong = statuses("SharedAccessSignature sr=x".to_owned()).await;
    assert_eq!(wrong.first(), Some(&StatusCode::UNAUTHORIZED));
    assert!(wrong.contains(&StatusCode::TOO_MANY_REQUESTS), "{wrong:?}");
}
