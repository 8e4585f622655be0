//! The journal as it grows, as server-sent events (text/event-stream). A client that is slow is told how much it missed;
//! one that comes back says with `Last-Event-ID` how far it had got.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::Response,
};
use serde_json::json;
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    time::{Duration, Instant, sleep},
};
use tokio_util::{io::ReaderStream, sync::CancellationToken};

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
use switchbox_store as store;
use switchbox_support::tasks::spawn_contained;

/// Bytes that may wait for a client before its follower waits for it.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often the journal is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// After so long a silence a comment is sent, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) async fn follow(
    State(app): State<App>,
    Extension(who): Extension<AdminPrincipal>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
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
    let (reader, writer) = tokio::io::duplex(BUFFER_BYTES);
    let stopping = app.stopping.clone();
    spawn_contained(app.parts.counters.panics.clone(), "follower of events", async move {
        let token = Token::of(&app, who);
        let tell = Tell { app, token, writer, heard: Instant::now(), _place: place };
        // An error means that the client is gone, or that the host is stopping: both end the stream.
        let _ = tell.run(follower, stopping).await;
    });
    let mut response = Response::new(Body::from_stream(ReaderStream::new(reader)));
    let kind = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    Ok(response)
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

/// One client's stream.
struct Tell {
    app: App,
    token: Token,
    writer: DuplexStream,
    /// When something was last sent.
    heard: Instant,
    _place: Place,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Gone(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Tell {
    async fn run(mut self, mut follower: Follower, stopping: CancellationToken) -> Result<(), Ended> {
        self.write(": following\n\n").await?;
        while self.token.counts(&self.app) {
            let told = tokio::select! {
                told = follower.next() => told?,
                () = stopping.cancelled() => return Ok(()),
            };
            for (cursor, told) in &told {
                let message = self.message(*cursor, told);
                tokio::select! {
                    written = self.write(&message) => written?,
                    () = stopping.cancelled() => return Ok(()),
                }
            }
            if self.heard.elapsed() >= HEARTBEAT {
                self.write(": still here\n\n").await?;
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                () = stopping.cancelled() => return Ok(()),
            }
        }
        Ok(())
    }

    async fn write(&mut self, text: &str) -> Result<(), std::io::Error> {
        self.heard = Instant::now();
        self.writer.write_all(text.as_bytes()).await
    }

    fn message(&self, cursor: Cursor, told: &Followed) -> String {
        let names = |num| self.app.name_of(num);
        let (kind, data) = match told {
            Followed::Event(event) => ("event", convert::event(event, &names)),
            Followed::Execution(handled) => ("execution", convert::execution(handled, &names)),
            Followed::Missed(events) => ("missed", json!({ "events": events })),
        };
        format!("id: {}\nevent: {kind}\ndata: {data}\n\n", write_cursor(cursor))
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
