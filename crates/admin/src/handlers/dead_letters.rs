//! Dead letters: events that plugins could not handle. Operators list, redrive and delete them.

use axum::{
    Json,
    extract::{Path, State},
};

use super::history::{LARGEST_PAGE, PAGE, number};
use crate::{
    app::App,
    convert::{self, Params, bad_token},
    error::{Error, ErrorStatus},
    plugins::RedriveError,
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{
    Empty, ListDeadLettersResponse, PurgeDeadLettersResponse, RedriveDeadLettersRequest, RedriveDeadLettersResponse,
};
use switchbox_model::{DeadLetter, Entry, PluginName};

/// How many dead letters one entry redrives or purges.
const CHUNK: usize = 100;

pub(crate) async fn list(State(app): State<App>, params: Params) -> ApiResult<ListDeadLettersResponse<Written>> {
    params.only(&["pageSize", "pageToken", "plugin"])?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let after = params.one("pageToken").map_or(Ok(0), |text| text.parse::<u64>().map_err(|_| bad_token(text)))?;
    let plugin = params.one("plugin").map(PluginName::new).transpose()?;
    let found = app.handles.journal.dead_letters(after, limit, plugin.as_ref()).await?;
    let mut list = Items::default();
    let show = |dead_letter: &&DeadLetter| convert::dead_letter(dead_letter, &|num| app.name_of(num));
    let shown = found.items.iter().take_while(|dead_letter| list.push(&show(dead_letter))).last();
    let more = found.more || shown.is_some_and(|shown| found.items.last().is_some_and(|last| last.id != shown.id));
    let next_page_token = shown.filter(|_| more).map(|dead_letter| dead_letter.id.to_string());
    Ok(Json(ListDeadLettersResponse { dead_letters: list.page(&app.handles.counters), next_page_token }))
}

pub(crate) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> ApiResult<switchbox_admin_api::DeadLetter> {
    params.only(&[])?;
    let dead_letter = app.handles.journal.dead_letter(number("the id of a dead letter", &id)?).await?;
    let dead_letter = dead_letter.ok_or_else(|| Error::not_found(format!("dead letter {id}")))?;
    Ok(Json(convert::dead_letter(&dead_letter, &|num| app.name_of(num))))
}

pub(crate) async fn redrive(State(app): State<App>, Path(id): Path<String>, params: Params) -> ApiResult<Empty> {
    params.only(&[])?;
    app.handles.plugins.redrive(number("the id of a dead letter", &id)?).await?;
    Ok(Json(Empty {}))
}

/// Redrives all dead letters, or all of a plugin. Those of plugins that do not run are kept.
pub(crate) async fn redrive_all(
    State(app): State<App>,
    params: Params,
    Body(which): Body<RedriveDeadLettersRequest>,
) -> ApiResult<RedriveDeadLettersResponse> {
    params.only(&[])?;
    let plugin = which.plugin.as_deref().map(PluginName::new).transpose()?;
    let (mut after, mut redriven, mut left) = (0, 0_u64, 0_u64);
    // A redriven event that fails again is a newer dead letter, and is not redriven again.
    let newest = newest(&app).await?;
    loop {
        let dead_letters = app.handles.journal.dead_letters(after, CHUNK, plugin.as_ref()).await?.items;
        let Some(last) = dead_letters.last().map(|dead_letter| dead_letter.id) else { break };
        after = last;
        for dead_letter in dead_letters.iter().filter(|dead_letter| dead_letter.id <= newest) {
            match app.handles.plugins.redrive(dead_letter.id).await {
                Ok(()) => redriven += 1,
                Err(RedriveError::NotRunning(_) | RedriveError::UnderWay(_)) => left += 1,
                Err(RedriveError::NotFound(_)) => {}
                Err(error @ RedriveError::Failed(_)) => return Err(error.into()),
            }
        }
        if last > newest {
            break;
        }
    }
    Ok(Json(RedriveDeadLettersResponse { redriven, left }))
}

async fn newest(app: &App) -> Result<u64, Error> {
    Ok(app.handles.store.last_dead_letter().await?)
}

pub(crate) async fn purge(State(app): State<App>, Path(id): Path<String>, params: Params) -> ApiResult<Empty> {
    params.only(&[])?;
    let number = number("the id of a dead letter", &id)?;
    if app.handles.journal.dead_letter(number).await?.is_none() {
        return Err(Error::not_found(format!("dead letter {id}")));
    }
    app.handles.store.call(Entry::DeadLettersDropped { ids: vec![number] }).await?;
    Ok(Json(Empty {}))
}

/// `?plugin=NAME` or `?all=true` is required, so that a forgotten parameter does not delete all.
pub(crate) async fn purge_all(State(app): State<App>, params: Params) -> ApiResult<PurgeDeadLettersResponse> {
    params.only(&["plugin", "all"])?;
    let plugin = match (params.one("plugin"), params.one("all")) {
        (Some(plugin), None) => Some(PluginName::new(plugin)?),
        (None, Some("true")) => None,
        _ => return Err(Error::invalid("say which dead letters: ?plugin=NAME for those of a plugin, or ?all=true")),
    };
    let newest = newest(&app).await?;
    let mut ids = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let dead_letters = app.handles.journal.dead_letters(after, CHUNK, plugin.as_ref()).await?.items;
        let before = ids.len();
        ids.extend(dead_letters.iter().map(|dead_letter| dead_letter.id).filter(|id| *id <= newest));
        if ids.len() == before {
            break;
        }
    }
    let purged = ids.len();
    if purged > 0 {
        app.handles.store.call(Entry::DeadLettersDropped { ids }).await?;
    }
    Ok(Json(PurgeDeadLettersResponse { purged }))
}

impl From<RedriveError> for Error {
    fn from(error: RedriveError) -> Self {
        let status = match error {
            RedriveError::NotFound(_) => ErrorStatus::NotFound,
            RedriveError::NotRunning(_) | RedriveError::UnderWay(_) => ErrorStatus::FailedPrecondition,
            RedriveError::Failed(_) => ErrorStatus::Unavailable,
        };
        Self::new(status, error.to_string())
    }
}
