//! The commands of one connected device: which of them its connection has, and whether more wait in the store. It has at most as
//! many as may be in flight, and never reads the store itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::link::{Link, Outbound, OutboundCommand};
use switchbox_core::outbox::CommandQueues;
use switchbox_model::{DeviceNum, limits::COMMANDS_IN_FLIGHT};
use switchbox_store::{CommandDoc, CommandPage};
use switchbox_support::clock;

/// A command by its number and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandRef {
    pub(super) num: u64,
    pub(super) id: Arc<str>,
    /// The command expires when the connection ends.
    ttl_zero: bool,
}

/// The content of a [`CommandWindow`].
#[derive(Debug, Default)]
struct State {
    /// The device subscribes to its commands.
    subscribed: bool,
    /// All commands up to this one were handed to the connection or have ended.
    cursor: u64,
    /// More may wait in the store.
    more_in_store: bool,
    /// A task is reading the store for this device.
    reading_store: bool,
    /// Commands that the connection has and the device has not acknowledged.
    in_flight: Vec<CommandRef>,
    /// Commands with a TTL of 0 that wait after others in the store.
    waiting: Vec<CommandRef>,
}

/// What the window did with a command that was just committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandOffer {
    /// The command was handed to the connection.
    Sent,
    /// The connection has room for it, but the subscription has QoS 0, so no acknowledgement can come.
    Unconfirmed,
    /// The command waits in the store until those before it are acknowledged.
    Queued,
    /// The device does not subscribe to its commands.
    NotSubscribed,
}

/// The commands that [`CommandWindow::deliver_page`] did not hand to the connection, by reason.
#[derive(Debug, Default)]
pub(super) struct PageResult {
    /// Commands for a subscription of QoS 0. They are sent after their end is durable.
    pub(super) unconfirmed: Vec<CommandDoc>,
    /// Commands for a subscription of QoS 0 that may have been sent before.
    pub(super) possibly_sent: Vec<CommandRef>,
    /// Commands that have expired.
    pub(super) expired: Vec<CommandRef>,
    /// The connection had no room for the next one.
    pub(super) blocked: bool,
}

/// The commands that one connection has. See the module.
#[derive(Debug, Default)]
pub(super) struct CommandWindow(Mutex<State>);

impl CommandWindow {
    /// The device subscribed. Returns true if commands wait for it.
    pub(super) fn open(&self, queues: &CommandQueues, device: DeviceNum) -> bool {
        let mut state = self.0.lock();
        if !state.subscribed {
            state.subscribed = true;
            state.more_in_store = queues.len(device) > 0;
            if !state.more_in_store {
                state.cursor = queues.last(device);
            }
        }
        state.more_in_store
    }

    /// The device unsubscribed.
    pub(super) fn close(&self) {
        self.0.lock().subscribed = false;
    }

    /// The kept session has this command in flight and retransmits it.
    pub(super) fn resume(&self, num: u64, id: &Arc<str>) {
        self.0.lock().in_flight.push(CommandRef { num, id: id.clone(), ttl_zero: false });
    }

    /// Hands a command that was just committed to the connection, unless others wait before it.
    pub(super) fn offer(&self, link: &dyn Link, command: &CommandDoc) -> CommandOffer {
        let mut state = self.0.lock();
        if !state.subscribed {
            return CommandOffer::NotSubscribed;
        }
        if !state.more_in_store && state.in_flight.len() < COMMANDS_IN_FLIGHT {
            if !link.confirms_commands() {
                if link.has_room() {
                    state.cursor = command.num;
                    return CommandOffer::Unconfirmed;
                }
            } else if deliver_command(&mut state, link, command, false, clock::now_ms()) {
                return CommandOffer::Sent;
            }
        }
        state.more_in_store = true;
        if command.ttl_ms == 0 {
            state.waiting.push(CommandRef { num: command.num, id: command.id.as_str().into(), ttl_zero: true });
        }
        CommandOffer::Queued
    }

    /// Removes commands that have ended.
    pub(super) fn remove_ended(&self, nums: &[u64]) {
        let mut state = self.0.lock();
        state.in_flight.retain(|command| !nums.contains(&command.num));
        state.waiting.retain(|waiting| !nums.contains(&waiting.num));
    }

    /// Returns true if the caller has to read the store for this device, until [`Self::next_read`] returns `None`. Reading begins only when
    /// at most half of the allowed commands are in flight, so that the store is not asked for each command alone.
    pub(super) fn begin_reading(&self) -> bool {
        let mut state = self.0.lock();
        let is_due = state.subscribed
            && state.more_in_store
            && !state.reading_store
            && state.in_flight.len() <= COMMANDS_IN_FLIGHT / 2;
        state.reading_store |= is_due;
        is_due
    }

    /// After which command to read, and how many. Returns `None` if no more can be in flight.
    pub(super) fn next_read(&self) -> Option<(u64, usize)> {
        let mut state = self.0.lock();
        let room = COMMANDS_IN_FLIGHT.saturating_sub(state.in_flight.len());
        if !state.subscribed || room == 0 {
            state.reading_store = false;
            return None;
        }
        Some((state.cursor, room))
    }

    /// Hands a page of the queue to the connection, as far as it has room.
    pub(super) fn deliver_page(
        &self,
        link: &dyn Link,
        queues: &CommandQueues,
        now_ms: u64,
        page: CommandPage,
    ) -> PageResult {
        let mut state = self.0.lock();
        let mut result = PageResult::default();
        for command in page.commands {
            let is_known =
                command.num <= state.cursor || state.in_flight.iter().any(|in_flight| in_flight.num == command.num);
            if is_known || !queues.is_open(command.device, command.num) || command.status_at_deadline.is_some() {
                state.cursor = state.cursor.max(command.num);
                continue;
            }
            if command.expires_ms.is_some_and(|expires| expires <= now_ms) {
                state.cursor = command.num;
                result.expired.push(CommandRef { num: command.num, id: command.id.into(), ttl_zero: false });
                continue;
            }
            let again = command.sent_ms.is_some() || command.num <= page.in_doubt;
            let confirms = link.confirms_commands();
            let is_taken = state.subscribed
                && if confirms {
                    deliver_command(&mut state, link, &command, again, now_ms)
                } else {
                    again || link.has_room()
                };
            if !is_taken {
                result.blocked = true;
                return result;
            }
            state.cursor = command.num;
            state.waiting.retain(|waiting| waiting.num != command.num);
            match (confirms, again) {
                (true, _) => {}
                (false, true) => {
                    result.possibly_sent.push(CommandRef { num: command.num, id: command.id.into(), ttl_zero: false });
                }
                (false, false) => result.unconfirmed.push(command),
            }
        }
        result
    }

    /// The store has no more commands up to `covered`. Returns true if none was added since, so that new commands are handed over at once.
    pub(super) fn caught_up(&self, queues: &CommandQueues, device: DeviceNum, covered: u64) -> bool {
        let mut state = self.0.lock();
        state.cursor = state.cursor.max(covered);
        let is_caught_up = queues.last(device) <= state.cursor;
        if is_caught_up {
            state.more_in_store = false;
            state.reading_store = false;
        }
        is_caught_up
    }

    /// The connection has no room. Returns true if the reading stops: the next acknowledgement, or the next subscription, begins it again.
    pub(super) fn pause(&self) -> bool {
        let mut state = self.0.lock();
        let stops = !state.in_flight.is_empty() || !state.subscribed;
        state.reading_store &= !stops;
        stops
    }

    /// The connection ended. Returns the commands that expire with it.
    pub(super) fn end(&self) -> Vec<CommandRef> {
        let mut state = self.0.lock();
        let State { in_flight, waiting, .. } = std::mem::take(&mut *state);
        in_flight.into_iter().chain(waiting).filter(|command| command.ttl_zero).collect()
    }
}

/// Hands the command to the connection. `again`: it may have been sent before. Returns false if the connection has no room for it.
fn deliver_command(state: &mut State, link: &dyn Link, command: &CommandDoc, again: bool, now_ms: u64) -> bool {
    let taken = link.deliver(outbound(command, again, now_ms));
    if taken {
        state.cursor = command.num;
        let (num, id) = (command.num, command.id.as_str().into());
        state.in_flight.push(CommandRef { num, id, ttl_zero: command.ttl_ms == 0 });
    }
    taken
}

/// The command as it is handed to the connection.
pub(super) fn outbound(command: &CommandDoc, again: bool, now_ms: u64) -> Outbound {
    Outbound::from(OutboundCommand {
        num: command.num,
        id: command.id.as_str().into(),
        subfolder: command.subfolder.as_str().into(),
        payload: command.payload.clone(),
        properties: command.properties.as_slice().into(),
        again,
        expires: command.expires_ms.map(|ms| Instant::now() + Duration::from_millis(ms.saturating_sub(now_ms))),
    })
}

#[cfg(test)]
mod tests;
