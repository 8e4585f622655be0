//! Many changes of the registry in one call. Each device's change is one entry of the journal, and another one if it also changes the twin of a
//! device that exists: successful changes stay, and the answer names the others.

use std::collections::HashSet;

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{devices, twins};
use crate::{
    app::{App, Caller},
    body::Body,
    error::{Code, ServiceError},
    etag::IfMatch,
    identity::IdentityIn,
    members::Members,
    twin_in::{PropertiesIn, TwinIn},
};
use switchbox_model::limits::fields;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    #[serde(flatten)]
    identity: IdentityIn,
    import_mode: Option<String>,
    #[serde(rename = "eTag", alias = "etag")]
    etag: Option<String>,
    #[serde(rename = "twinETag", alias = "twinEtag")]
    twin_etag: Option<String>,
    module_id: Option<String>,
    tags: Option<Members>,
    properties: Option<PropertiesIn>,
}

pub(crate) async fn bulk(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Body(items): Body<Vec<Item>>,
) -> Result<(StatusCode, Json<Value>), ServiceError> {
    fields::HUB_BULK.check_len("devices in one call", items.len())?;
    let mut named = HashSet::new();
    if items.iter().any(|item| !named.insert(item.identity.device_id.as_deref().unwrap_or_default())) {
        return Err(ServiceError::invalid("each device is named once, with its id"));
    }
    let mut errors = Vec::new();
    for item in &items {
        if let Err(error) = one(&app, &caller, item).await {
            error.count(&app.handles.metrics);
            errors.push(json!({
                "deviceId": item.identity.device_id,
                "errorCode": error.code.number(),
                "errorStatus": format!("{}: {error}", error.code.name()),
            }));
        }
    }
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok((status, Json(json!({ "isSuccessful": errors.is_empty(), "errors": errors, "warnings": [] }))))
}

async fn one(app: &App, caller: &Caller, item: &Item) -> Result<(), ServiceError> {
    let id = item.identity.device_id.as_deref().filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ServiceError::invalid("id is missing"))?;
    if item.module_id.is_some() {
        return Err(ServiceError::not_supported("modules"));
    }
    let tag = |tag: &Option<String>| {
        let tag = tag.as_deref().ok_or_else(|| ServiceError::invalid("the import mode needs an ETag"))?;
        Ok::<_, ServiceError>(IfMatch::new(Some(tag)))
    };
    // The SDK for Node writes some of them with a capital letter.
    match item.import_mode.as_deref().unwrap_or("createOrUpdate").to_ascii_lowercase().as_str() {
        "create" => create(app, caller, id, item).await,
        "update" => update(app, caller, id, item, &IfMatch::Any).await,
        "updateifmatchetag" => update(app, caller, id, item, &tag(&item.etag)?).await,
        "createorupdate" => match create(app, caller, id, item).await {
            Err(error) if error.code == Code::DeviceAlreadyExists => update(app, caller, id, item, &IfMatch::Any).await,
            done => done,
        },
        "delete" => devices::remove(app, &app.find(caller, id)?, &IfMatch::Any).await,
        "deleteifmatchetag" => devices::remove(app, &app.find(caller, id)?, &tag(&item.etag)?).await,
        "updatetwin" => twin(app, caller, id, item, &IfMatch::Any).await,
        "updatetwinifmatchetag" => twin(app, caller, id, item, &tag(&item.twin_etag)?).await,
        other => Err(ServiceError::invalid(format!("the import mode {other:?} is not supported"))),
    }
}

async fn create(app: &App, caller: &Caller, id: &str, item: &Item) -> Result<(), ServiceError> {
    devices::create(app, caller, id, &item.identity, &item.twin()).await.map(drop)
}

/// Changes the device, then merges the tags and desired into its twin. `if_match` is of the device. What is known of the twin is checked
/// first: its ETag, if the item has one, and whether its change can be read.
async fn update(app: &App, caller: &Caller, id: &str, item: &Item, if_match: &IfMatch) -> Result<(), ServiceError> {
    let (device, twin) = (app.find(caller, id)?, item.twin());
    let twin_tag = IfMatch::new(item.twin_etag.as_deref());
    twins::check(&twin_tag, &device.registered(), device.config_version())?;
    twin.merged(&device, caller.cause())?;
    devices::update(app, &device, if_match, &item.identity).await?;
    // The change of the device has made another ETag.
    let changed = twins::patch(app, caller, &device, &IfMatch::Any, &twin).await;
    changed.map_err(|error| error.after("the device was changed, but its twin was not"))
}

async fn twin(app: &App, caller: &Caller, id: &str, item: &Item, if_match: &IfMatch) -> Result<(), ServiceError> {
    twins::patch(app, caller, app.find(caller, id)?.as_ref(), if_match, &item.twin()).await
}

impl Item {
    fn twin(&self) -> TwinIn {
        TwinIn { tags: self.tags.clone(), properties: self.properties.clone() }
    }
}
