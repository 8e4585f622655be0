//! The routes, and the right that each one requires. Parts of Azure's API that this host lacks are refused by name.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, any, delete, get, patch, post, put},
};

use crate::handlers::enrollments::{DEVICE, GROUP};
use crate::{
    app::App,
    error::{Code, ServiceError},
    gate::{self, Gate},
    handlers::{
        blobs, bulk, device_messages, devices, enrollments, files, methods, provisioning, query, statistics, twins,
        websockets,
    },
};
use switchbox_azure::AccessRight::{self, RegistryRead, RegistryWrite, ServiceConnect};
use switchbox_azure::storage::CONTAINER;
use switchbox_model::limits::HUB_API_BODY_BYTES;

/// Parts of Azure's API that this host does not support.
const NOT_SUPPORTED: [(&str, &str); 19] = [
    ("/registrations/{id}", "registrations; the device's metadata switchbox-enrollment names its enrolment"),
    ("/registrations/{id}/query", "registrations; the device's metadata switchbox-enrollment names its enrolment"),
    ("/devices/{id}/modules", "modules"),
    ("/devices/{id}/modules/{module}", "modules"),
    ("/devices/{id}/applyConfigurationContent", "configurations of Edge devices"),
    ("/twins/{id}/modules/{module}", "modules"),
    ("/twins/{id}/modules/{module}/methods", "modules"),
    ("/digitaltwins/{*rest}", "digital twins"),
    ("/jobs", "jobs"),
    ("/jobs/{*rest}", "jobs"),
    ("/configurations", "configurations"),
    ("/configurations/{*rest}", "configurations"),
    ("/messages/serviceBound/feedback", "feedback over HTTPS"),
    ("/messages/serviceBound/feedback/{*rest}", "feedback over HTTPS"),
    ("/messages/servicebound/feedback", "feedback over HTTPS"),
    ("/messages/servicebound/feedback/{*rest}", "feedback over HTTPS"),
    ("/messages/servicebound/filenotifications", "file notifications"),
    ("/messages/serviceBound/filenotifications", "file notifications"),
    ("/statistics/{*rest}", "other statistics than those of devices and service"),
];

pub(crate) fn routes(app: App) -> Router {
    let with = |right: AccessRight, calls: MethodRouter<App>| {
        calls.layer(middleware::from_fn_with_state(Gate { app: app.clone(), right }, gate::check))
    };
    let wrong_method = || async { ServiceError::new(Code::MethodNotAllowed, "this path has no such method") };
    let mut router = enrollment_routes(&with)
        .route("/devices", with(RegistryRead, get(devices::list)).merge(with(RegistryWrite, post(bulk::bulk))))
        // Azure's SDK for Node uses the path with the slash.
        .route("/devices/", with(RegistryRead, get(devices::list)))
        .route(
            "/devices/{id}",
            with(RegistryRead, get(devices::get)).merge(with(RegistryWrite, put(devices::put).delete(devices::delete))),
        )
        .route("/devices/query", with(ServiceConnect, post(query::query)))
        .route("/devices/{id}/commands", with(ServiceConnect, delete(devices::purge)))
        .route(
            "/twins/{id}",
            with(ServiceConnect, get(twins::get)).merge(with(ServiceConnect, patch(twins::change).put(twins::replace))),
        )
        .route("/twins/{id}/methods", with(ServiceConnect, post(methods::invoke)))
        .route("/devices/{id}/messages/events", post(device_messages::send))
        .route("/devices/{id}/messages/devicebound", get(device_messages::fetch))
        .route("/devices/{id}/messages/devicebound/{token}", delete(device_messages::settle))
        .route("/devices/{id}/messages/devicebound/{token}/abandon", post(device_messages::abandon))
        .route("/devices/{id}/files", post(files::begin))
        .route("/devices/{id}/files/notifications", post(files::end))
        .route("/devices/{id}/files/notifications/{correlation}", post(files::end_by_path))
        .route(&format!("/{CONTAINER}/{{*blob}}"), any(blobs::call))
        // Of devices and of programs.
        .route("/$iothub/websocket", get(websockets::upgrade))
        .route("/$servicebus/websocket", get(websockets::upgrade))
        .route("/{scope}/registrations/{id}/register", put(provisioning::register))
        .route("/{scope}/registrations/{id}/operations/{operation}", get(provisioning::status))
        .route("/{scope}/registrations/{id}", post(provisioning::look_up))
        .route("/statistics/devices", with(RegistryRead, get(statistics::devices)))
        .route("/statistics/service", with(ServiceConnect, get(statistics::service)));
    for (path, what) in NOT_SUPPORTED {
        let refused = move || async move { ServiceError::not_supported(what) };
        router = router.route(path, with(ServiceConnect, any(refused)));
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(|| async { ServiceError::new(Code::NotFound, "the hub's API has no such path") })
        .layer(DefaultBodyLimit::max(HUB_API_BODY_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), gate::bound))
        .with_state(app)
}

/// The provisioning service's API for programs. Azure's SDK for Node writes one path in another case.
fn enrollment_routes(with: &dyn Fn(AccessRight, MethodRouter<App>) -> MethodRouter<App>) -> Router<App> {
    let group = |path: &str| format!("/enrollmentGroups{path}");
    Router::new()
        .route("/enrollments/", with(RegistryWrite, post(enrollments::bulk)))
        .route("/enrollments", with(RegistryWrite, post(enrollments::bulk)))
        .route("/enrollments/query", with(RegistryRead, post(enrollments::query_all::<DEVICE>)))
        .route(
            "/enrollments/{id}",
            with(RegistryRead, get(enrollments::get::<DEVICE>))
                .merge(with(RegistryWrite, put(enrollments::put_one::<DEVICE>).delete(enrollments::delete::<DEVICE>))),
        )
        .route("/enrollments/{id}/attestationmechanism", with(RegistryWrite, post(enrollments::keys::<DEVICE>)))
        .route(&group("/query"), with(RegistryRead, post(enrollments::query_all::<GROUP>)))
        .route(
            &group("/{id}"),
            with(RegistryRead, get(enrollments::get::<GROUP>))
                .merge(with(RegistryWrite, put(enrollments::put_one::<GROUP>).delete(enrollments::delete::<GROUP>))),
        )
        .route(&group("/{id}/attestationmechanism"), with(RegistryWrite, post(enrollments::keys::<GROUP>)))
        .route("/enrollmentgroups/{id}/attestationmechanism", with(RegistryWrite, post(enrollments::keys::<GROUP>)))
}
