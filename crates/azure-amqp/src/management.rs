//! `$management`: answers which partitions exist, and the first and last event of each.

use fe2o3_amqp_types::primitives::{Array, OrderedMap, Value};

use crate::{
    authorization::ConnectionAuth,
    context::Context,
    last_enqueued,
    message::timestamp,
    requests::{Request, Response, field},
};
use switchbox_model::{RegistryName, Seq};
use switchbox_store as store;

pub(crate) async fn respond(context: &Context, auth: &ConnectionAuth, request: Request) -> Response {
    let program = match auth.require_service_connect() {
        Ok(program) => program,
        Err(why) => return Response::error(401, why),
    };
    if field(&request, "operation").as_deref() != Some("READ") {
        return Response::error(400, "the only operation of $management is READ");
    }
    let name = field(&request, "name").unwrap_or_default();
    if let Err(why) = check_entity(&program.registry, &name) {
        return Response::error(404, why);
    }
    match field(&request, "type").as_deref() {
        Some("com.microsoft:eventhub") => Response::ok(200, hub(context, &program.registry, name)),
        Some("com.microsoft:partition") => {
            let partition = field(&request, "partition").unwrap_or_default();
            let Some(number) = partition.parse().ok().filter(|number| *number < context.partitions) else {
                return Response::error(404, format!("there is no partition {partition}"));
            };
            match of_partition(context, &program.registry, name, number).await {
                Ok(body) => Response::ok(200, body),
                Err(error) => Response::error(503, error.to_string()),
            }
        }
        _ => Response::error(400, "the types of $management are com.microsoft:eventhub and com.microsoft:partition"),
    }
}

/// Checks what a client calls the endpoint from which events are read: the hub, as `messages/events` or by the registry's id. The error is
/// for the client.
pub(crate) fn check_entity(registry: &RegistryName, entity: &str) -> Result<(), String> {
    let known = entity == registry.id() || entity.eq_ignore_ascii_case("messages/events");
    known.then_some(()).ok_or_else(|| format!("the hub's endpoint is called {:?}, not {entity:?}", registry.id()))
}

fn map(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut map = OrderedMap::new();
    for (name, value) in fields {
        map.insert(Value::String(name.to_owned()), value);
    }
    Value::Map(map)
}

fn hub(context: &Context, registry: &RegistryName, name: String) -> Value {
    let ids = (0..context.partitions).map(|number| Value::String(number.to_string()));
    let created_ms = context.handles.registry.registry(registry).map_or(0, |registry| registry.created_ms);
    map([
        ("name", Value::String(name)),
        ("type", Value::String("com.microsoft:eventhub".into())),
        ("created_at", time(created_ms)),
        ("partition_count", Value::Int(i32::from(context.partitions))),
        ("partition_ids", Value::Array(Array(ids.collect()))),
        ("georeplication_factor", Value::Int(1)),
    ])
}

async fn of_partition(
    context: &Context,
    registry: &RegistryName,
    name: String,
    number: u16,
) -> Result<Value, store::Error> {
    let (first, last) = (first(context).await?, last_enqueued::find(context, registry, number).await?);
    let (last_seq, last_ms) = last.map_or((-1, 0), |event| (long(event.seq), event.time_ms));
    Ok(map([
        ("name", Value::String(name)),
        ("type", Value::String("com.microsoft:partition".into())),
        ("partition", Value::String(number.to_string())),
        ("begin_sequence_number", Value::Long(first.map_or(0, long))),
        ("last_enqueued_sequence_number", Value::Long(last_seq)),
        ("last_enqueued_offset", Value::String(last_seq.to_string())),
        ("last_enqueued_time_utc", time(last_ms)),
        ("is_partition_empty", Value::Bool(last_seq < 0)),
    ]))
}

fn long(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

fn time(ms: u64) -> Value {
    Value::Timestamp(timestamp(ms))
}

/// The oldest event in the journal.
async fn first(context: &Context) -> Result<Option<Seq>, store::Error> {
    let page = context.journal.page(0, 1).await?;
    Ok(page.rows.iter().flat_map(|row| &row.entries).flat_map(|entry| entry.events()).map(|event| event.seq).next())
}
