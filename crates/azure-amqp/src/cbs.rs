//! `$cbs`: accepts the tokens that a client sends before it attaches other links, and again before a token expires.

use fe2o3_amqp_types::{
    messaging::{AmqpValue, Body},
    primitives::Value,
};

use crate::{
    authorization::ConnectionAuth,
    context::Context,
    requests::{Request, Response, field},
};

pub(crate) async fn respond(context: &Context, auth: &ConnectionAuth, request: Request) -> Response {
    if field(&request, "operation").as_deref() != Some("put-token") {
        return Response::error(400, "the only operation of $cbs is put-token");
    }
    let kind = field(&request, "type").unwrap_or_default();
    if kind != "servicebus.windows.net:sastoken" {
        return Response::error(400, "the type of a token is servicebus.windows.net:sastoken; no other is supported");
    }
    let token = match &request.body {
        Body::Value(AmqpValue(Value::String(token))) => token.clone(),
        Body::Value(AmqpValue(Value::Binary(token))) => String::from_utf8(token.to_vec()).unwrap_or_default(),
        _ => return Response::error(400, "the body of put-token must be the token as text"),
    };
    match auth.put_token(context, &token).await {
        // Azure's SDK for Node accepts only 200 as success.
        Ok(()) => Response::ok(200, Value::Null),
        Err(why) => Response::error(401, why),
    }
}
