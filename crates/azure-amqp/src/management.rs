//! `$management`: answers which partitions exist, and the first and last event of each.

use fe2o3_amqp_types::primitives::{Array, OrderedMap, Timestamp, Value};

use crate::{
    authorization::ConnectionAuth,
    context::Context,
    partitions,
    requests::{Request, Response, field},
};
use switchbox_core::registry::Device;
use switchbox_model::{Event, RegistryName, Seq};
use switchbox_store as store;

/// Rows at the end of the journal that are searched for the last event of a partition.
const ROWS: usize = 4_096;
/// Rows that are read at a time.
const CHUNK: usize = 256;

pub(crate) async fn respond(context: &Context, auth: &ConnectionAuth, request: Request) -> Response {
    let program = match auth.require_service_connect() {
        Ok(program) => program,
        Err(why) => return Response::error(401, why),
    };
    if field(&request, "operation").as_deref() != Some("READ") {
        return Response::error(400, "the only operation of $management is READ");
    }
    let name = field(&request, "name").unwrap_or_default();
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
    let (first, last) = (first(context).await?, last(context, registry, number).await?);
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
    Value::Timestamp(Timestamp::from_milliseconds(i64::try_from(ms).unwrap_or(i64::MAX)))
}

/// The oldest event in the journal.
async fn first(context: &Context) -> Result<Option<Seq>, store::Error> {
    let page = context.handles.store.journal_page(0, 1).await?;
    Ok(page.rows.iter().flat_map(|row| &row.entries).flat_map(|entry| entry.events()).map(|event| event.seq).next())
}

/// The newest event of a partition. Returns `None` if it is further back than [`ROWS`].
async fn last(context: &Context, registry: &RegistryName, number: u16) -> Result<Option<Event>, store::Error> {
    let is_in = |device: &Device| {
        device.name.registry == *registry && partitions::of(&device.name.id, context.partitions) == number
    };
    let (mut before, mut looked_at) = (i64::MAX, 0);
    while looked_at < ROWS {
        let rows = context.handles.store.journal_back(before, CHUNK).await?;
        let Some(oldest) = rows.last().map(|row| row.row) else { break };
        looked_at += rows.len();
        before = oldest;
        for row in rows {
            let events = row.entries.into_iter().flat_map(switchbox_model::Entry::into_events);
            let events: Vec<_> = events.filter(|event| event.data.is_from_device()).collect();
            let found = events.into_iter().rev().find(|event| {
                event.device.and_then(|num| context.handles.registry.get(num)).is_some_and(|device| is_in(&device))
            });
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}
