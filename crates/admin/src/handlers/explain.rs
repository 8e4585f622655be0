//! Why something happened.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    app::App,
    convert::{self, Params},
    error::{Error, Kind},
    reply::ApiResult,
};
use switchbox_admin_api::Explanation;
use switchbox_core::explain::{self, Id, Step};
use switchbox_model::limits::names;

/// Ids hold slashes where they are resource names.
pub(crate) async fn explain(State(app): State<App>, Path(id): Path<String>, params: Params) -> ApiResult<Explanation> {
    params.only(&[])?;
    let wanted = Id::parse(&id).map_err(|error| Error::invalid(error.to_string()))?;
    let explanation = app.parts.explain.explain(&wanted).await?;
    if explanation.cut || explanation.chain.contains(&Step::Earlier) {
        app.parts.counters.limit(names::EXPLANATION);
    }
    let text = app.parts.explain.text(&explanation);
    let names = |num| app.name_of(num);
    Ok(Json(Explanation {
        id,
        text,
        chain: convert::chain(&explanation.chain, &names),
        branches: convert::branches(&explanation.branches, &names),
        cut: explanation.cut,
    }))
}

impl From<explain::Error> for Error {
    fn from(error: explain::Error) -> Self {
        match error {
            explain::Error::NotFound(text) => Self::new(Kind::NotFound, text),
            explain::Error::Store(error) => error.into(),
        }
    }
}
