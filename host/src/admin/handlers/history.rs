//! What happened: events, executions, dead letters.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use crate::{
    admin::{
        App, RedriveError,
        convert::{self, Params, bad_token, token},
        error::{Error, Kind},
        reply::Answer,
    },
    journal::{EventFilter, ExecutionFilter, Position},
    model::{DeviceName, PluginName, RegistryName, Seq},
};

const PAGE: usize = 50;
const LARGEST_PAGE: usize = 1_000;

fn page(field: &str, items: Vec<Value>, next: Option<String>) -> Answer {
    let mut answer = serde_json::Map::new();
    answer.insert(field.to_owned(), items.into());
    answer.extend(next.map(|next| ("nextPageToken".to_owned(), next.into())));
    Ok(Json(Value::Object(answer)))
}

fn next(position: Option<Position>) -> Option<String> {
    position.map(token)
}

pub(in crate::admin) async fn events(State(app): State<App>, params: Params) -> Answer {
    params.only(&["pageSize", "pageToken", "device", "kind"])?;
    let device = match params.one("device") {
        None => None,
        Some(text) => {
            let name = DeviceName::parse(text, &RegistryName::default_registry())?;
            let device = app.parts.registry.find(&name);
            Some(device.ok_or_else(|| Error::not_found(format!("device {name}")))?.num)
        }
    };
    let filter = EventFilter { device, kind: params.one("kind").map(convert::event_kind).transpose()? };
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let found = app.parts.journal.events(params.position()?, limit, &filter).await?;
    let items = found.items.iter().map(|event| convert::event(event, &|num| app.name_of(num))).collect();
    page("events", items, next(found.next))
}

pub(in crate::admin) async fn executions(State(app): State<App>, params: Params) -> Answer {
    params.only(&["pageSize", "pageToken", "plugin", "event"])?;
    let event = params.one("event").map(|text| number("event", text).map(Seq)).transpose()?;
    let filter = ExecutionFilter { plugin: params.one("plugin").map(PluginName::new).transpose()?, event };
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let found = app.parts.journal.executions(params.position()?, limit, &filter).await?;
    let items = found.items.iter().map(|handled| convert::execution(handled, &|num| app.name_of(num))).collect();
    page("executions", items, next(found.next))
}

fn number(what: &str, text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::invalid(format!("{what} must be a whole number, not {text:?}")))
}

pub(in crate::admin) async fn dead_letters(State(app): State<App>, params: Params) -> Answer {
    params.only(&["pageSize", "pageToken"])?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let after = params.one("pageToken").map_or(Ok(0), |text| text.parse::<u64>().map_err(|_| bad_token(text)))?;
    let letters = app.parts.journal.dead_letters(after, limit).await?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|letter| letter.id.to_string());
    let items = letters.iter().map(|letter| convert::dead_letter(letter, &|num| app.name_of(num))).collect();
    page("deadLetters", items, next)
}

pub(in crate::admin) async fn dead_letter(State(app): State<App>, Path(id): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    let letter = app.parts.journal.dead_letter(number("the id of a dead letter", &id)?).await?;
    let letter = letter.ok_or_else(|| Error::not_found(format!("dead letter {id}")))?;
    Ok(Json(convert::dead_letter(&letter, &|num| app.name_of(num))))
}

pub(in crate::admin) async fn redrive(State(app): State<App>, Path(id): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    let id = number("the id of a dead letter", &id)?;
    if app.parts.journal.dead_letter(id).await?.is_none() {
        return Err(Error::not_found(format!("dead letter {id}")));
    }
    app.parts.plugins.redrive(id).await?;
    Ok(Json(json!({})))
}

impl From<RedriveError> for Error {
    fn from(error: RedriveError) -> Self {
        let kind = match error {
            RedriveError::NoSuchLetter(_) => Kind::NotFound,
            RedriveError::NotRunning(_) => Kind::FailedPrecondition,
            RedriveError::Failed(_) => Kind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

pub(in crate::admin) async fn no_follow() -> Answer {
    Err(Error::unimplemented("following events as they come (GET /v1/events shows the newest)"))
}
