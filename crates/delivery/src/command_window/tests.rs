//! Which commands a connection gets, rule by rule.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use switchbox_model::{Cause, CommandStatus, OpenCommands};

const LAMP: DeviceNum = DeviceNum(1);
const NOW_MS: u64 = 1_000;

/// A connection that accepts a number of commands, and acknowledges them or not.
struct Connection {
    room: AtomicUsize,
    confirms: AtomicBool,
    got: Mutex<Vec<(u64, bool)>>,
}

impl Connection {
    fn new(room: usize, confirms: bool) -> Self {
        Self { room: AtomicUsize::new(room), confirms: AtomicBool::new(confirms), got: Mutex::default() }
    }
}

impl Link for Connection {
    fn queue(&self, item: Outbound) -> bool {
        let Outbound::Command(command) = item else { panic!("{item:?}") };
        let room = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok();
        if room {
            self.got.lock().push((command.num, command.again));
        }
        room
    }

    fn wake(&self) {}

    fn confirms_commands(&self) -> bool {
        self.confirms.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed) > 0
    }

    fn close(&self, _: &str) {}
}

/// Queues with this many open commands.
fn queues(open: usize) -> CommandQueues {
    let mut commands = OpenCommands::default();
    for _ in 0..open {
        commands.open_next();
    }
    CommandQueues::new([(LAMP, commands)].into_iter().collect(), 1_000)
}

fn command(num: u64, ttl_ms: u64) -> CommandDoc {
    CommandDoc {
        device: LAMP,
        num,
        id: format!("c{num}"),
        subfolder: String::new(),
        payload: Bytes::new(),
        properties: Vec::new(),
        ttl_ms,
        expires_ms: (ttl_ms > 0).then_some(NOW_MS + ttl_ms),
        status_at_deadline: None,
        status: CommandStatus::Queued,
        created_ms: NOW_MS,
        sent_ms: None,
        settled_ms: None,
        cause: Cause::Api { caller: "test".into() },
    }
}

fn page(commands: impl IntoIterator<Item = CommandDoc>) -> CommandPage {
    CommandPage { commands: commands.into_iter().collect(), ..CommandPage::default() }
}

#[test]
fn a_command_is_sent_at_once_where_none_stands_before_it_and_the_device_takes_it() {
    for (rule, subscribed, waiting, room, confirms, expect) in [
        ("nothing before it", true, 0, 1, true, CommandOffer::Sent),
        ("QoS 0: no acknowledgement will come", true, 0, 1, false, CommandOffer::Unconfirmed),
        ("QoS 0, and the connection is full", true, 0, 0, false, CommandOffer::Queued),
        ("not subscribed", false, 0, 1, true, CommandOffer::NotSubscribed),
        ("others wait in the store", true, 3, 1, true, CommandOffer::Queued),
        ("the connection is full", true, 0, 0, true, CommandOffer::Queued),
    ] {
        let (window, queues, link) = (CommandWindow::default(), queues(waiting), Connection::new(room, confirms));
        if subscribed {
            window.open(&queues, LAMP);
        }
        assert_eq!(window.offer(&link, &command(waiting as u64 + 1, 30_000)), expect, "{rule}");
        let sent = expect == CommandOffer::Sent;
        assert_eq!(link.got.lock().len(), usize::from(sent), "{rule}");
    }
}

#[test]
fn no_more_is_handed_over_than_may_be_in_flight_until_half_is_acknowledged() {
    let (window, queues, link) = (CommandWindow::default(), queues(0), Connection::new(1_000, true));
    window.open(&queues, LAMP);
    let max = COMMANDS_IN_FLIGHT as u64;
    for num in 1..=max {
        assert_eq!(window.offer(&link, &command(num, 30_000)), CommandOffer::Sent);
    }
    assert_eq!(window.offer(&link, &command(max + 1, 30_000)), CommandOffer::Queued);
    assert!(!window.begin_reading(), "nothing is acknowledged");
    window.remove_ended(&(1..=max / 2 - 1).collect::<Vec<_>>());
    assert!(!window.begin_reading(), "less than half is");
    window.remove_ended(&[max / 2]);
    assert!(window.begin_reading());
    assert!(!window.begin_reading(), "a reader of the store runs already");
    assert_eq!(window.next_read(), Some((max, COMMANDS_IN_FLIGHT / 2)));
}

#[test]
fn a_queue_is_fed_in_order_without_what_has_ended_or_is_on_its_way() {
    let (window, queues, link) = (CommandWindow::default(), queues(6), Connection::new(1_000, true));
    window.resume(2, &"c2".into());
    assert!(window.open(&queues, LAMP) && window.begin_reading());
    assert!(queues.claim(LAMP, 3), "it ends just now");
    let mut queued: Vec<_> = (1..=6).map(|num| command(num, 30_000)).collect();
    queued[3].expires_ms = Some(NOW_MS);
    queued[4].sent_ms = Some(1);
    queued[5].status_at_deadline = Some(CommandStatus::Rejected);
    let result = window.deliver_page(&link, &queues, NOW_MS, page(queued));
    assert_eq!(*link.got.lock(), [(1, false), (5, true)], "what was sent before says so");
    assert!(!result.blocked && result.unconfirmed.is_empty() && result.possibly_sent.is_empty());
    assert_eq!(result.expired.iter().map(|expired| expired.num).collect::<Vec<_>>(), [4], "looked at once more");
    assert!(window.caught_up(&queues, LAMP, 6));
    assert_eq!(window.offer(&link, &command(7, 30_000)), CommandOffer::Sent, "the next one is sent at once again");
}

#[test]
fn what_may_have_been_sent_by_a_host_that_was_killed_says_so() {
    let (window, queues, link) = (CommandWindow::default(), queues(3), Connection::new(1_000, true));
    assert!(window.open(&queues, LAMP) && window.begin_reading());
    let in_doubt = CommandPage { in_doubt: 2, ..page((1..=3).map(|num| command(num, 30_000))) };
    window.deliver_page(&link, &queues, NOW_MS, in_doubt);
    assert_eq!(*link.got.lock(), [(1, true), (2, true), (3, false)]);
}

#[test]
fn what_came_while_the_store_was_read_is_read_too() {
    let (window, queues, link) = (CommandWindow::default(), queues(2), Connection::new(1_000, true));
    assert!(window.open(&queues, LAMP) && window.begin_reading());
    window.deliver_page(&link, &queues, NOW_MS, page([command(1, 30_000)]));
    assert!(!window.caught_up(&queues, LAMP, 1), "there is a second");
    assert_eq!(window.next_read().map(|(after, _)| after), Some(1));
}

#[test]
fn a_connection_that_takes_no_more_is_asked_again_by_its_acknowledgement_or_in_a_while() {
    for (handed, by_itself) in [(0, false), (1, true)] {
        let (window, queues, link) = (CommandWindow::default(), queues(3), Connection::new(handed, true));
        assert!(window.open(&queues, LAMP) && window.begin_reading());
        let result = window.deliver_page(&link, &queues, NOW_MS, page((1..=3).map(|num| command(num, 30_000))));
        assert!(result.blocked);
        assert_eq!(window.pause(), by_itself, "{handed} handed over");
        assert_eq!(window.begin_reading(), by_itself, "an acknowledgement begins it again");
    }
}

#[test]
fn only_what_was_for_now_ends_with_the_connection() {
    let (window, queues, link) = (CommandWindow::default(), queues(0), Connection::new(2, true));
    window.open(&queues, LAMP);
    assert_eq!(window.offer(&link, &command(1, 0)), CommandOffer::Sent);
    assert_eq!(window.offer(&link, &command(2, 30_000)), CommandOffer::Sent);
    assert_eq!(window.offer(&link, &command(3, 0)), CommandOffer::Queued);
    assert_eq!(window.offer(&link, &command(4, 30_000)), CommandOffer::Queued);
    assert_eq!(window.end().iter().map(|ended| ended.num).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(window.offer(&link, &command(5, 0)), CommandOffer::NotSubscribed);
}

#[test]
fn a_device_that_acknowledges_nothing_gets_nothing_that_may_have_been_sent_before() {
    let (window, queues, link) = (CommandWindow::default(), queues(4), Connection::new(9, false));
    assert!(window.open(&queues, LAMP) && window.begin_reading());
    let mut queued: Vec<_> = (1..=4).map(|num| command(num, 30_000)).collect();
    queued[2].sent_ms = Some(1);
    let result = window.deliver_page(&link, &queues, NOW_MS, CommandPage { in_doubt: 1, ..page(queued) });
    assert_eq!(result.possibly_sent.iter().map(|command| command.num).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(result.unconfirmed.iter().map(|command| command.num).collect::<Vec<_>>(), [2, 4]);
    assert!(link.got.lock().is_empty(), "they end first");
    assert!(window.caught_up(&queues, LAMP, 4));
}
