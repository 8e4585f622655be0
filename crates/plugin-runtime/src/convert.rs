//! Converts between the host's types and those of the bindings. Events are converted without copies. Pure.

use super::{
    Schemas, Trigger,
    bindings::{
        events::{
            CommandSettled, CommandStatus as WitStatus, Event as WitEvent, EventData as WitData,
            Property as WitProperty, StateUpdate, Telemetry, TimerFired, TopicMessage,
        },
        exports::exports::switchbox::plugin::handler as wit,
        schema::{self as wit_schema, Kind as WitKind},
    },
    description::Description,
    execution::Call,
    grants::{Capability, GrantRequest},
    schema::{Field, Kind},
    text,
};
use switchbox_model::{CommandStatus, EventData, EventKind, Property, RegistryName};
use switchbox_rules::description;

/// `room` holds the references to properties that the event borrows.
pub(super) fn event<'a>(call: &Call<'a>, home: &'a RegistryName, room: &'a mut Vec<WitProperty<'a>>) -> WitEvent<'a> {
    let data = match &call.event.data {
        EventData::Telemetry { subfolder, payload, properties } => {
            WitData::Telemetry(Telemetry { subfolder, payload, properties: self::properties(properties, room) })
        }
        EventData::State { version, payload } => WitData::State(StateUpdate { version: *version, payload }),
        EventData::Connected => WitData::Connected,
        EventData::Disconnected { reason } => WitData::Disconnected(reason),
        EventData::CommandSettled { id, status } => {
            WitData::CommandSettled(CommandSettled { id, status: self::status(*status) })
        }
        EventData::Timer { name, payload, due_ms, late, .. } => {
            WitData::Timer(TimerFired { name, payload, due: *due_ms, late: *late })
        }
        EventData::Topic { topic, payload, properties } => {
            WitData::Topic(TopicMessage { topic, payload, properties: self::properties(properties, room) })
        }
    };
    WitEvent {
        id: call.event.seq.0,
        time: call.event.time_ms,
        device: call.device.map_or("", |device| device.id.as_str()),
        registry: home.as_str(),
        attempt: call.attempt,
        data,
    }
}

fn properties<'a>(properties: &'a [Property], room: &'a mut Vec<WitProperty<'a>>) -> &'a [WitProperty<'a>] {
    room.extend(properties.iter().map(|(name, value)| WitProperty { name, value }));
    room
}

/// Events have final statuses only.
fn status(status: CommandStatus) -> WitStatus {
    match status {
        CommandStatus::Acknowledged => WitStatus::Acknowledged,
        // The interface has no case for a command that no device can acknowledge, and a new case would break plugins.
        CommandStatus::Expired | CommandStatus::SentUnconfirmed => WitStatus::Expired,
        CommandStatus::Purged => WitStatus::Purged,
        CommandStatus::Rejected | CommandStatus::Queued | CommandStatus::Sent => WitStatus::Rejected,
    }
}

/// What a component says of itself, checked.
pub(super) fn description(described: wit::Description) -> Result<Description, String> {
    let triggers: Vec<_> = described.triggers.into_iter().map(trigger).collect();
    let grants: Vec<_> = described.grants.into_iter().map(grant).collect();
    description::check(&triggers, &grants, &described.default_settings)?;
    Ok(Description {
        name: text::cut(described.name),
        version: text::cut(described.version),
        summary: text::cut(described.summary),
        triggers,
        grants,
        default_settings: described.default_settings,
        schema: Vec::new(),
        state: Schemas::default(),
    })
}

/// A field of the schema of settings.
pub(super) fn field(field: wit_schema::Field) -> Field {
    let wit_schema::Field { name, title, help, kind } = field;
    let kind = match kind {
        WitKind::Text(wit_schema::Length { least, most }) => Kind::Text { least, most },
        WitKind::Number(wit_schema::Range { least, most, whole }) => Kind::Number { least, most, whole },
        WitKind::Flag => Kind::Flag,
        WitKind::Choice(choices) => Kind::Choice(choices),
    };
    Field { name, title, help, kind }
}

fn trigger(trigger: wit::Trigger) -> Trigger {
    let event = match trigger.event {
        wit::EventKind::Telemetry => EventKind::Telemetry,
        wit::EventKind::State => EventKind::State,
        wit::EventKind::Connected => EventKind::Connected,
        wit::EventKind::Disconnected => EventKind::Disconnected,
        wit::EventKind::CommandSettled => EventKind::CommandSettled,
        wit::EventKind::Timer => EventKind::Timer,
        wit::EventKind::Topic => EventKind::Topic,
    };
    Trigger { event, device: trigger.device, subfolder: trigger.subfolder }
}

fn grant(grant: wit::Grant) -> GrantRequest {
    let capability = match grant.capability {
        wit::Capability::Config => Capability::Config,
        wit::Capability::Command => Capability::Command,
        wit::Capability::Method => Capability::Method,
        wit::Capability::Read => Capability::Read,
        wit::Capability::Publish => Capability::Publish,
    };
    GrantRequest { capability, pattern: grant.pattern }
}
