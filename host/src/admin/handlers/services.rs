//! Service accounts: programs that are no devices.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::json;

use super::{devices::credentials::SetPassword, insert_page};
use crate::{
    admin::{
        App,
        convert::{self, Params, ServiceIn},
        error::Error,
        reply::{Answer, Body},
    },
    model::ServiceName,
    store::ServiceDoc,
};

fn find(app: &App, name: &ServiceName) -> Result<std::sync::Arc<ServiceDoc>, Error> {
    app.parts.registry.service(name).ok_or_else(|| Error::not_found(format!("service account {name}")))
}

fn show(app: &App, name: &ServiceName, params: &Params) -> Answer {
    Ok(Json(convert::service(find(app, name)?.as_ref(), params.enums())))
}

pub(in crate::admin) async fn list(State(app): State<App>, params: Params) -> Answer {
    params.only(&[])?;
    let all = app.parts.registry.services();
    let shown = all.iter().map(|service| convert::service(service, params.enums())).collect();
    Ok(Json(insert_page("serviceAccounts", shown, None)))
}

pub(in crate::admin) async fn create(State(app): State<App>, params: Params, Body(wanted): Body<ServiceIn>) -> Answer {
    params.only(&[])?;
    let name = ServiceName::new(wanted.id()?)?;
    app.parts.registry.create_service(name.clone(), wanted.spec()?).await?;
    show(&app, &name, &params)
}

pub(in crate::admin) async fn get(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    show(&app, &ServiceName::new(&name)?, &params)
}

pub(in crate::admin) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(wanted): Body<ServiceIn>,
) -> Answer {
    params.only(&["updateMask"])?;
    let mask = params.update_mask("disabled,publish,subscribe")?;
    let name = ServiceName::new(&name)?;
    let spec = convert::apply_service_mask(&find(&app, &name)?.spec, wanted.spec()?, &mask)?;
    app.parts.registry.change_service(&name, spec).await?;
    show(&app, &name, &params)
}

pub(in crate::admin) async fn delete(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    app.parts.registry.delete_service(&ServiceName::new(&name)?).await?;
    Ok(Json(json!({})))
}

pub(in crate::admin) async fn set_password(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(body): Body<SetPassword>,
) -> Answer {
    params.only(&[])?;
    app.parts.registry.set_service_password(&ServiceName::new(&name)?, body.hash().await?).await?;
    Ok(Json(json!({})))
}
