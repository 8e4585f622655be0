//! The queue before the writer: numbering, bounds, and what the writer is given when.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;
use switchbox_model::{DeviceNum, Event, EventData};

fn event() -> Event {
    let device = Some(DeviceNum(1));
    Event { seq: Seq(0), time_ms: 0, device, durable: true, data: EventData::Connected }
}

/// `None` when it would wait.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn number(appended: Option<(Seq, QueuePosition)>) -> Option<u64> {
    appended.map(|(seq, _)| seq.0)
}

fn numbers(items: &[Item]) -> Vec<u64> {
    let events = items.iter().filter_map(|item| match item {
        Item::Entry(QueuedEntry { entry: Entry::Events { events, .. }, .. }) => Some(events),
        _ => None,
    });
    events.flatten().map(|event| event.seq.0).collect()
}

/// Waits for items and takes them, as the writer's thread does.
fn taken(append_queue: &AppendQueue, items: &mut Vec<Item>) -> bool {
    let some = append_queue.wait();
    append_queue.take(items);
    some
}

#[test]
fn events_are_numbered_in_the_order_of_the_journal() {
    let append_queue = AppendQueue::new(1024, 7);
    assert_eq!(
        number(append_queue.append(None, Entry::of_events(vec![event(), event()]), true, None, OnCommit::Nothing)),
        Some(7)
    );
    assert_eq!(
        number(append_queue.append(None, Entry::of_events(vec![event()]), false, None, OnCommit::Nothing)),
        Some(9)
    );
    let mut items = Vec::new();
    assert!(taken(&append_queue, &mut items));
    assert_eq!(numbers(&items), [7, 8, 9]);
    assert_eq!(append_queue.next_seq(), Seq(10));
}

#[test]
fn an_event_counts_as_offered_only_after_its_entry_was_offered() {
    let append_queue = AppendQueue::new(1024, 7);
    let append = |events: &[Event]| {
        number(append_queue.append(None, Entry::of_events(events.to_vec()), true, None, OnCommit::Nothing)).unwrap()
    };
    assert_eq!(append_queue.offered(), Seq(7));
    let (first, empty, second) = (append(&[event(), event()]), append(&[]), append(&[event()]));
    assert_eq!((first, empty, second), (7, 9, 9));
    append_queue.wake(Seq(empty), 0);
    assert_eq!(append_queue.offered(), Seq(7));
    append_queue.wake(Seq(first), 0);
    assert_eq!(append_queue.offered(), Seq(9), "the entry without events counts for the one after it");
    append_queue.wake(Seq(second), 0);
    assert_eq!(append_queue.offered(), Seq(10));
}

#[test]
fn what_no_caller_waits_for_goes_with_what_one_waits_for() {
    let append_queue = AppendQueue::new(1024, 1);
    append_queue.submit_unawaited(Entry::Barrier);
    append_queue.append(None, Entry::of_events(vec![event()]), true, None, OnCommit::Nothing);
    let mut items = Vec::new();
    assert!(taken(&append_queue, &mut items));
    assert_eq!(items.len(), 2);
    append_queue.submit_unawaited(Entry::Barrier);
    items.clear();
    assert!(taken(&append_queue, &mut items), "it goes alone when nothing else comes");
    assert_eq!(items.len(), 1);
}

#[test]
fn a_writer_that_sleeps_is_woken_for_what_no_caller_waits_for() {
    let append_queue = AppendQueue::new(1024, 1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut items, mut all) = (Vec::new(), 0);
            while taken(&append_queue, &mut items) {
                all += items.drain(..).count();
            }
            all
        });
        let wait_until_idle = || {
            let begun = Instant::now();
            let is_idle = || {
                let queue = append_queue.queue.lock();
                queue.asleep && queue.items.is_empty()
            };
            while !is_idle() {
                assert!(begun.elapsed() < Duration::from_secs(60), "it sleeps over what came");
                std::thread::yield_now();
            }
        };
        wait_until_idle();
        append_queue.submit_unawaited(Entry::Barrier);
        wait_until_idle();
        append_queue.append(None, Entry::of_events(vec![event()]), false, None, OnCommit::Nothing);
        append_queue.wake(Seq(1), 0);
        wait_until_idle();
        append_queue.close();
        assert_eq!(writer.join().unwrap(), 2);
    });
}

#[test]
fn a_closed_intake_says_so_and_still_gives_out_what_it_has() {
    let append_queue = AppendQueue::new(1024, 1);
    append_queue.submit_unawaited(Entry::Barrier);
    append_queue.close();
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let done = OnCommit::Call(Box::new(move |result| sender.send(result).unwrap()));
    assert_eq!(append_queue.append(None, Entry::of_events(vec![event()]), true, None, done), None);
    assert!(matches!(receiver.recv().unwrap(), Err(Error::Closed)));
    let mut items = Vec::new();
    assert!(taken(&append_queue, &mut items));
    assert!(!taken(&append_queue, &mut items));
}

#[test]
fn only_what_is_expected_is_waited_for() {
    let append_queue = AppendQueue::new(1024, 1);
    let mut items = Vec::new();
    let soon = || Instant::now() + Duration::from_millis(1);
    assert!(!append_queue.take_expected(soon(), false, &mut items), "nothing was expected");
    append_queue.wake(Seq(1), 2);
    append_queue.push([Item::Trim { row: 1, reuse: true }]);
    assert!(append_queue.take_expected(soon(), false, &mut items));
    append_queue.expected_arrived(1);
    assert!(!append_queue.take_expected(soon(), false, &mut items), "the second did not come");
    append_queue.push([Item::Trim { row: 2, reuse: true }]);
    assert!(!append_queue.take_expected(soon(), false, &mut items), "it is not expected any more");
}

#[test]
fn nothing_is_expected_of_a_queue_that_is_closed() {
    let append_queue = AppendQueue::new(1024, 1);
    append_queue.wake(Seq(1), 2);
    append_queue.push([Item::Trim { row: 1, reuse: true }]);
    append_queue.close();
    let (mut items, until) = (Vec::new(), Instant::now() + Duration::from_secs(3600));
    assert!(append_queue.take_expected(until, true, &mut items), "what is queued is still given out");
    assert!(!append_queue.take_expected(until, true, &mut items), "the writer would retry without end");
}

#[test]
fn no_caller_waits_for_an_event_that_will_never_be_in_the_journal() {
    let append_queue = AppendQueue::new(1024, 1);
    assert!(at_once(append_queue.wait_until_written(Seq(1))).is_none());
    append_queue.record_ended();
    assert!(matches!(at_once(append_queue.wait_until_written(Seq(1))), Some(Err(Error::Closed))));
}
