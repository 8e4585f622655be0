//! Follows the journal as server-sent events (text/event-stream). A slow client gets an item with the number of items that it missed.
//! A client that reconnects sends `Last-Event-ID` with its position.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::stream::{self, Stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::history::device_of;
use crate::{
    app::App,
    convert::{self, Params},
    error::{Error, ErrorStatus},
    followers::FollowerPermit,
    gate::AdminPrincipal,
};
use switchbox_admin_api::{JournalItem, Missed, Sampled, StreamItem};
use switchbox_core::journal::{Cursor, FollowFilter, Followed, Follower, SampleRate};
use switchbox_model::{PluginName, Seq};

/// How often the journal is polled.
pub(super) const EVERY: Duration = Duration::from_millis(100);
/// The highest rate of messages per second that a follower can ask for.
const SAMPLE: usize = 50;
const LARGEST_SAMPLE: usize = 10_000;
/// After this time without events, a comment is sent, so that both sides notice a broken connection.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) async fn follow(
    State(app): State<App>,
    Extension(caller): Extension<AdminPrincipal>,
    params: Params,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    params.only(&["device", "kind", "plugin", "executions", "perSecond"])?;
    let sample = sample(&params)?;
    let plugin = params.one("plugin").map(PluginName::new).transpose()?;
    let filter = FollowFilter {
        device: device_of(&app, &params)?,
        kind: params.one("kind").map(convert::event_kind).transpose()?,
        events: plugin.is_none(),
        executions: plugin.is_some() || params.one("executions") == Some("true"),
        plugin,
        max: sample,
    };
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(read_cursor).transpose()?;
    let permit = enter(&app, &caller)?;
    let follower = app.handles.journal.follow(after, filter).await?;
    let stream = EventStream {
        token: Token::of(&app, caller),
        stopping: app.stopping.clone(),
        app,
        follower,
        is_sample: sample.is_some(),
        items: VecDeque::new(),
        _permit: permit,
    };
    Ok(streamed(stream))
}

/// The items of one follower.
pub(super) trait Source: Send + 'static {
    /// Waits for the next item. Returns `None` if the stream ends.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

/// A comment at once, then the events, and periodic comments so that both sides notice a broken connection.
pub(super) fn streamed(source: impl Source) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold((true, source), |(first, mut source)| async move {
        let event = if first { Event::default().comment("following") } else { source.next().await? };
        Some((Ok(event), (false, source)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"))
}

/// Adds the item to a server-sent event.
pub(super) fn message(event: Event, item: &impl StreamItem) -> Option<Event> {
    let (name, data) = item.parts().ok()?;
    Some(event.event(name).data(data))
}

/// One permit of a follower.
pub(super) fn enter(app: &App, caller: &AdminPrincipal) -> Result<FollowerPermit, Error> {
    app.followers.acquire_permit(&caller.0).map_err(|full| {
        app.handles.counters.limit(full.limit());
        Error::new(ErrorStatus::ResourceExhausted, full.to_string())
    })
}

/// The rate at which a follower gets messages, so that a reader can follow them: those of a second may come at once. `None` for all.
pub(super) fn sample(params: &Params) -> Result<Option<SampleRate>, Error> {
    let looks = usize::try_from(Duration::from_secs(1).as_millis() / EVERY.as_millis()).unwrap_or(1);
    let is_sampled = params.one("perSecond").is_some();
    let burst = params.number("perSecond", SAMPLE, LARGEST_SAMPLE)?;
    Ok(is_sampled.then_some(SampleRate { per_look: burst.div_ceil(looks), burst }))
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
        _ => Err(Error::invalid(format!("Last-Event-ID {text:?} was not issued by this call"))),
    }
}

pub(crate) fn write_cursor(cursor: Cursor) -> String {
    format!("{}-{}-{}", cursor.row, cursor.index, cursor.seq)
}

/// The token that admitted a follower.
pub(super) struct Token {
    caller: AdminPrincipal,
    since: Option<u64>,
}

impl Token {
    pub(super) fn of(app: &App, caller: AdminPrincipal) -> Self {
        Self { since: Self::since(app, &caller), caller }
    }

    fn since(app: &App, AdminPrincipal(name): &AdminPrincipal) -> Option<u64> {
        app.tokens.as_ref().and_then(|tokens| tokens.created_ms(name))
    }

    /// Whether the token still exists and was not replaced by another of the same name. Always true if no tokens are required.
    pub(super) fn counts(&self, app: &App) -> bool {
        Self::since(app, &self.caller) == self.since
    }
}

/// One client's stream. It reads the journal only while the client reads the stream.
struct EventStream {
    app: App,
    token: Token,
    stopping: CancellationToken,
    follower: Follower,
    is_sample: bool,
    /// Items that were read and not sent yet.
    items: VecDeque<(Cursor, Followed)>,
    _permit: FollowerPermit,
}

impl Source for EventStream {
    /// Returns `None` if the token is no longer valid, the host is stopping, or the journal cannot be read.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((cursor, item)) = self.items.pop_front() {
                return self.message(cursor, &item);
            }
            if !self.token.counts(&self.app) {
                return None;
            }
            let stopping = self.stopping.clone();
            tokio::select! {
                items = self.follower.next() => self.items = items.ok()?.into(),
                () = stopping.cancelled() => return None,
            }
            // A sample has a number of items for each poll, so it must not poll more often.
            if self.items.is_empty() || self.is_sample {
                tokio::select! {
                    () = sleep(EVERY) => {}
                    () = stopping.cancelled() => return None,
                }
            }
        }
    }
}

impl EventStream {
    fn message(&self, cursor: Cursor, item: &Followed) -> Option<Event> {
        let names = |num| self.app.name_of(num);
        let item = match item {
            Followed::Event(item) => JournalItem::Event(Box::new(convert::event(item, &names))),
            Followed::Execution(item) => JournalItem::Execution(Box::new(convert::execution(item, &names))),
            Followed::Missed(events) => JournalItem::Missed(Missed { events: *events }),
            Followed::LeftOut(left_out) => JournalItem::Sampled(Sampled { left_out: *left_out }),
        };
        message(Event::default().id(write_cursor(cursor)), &item)
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
