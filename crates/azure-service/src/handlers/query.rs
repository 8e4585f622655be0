//! Queries over the devices of a hub, page by page. A page is bounded in rows, in bytes and in devices that are examined.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    app::{App, Caller},
    body::Body,
    error::ServiceError,
    members::raw,
    twin,
};
use switchbox_azure_query::Query;
use switchbox_model::{
    DeviceId,
    limits::{HUB_PAGE_BYTES, names},
};

pub(super) const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation");
pub(super) const MAX_ITEMS: HeaderName = HeaderName::from_static("x-ms-max-item-count");
pub(super) const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");

/// Rows of a page, if the caller gives no number.
const ROWS: usize = 100;
/// Rows of a page at most.
const MAX_ROWS: usize = 1_000;
/// Devices that are examined before the task yields.
const CHUNK: usize = 256;
/// Devices that are examined for one page. The page ends after them, however few rows it has.
const MAX_SCANNED: usize = 20_000;

#[derive(Debug, Deserialize)]
pub(crate) struct QueryIn {
    pub(super) query: String,
}

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Continuation {
    after: String,
    /// Rows of the pages before this one, for TOP.
    rows: usize,
}

impl Continuation {
    fn read(text: &str) -> Result<Self, ServiceError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let read = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.ok_or_else(|| ServiceError::invalid("x-ms-continuation is not the continuation of a page of this query"))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

pub(crate) async fn query(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(QueryIn { query }): Body<QueryIn>,
) -> Result<Response, ServiceError> {
    let query = Query::parse(&query)?;
    let rows = rows(&headers);
    let from = text(&headers, &CONTINUATION).filter(|text| !text.is_empty()).map(Continuation::read).transpose()?;
    let _place = app.queries.acquire().await;
    if let Some(rows) = grouped(&app, &caller, &query).await? {
        return Ok(answer("raw", rows, None));
    }
    let (found, next) = page(&app, &caller, &query, rows, from).await?;
    Ok(answer(if query.is_of_twins() { "twin" } else { "raw" }, found, next))
}

/// How many rows the caller wants in a page.
pub(super) fn rows(headers: &HeaderMap) -> usize {
    let count = text(headers, &MAX_ITEMS).and_then(|count| count.trim().parse().ok());
    count.filter(|rows| *rows > 0).map_or(ROWS, |rows: usize| rows.min(MAX_ROWS))
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn answer(kind: &'static str, rows: impl Serialize, next: Option<Continuation>) -> Response {
    let mut response = Json(rows).into_response();
    let headers = response.headers_mut();
    headers.insert(ITEM_TYPE, HeaderValue::from_static(kind));
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next.text()).ok()) {
        headers.insert(CONTINUATION, next);
    }
    response
}

/// All rows of a query with COUNT() or GROUP BY. Returns `None` for any other query.
async fn grouped(app: &App, caller: &Caller, query: &Query) -> Result<Option<Vec<Value>>, ServiceError> {
    let Some(mut groups) = query.groups() else { return Ok(None) };
    let (mut after, needs) = (None, query.needs());
    loop {
        let devices = app.handles.registry.list(&caller.registry, after.as_ref(), CHUNK, &|_| true).unwrap_or_default();
        for device in &devices {
            let twin = twin::partial(app, device, needs);
            if query.matches(&twin) {
                groups.add(&twin)?;
            }
        }
        let Some(last) = devices.last() else { break };
        after = Some(last.name.id.clone());
        tokio::task::yield_now().await;
    }
    let mut rows = groups.rows();
    rows.truncate(query.top().unwrap_or(usize::MAX));
    Ok(Some(rows))
}

async fn page(
    app: &App,
    caller: &Caller,
    query: &Query,
    max: usize,
    from: Option<Continuation>,
) -> Result<(Vec<Box<RawValue>>, Option<Continuation>), ServiceError> {
    let before = from.as_ref().map_or(0, |from| from.rows);
    let max = max.min(query.top().unwrap_or(usize::MAX).saturating_sub(before));
    let mut after = match &from {
        None => None,
        Some(from) => {
            Some(DeviceId::new(&from.after).map_err(|_| ServiceError::invalid("x-ms-continuation is not valid"))?)
        }
    };
    let (mut rows, mut bytes, mut looked_at, mut more) = (Vec::new(), 0, 0, false);
    let needs = if query.is_of_twins() { query.needs_to_match() } else { query.needs() };
    'page: loop {
        let devices = app.handles.registry.list(&caller.registry, after.as_ref(), CHUNK, &|_| true).unwrap_or_default();
        if devices.is_empty() || max == 0 {
            break;
        }
        for device in devices {
            if rows.len() >= max || looked_at >= MAX_SCANNED {
                more = true;
                break 'page;
            }
            looked_at += 1;
            let light = twin::partial(app, &device, needs);
            if query.matches(&light) {
                let row = match query.is_of_twins() {
                    true => raw(&twin::full(app, &device).await?),
                    false => raw(&query.row(light)),
                };
                let row_bytes = row.get().len();
                if bytes + row_bytes > HUB_PAGE_BYTES && !rows.is_empty() {
                    app.handles.metrics.limit(names::HUB_PAGE_BYTES);
                    more = true;
                    break 'page;
                }
                bytes += row_bytes;
                rows.push(row);
            }
            after = Some(device.name.id.clone());
        }
        tokio::task::yield_now().await;
    }
    let all = before + rows.len();
    let ended = !more || query.top().is_some_and(|top| all >= top);
    let next = after.filter(|_| !ended).map(|after| Continuation { after: after.to_string(), rows: all });
    Ok((rows, next))
}
