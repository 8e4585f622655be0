//! `$cbs`: tokens that a client puts, before it attaches other links and when a token is about to run out.

use fe2o3_amqp_types::{
    messaging::{AmqpValue, Body},
    primitives::Value,
};

use crate::{
    context::Context,
    grant::Grants,
    requests::{Outcome, Request, field},
};

pub(crate) async fn answer(context: &Context, grants: &Grants, request: Request) -> Outcome {
    if field(&request, "operation").as_deref() != Some("put-token") {
        return Outcome::refused(400, "the only operation of $cbs is put-token");
    }
    let kind = field(&request, "type").unwrap_or_default();
    if kind != "servicebus.windows.net:sastoken" {
        return Outcome::refused(400, "the type of a token is servicebus.windows.net:sastoken; no other is supported");
    }
    let token = match &request.body {
        Body::Value(AmqpValue(Value::String(token))) => token.clone(),
        Body::Value(AmqpValue(Value::Binary(token))) => String::from_utf8(token.to_vec()).unwrap_or_default(),
        _ => return Outcome::refused(400, "the body of put-token is the token, a text"),
    };
    match grants.put(context, &token).await {
        // Azure's SDK for Node takes no other number of success.
        Ok(()) => Outcome::done(200, Value::Null),
        Err(why) => Outcome::refused(401, why),
    }
}
