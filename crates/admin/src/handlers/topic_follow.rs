//! Messages on ordinary topics as they are published, as server-sent events. The stream is meant for display, so it is a sample
//! when there are many messages.

use std::{collections::VecDeque, convert::Infallible};

use axum::{
    Extension,
    extract::State,
    response::sse::{Event, Sse},
};
use futures_util::stream::Stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    follow::{self, Source, Token},
    topics,
};
use crate::{app::App, convert::Params, error::Error, followers::FollowerPermit, gate::AdminPrincipal, topic_tap::Tap};
use switchbox_admin_api::{Sampled, Time, TopicItem};
use switchbox_core::journal::Allowance;
use switchbox_support::clock;

pub(crate) async fn follow(
    State(app): State<App>,
    Extension(caller): Extension<AdminPrincipal>,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    params.only(&["filter", "perSecond"])?;
    let (filter, sample) = (topics::filter(&params)?, follow::sample(&params)?);
    let permit = follow::enter(&app, &caller)?;
    let stream = MessageStream {
        token: Token::of(&app, caller),
        stopping: app.stopping.clone(),
        tap: Tap::new(app.handles.topics.clone(), filter),
        app,
        allowance: Allowance::new(sample),
        items: VecDeque::new(),
        _permit: permit,
    };
    Ok(follow::streamed(stream))
}

/// One client's stream.
struct MessageStream {
    app: App,
    token: Token,
    stopping: CancellationToken,
    tap: Tap,
    allowance: Allowance,
    /// Messages that were taken and not sent yet.
    items: VecDeque<Event>,
    _permit: FollowerPermit,
}

impl Source for MessageStream {
    /// Returns `None` if the token is no longer valid, or the host is stopping.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.items.pop_front() {
                return Some(event);
            }
            if !self.token.counts(&self.app) {
                return None;
            }
            tokio::select! {
                () = sleep(follow::EVERY) => self.take_messages(),
                () = self.stopping.cancelled() => return None,
            }
        }
    }
}

impl MessageStream {
    fn take_messages(&mut self) {
        self.allowance.refill();
        let (messages, mut left_out) = self.tap.take();
        let now = Time(clock::now_ms());
        for message in messages {
            if self.allowance.take() {
                self.items
                    .extend(follow::message(Event::default(), &TopicItem::Message(topics::show(&message, Some(now)))));
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            self.items.extend(follow::message(Event::default(), &TopicItem::Sampled(Sampled { left_out })));
        }
    }
}
