//! The journal as it grows, as server-sent events (text/event-stream). A client that is slow is told how much it missed;
//! one that comes back says with `Last-Event-ID` how far it had got.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::history::device_of;
use crate::{
    app::App,
    convert::{self, Params},
    error::{Error, Kind},
    followers::Place,
    gate::AdminPrincipal,
};
use switchbox_core::journal::{Cursor, ExecutionFilter, FollowFilter, Followed, Follower};
use switchbox_model::{PluginName, Seq};

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// After so long a silence a comment is sent, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) async fn follow(
    State(app): State<App>,
    Extension(who): Extension<AdminPrincipal>,
    params: Params,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    params.only(&["device", "kind", "plugin", "executions"])?;
    let plugin = params.one("plugin").map(PluginName::new).transpose()?;
    let executions = plugin.is_some() || params.one("executions") == Some("true");
    let filter = FollowFilter {
        device: device_of(&app, &params)?,
        kind: params.one("kind").map(convert::event_kind).transpose()?,
        events: plugin.is_none(),
        executions: executions.then(|| ExecutionFilter { plugin, ..ExecutionFilter::default() }),
    };
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(read_cursor).transpose()?;
    let place = app.followers.enter(&who.0).map_err(|full| {
        app.parts.counters.limit(full.limit());
        Error::new(Kind::ResourceExhausted, full.to_string())
    })?;
    let follower = app.parts.journal.follow(after, filter).await?;
    let tell = Tell {
        token: Token::of(&app, who),
        stopping: app.stopping.clone(),
        app,
        follower,
        told: VecDeque::new(),
        _place: place,
    };
    let events = stream::unfold((true, tell), |(first, mut tell)| async move {
        let event = if first { Event::default().comment("following") } else { tell.next().await? };
        Some((Ok(event), (false, tell)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

/// As [`write_cursor`] writes it.
pub(crate) fn read_cursor(text: &str) -> Result<Cursor, Error> {
    let mut parts = text.trim().split('-').map(str::parse::<u64>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(row)), Some(Ok(index)), Some(Ok(seq)), None) => Ok(Cursor {
            row: i64::try_from(row).unwrap_or(i64::MAX - 1),
            index: usize::try_from(index).unwrap_or(usize::MAX - 1),
            seq: Seq(seq),
        }),
        _ => Err(Error::invalid(format!("Last-Event-ID {text:?} is none that this call gave"))),
    }
}

pub(crate) fn write_cursor(cursor: Cursor) -> String {
    format!("{}-{}-{}", cursor.row, cursor.index, cursor.seq)
}

/// What a follower was let in by.
struct Token {
    who: AdminPrincipal,
    since: Option<u64>,
}

impl Token {
    fn of(app: &App, who: AdminPrincipal) -> Self {
        Self { since: Self::since(app, &who), who }
    }

    fn since(app: &App, AdminPrincipal(name): &AdminPrincipal) -> Option<u64> {
        app.tokens.as_ref().and_then(|tokens| tokens.since(name))
    }

    /// It was not deleted, and the one of its name now is not another. Where no tokens are asked for it always counts.
    fn counts(&self, app: &App) -> bool {
        Self::since(app, &self.who) == self.since
    }
}

/// One client's stream. It reads the journal only while the client takes what it is sent.
struct Tell {
    app: App,
    token: Token,
    stopping: CancellationToken,
    follower: Follower,
    /// Read and not sent yet.
    told: VecDeque<(Cursor, Followed)>,
    _place: Place,
}

impl Tell {
    /// Waits for the next one. Returns `None` if the stream ends: the token counts no more, the host is stopping, or the journal
    /// cannot be read.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((cursor, told)) = self.told.pop_front() {
                return self.message(cursor, &told);
            }
            if !self.token.counts(&self.app) {
                return None;
            }
            let stopping = self.stopping.clone();
            tokio::select! {
                told = self.follower.next() => self.told = told.ok()?.into(),
                () = stopping.cancelled() => return None,
            }
            if self.told.is_empty() {
                tokio::select! {
                    () = sleep(EVERY) => {}
                    () = stopping.cancelled() => return None,
                }
            }
        }
    }

    fn message(&self, cursor: Cursor, told: &Followed) -> Option<Event> {
        let names = |num| self.app.name_of(num);
        let event = Event::default().id(write_cursor(cursor));
        let event = match told {
            Followed::Event(told) => event.event("event").json_data(convert::event(told, &names)),
            Followed::Execution(told) => event.event("execution").json_data(convert::execution(told, &names)),
            Followed::Missed(events) => event.event("missed").json_data(json!({ "events": events })),
        };
        event.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_event_id_comes_back_as_the_place_it_named() {
        let cursor = Cursor { row: 12, index: 3, seq: Seq(99) };
        assert_eq!(read_cursor(&write_cursor(cursor)).unwrap(), cursor);
        for text in ["", "1-2", "1-2-x", "1-2-3-4"] {
            assert!(read_cursor(text).unwrap_err().text.contains("Last-Event-ID"), "{text}");
        }
    }
}
