//! The access tokens and the audit log.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    app::App,
    blocking::blocking,
    convert::{Params, bad_token},
    error::{Error, ErrorStatus},
    reply::{ApiResult, Body, Items, Written},
    tokens::{self, TokenRecord, Tokens},
};
use switchbox_admin_api::{CreateTokenRequest, Empty, ListAuditResponse, ListTokensResponse, Time, Token};
use switchbox_model::limits::fields;

const PAGE: usize = 50;
const LARGEST_PAGE: usize = 1_000;

fn tokens(app: &App) -> Result<Tokens, Error> {
    app.tokens.clone().ok_or_else(|| {
        Error::new(
            ErrorStatus::FailedPrecondition,
            "this host was started with --admin-auth none; it requires no tokens",
        )
    })
}

fn show(token: TokenRecord) -> Token {
    Token { name: token.name, scope: token.scope, create_time: Some(Time(token.created_ms)), token: None }
}

pub(crate) async fn list(State(app): State<App>, params: Params) -> ApiResult<ListTokensResponse> {
    params.only(&[])?;
    Ok(Json(ListTokensResponse { tokens: tokens(&app)?.list().into_iter().map(show).collect() }))
}

pub(crate) async fn create(
    State(app): State<App>,
    params: Params,
    Body(request): Body<CreateTokenRequest>,
) -> ApiResult<Token> {
    params.only(&[])?;
    fields::TOKEN_NAME.check_len("a token's name", request.name.len())?;
    let (tokens, name, scope) = (tokens(&app)?, request.name.clone(), request.scope);
    let text = blocking(move || Ok(tokens.create(&name, scope)?)).await?;
    Ok(Json(Token { name: request.name, scope, create_time: None, token: Some(text) }))
}

pub(crate) async fn delete(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<Empty> {
    params.only(&[])?;
    let tokens = tokens(&app)?;
    blocking(move || Ok(tokens.delete(&name)?)).await?;
    Ok(Json(Empty {}))
}

pub(crate) async fn audit(State(app): State<App>, params: Params) -> ApiResult<ListAuditResponse<Written>> {
    params.only(&["pageSize", "pageToken"])?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let before = params.one("pageToken").map(|text| text.parse().map_err(|_| bad_token(text))).transpose()?;
    let log = app.audit.clone();
    let lines = blocking(move || Ok(log.read_back(before, limit)?)).await?;
    let mut list = Items::default();
    let shown = lines.iter().take_while(|(_, line)| list.push(line)).last();
    let more = |at: u64| at > 0 && (lines.len() == limit || lines.last().is_some_and(|(last, _)| *last != at));
    let next_page_token = shown.filter(|(at, _)| more(*at)).map(|(at, _)| at.to_string());
    Ok(Json(ListAuditResponse { lines: list.page(&app.handles.counters), next_page_token }))
}

impl From<tokens::Error> for Error {
    fn from(error: tokens::Error) -> Self {
        let status = match error {
            tokens::Error::Name => ErrorStatus::InvalidArgument,
            tokens::Error::Exists(_) => ErrorStatus::AlreadyExists,
            tokens::Error::NoSuch(_) => ErrorStatus::NotFound,
            tokens::Error::Own => ErrorStatus::FailedPrecondition,
            tokens::Error::Full(full) => {
                return Self::new(ErrorStatus::ResourceExhausted, format!("{full}; delete one that is not needed"))
                    .at_limit(full.limit);
            }
            tokens::Error::Io(_) => ErrorStatus::Internal,
        };
        Self::new(status, error.to_string())
    }
}
