//! One call of the API: what the router needs to answer it, and what the document says of it.

use std::{borrow::Cow, sync::Arc};

use axum::{
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{app::App, convert::Objects};
use switchbox_admin_api::{Empty, Scope};

/// The largest body unless a call says otherwise, bytes.
const BODY_BYTES: usize = 1024 * 1024;

/// What a body is.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// JSON of a type.
    Json(Type),
    /// Server-sent events: the items of a type.
    Events(Type),
    /// JSON of any shape.
    Any,
    /// Something else, with these content types.
    Other(&'static [&'static str]),
}

/// A type of bodies.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    pub(crate) name: fn() -> Cow<'static, str>,
    /// Its schema, which goes to the generator's.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) objects: fn() -> Arc<Objects>,
}

pub(super) fn json<T: JsonSchema + 'static>() -> Shape {
    Shape::Json(Type::of::<T>())
}

/// A stream of items of a type.
pub(super) fn stream<T: JsonSchema + 'static>() -> Shape {
    Shape::Events(Type::of::<T>())
}

impl Type {
    pub(crate) fn of<T: JsonSchema + 'static>() -> Self {
        Self { name: T::schema_name, schema: SchemaGenerator::subschema_for::<T>, objects: Objects::of::<T> }
    }
}

pub(crate) struct Call {
    pub(crate) method: Method,
    /// `{d}` matches one segment.
    pub(crate) path: String,
    /// What follows the path after a colon.
    pub(crate) verb: Option<&'static str>,
    pub(crate) scope: Scope,
    /// One line for the document.
    pub(crate) says: &'static str,
    /// Query parameters, as the handler knows them.
    pub(crate) params: &'static [&'static str],
    pub(crate) takes: Option<Shape>,
    pub(crate) answers: Shape,
    pub(crate) body_bytes: usize,
    /// It can be made to depend on the revision of what it changes.
    pub(crate) takes_if_match: bool,
    pub(super) route: MethodRouter<App>,
}

impl Call {
    fn new<T: 'static>(method: Method, filter: MethodFilter, path: &str, handler: impl Handler<T, App>) -> Self {
        let scope = if method == Method::GET { Scope::Read } else { Scope::Admin };
        Self {
            method,
            path: path.to_owned(),
            verb: None,
            scope,
            says: "",
            params: &[],
            takes: None,
            answers: json::<Empty>(),
            body_bytes: BODY_BYTES,
            takes_if_match: false,
            route: on(filter, handler),
        }
    }

    pub(super) fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// The scope that the call requires. By default, a GET requires scope read, and any other call scope admin.
    pub(super) fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    pub(super) fn params(self, params: &'static [&'static str]) -> Self {
        Self { params, ..self }
    }

    pub(super) fn takes(self, shape: Shape) -> Self {
        Self { takes: Some(shape), ..self }
    }

    pub(super) fn answers(self, answers: Shape) -> Self {
        Self { answers, ..self }
    }

    pub(super) fn takes_if_match(self) -> Self {
        Self { takes_if_match: true, ..self }
    }

    pub(super) fn body_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }
}

pub(super) fn get<T: 'static>(path: &str, handler: impl Handler<T, App>) -> Call {
    Call::new(Method::GET, MethodFilter::GET, path, handler)
}

pub(super) fn post<T: 'static>(path: &str, handler: impl Handler<T, App>) -> Call {
    Call::new(Method::POST, MethodFilter::POST, path, handler)
}

pub(super) fn put<T: 'static>(path: &str, handler: impl Handler<T, App>) -> Call {
    Call::new(Method::PUT, MethodFilter::PUT, path, handler)
}

pub(super) fn patch<T: 'static>(path: &str, handler: impl Handler<T, App>) -> Call {
    Call::new(Method::PATCH, MethodFilter::PATCH, path, handler)
}

pub(super) fn delete<T: 'static>(path: &str, handler: impl Handler<T, App>) -> Call {
    Call::new(Method::DELETE, MethodFilter::DELETE, path, handler)
}

/// `POST path:verb`.
pub(super) fn verb<T: 'static>(path: &str, verb: &'static str, handler: impl Handler<T, App>) -> Call {
    Call { verb: Some(verb), ..post(path, handler) }
}
