//! Which callers find room in the queue, and how much.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;

/// `None` when it would wait.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

#[test]
fn what_may_be_lost_never_takes_the_last_quarter_however_many_want_it() {
    let permits = Permits::new(100 * UNIT_BYTES);
    let reserve_droppable = |bytes| at_once(permits.reserve_droppable(bytes, QueueShare::Whole)).unwrap().unwrap();
    let reserve = || at_once(permits.reserve(1, QueueShare::Whole)).map(Result::unwrap);
    // One unit each.
    let taken = std::thread::scope(|scope| {
        let greedy = || std::iter::from_fn(|| reserve_droppable(1)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(greedy)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(!taken.is_empty() && taken.len() <= 75, "{}", taken.len());
    let others: Vec<_> = std::iter::from_fn(reserve).collect();
    assert_eq!(taken.len() + others.len(), 100);
    drop(others);
    assert!(reserve_droppable(75 * UNIT_BYTES).is_none(), "it is too much at once");
    drop(taken);
    assert!(reserve_droppable(74 * UNIT_BYTES).is_some());
}

#[test]
fn callers_of_the_bounded_share_have_little_in_the_queue_and_others_find_room() {
    let permits = Permits::new(100 * UNIT_BYTES);
    let permit = |share| at_once(permits.reserve(1, share)).map(Result::unwrap);
    let reserve_droppable = |share| at_once(permits.reserve_droppable(1, share)).map(Result::unwrap);
    let mut taken: Vec<_> = std::iter::from_fn(|| permit(QueueShare::Bounded)).collect();
    assert_eq!(taken.len(), 25);
    assert!(reserve_droppable(QueueShare::Bounded).is_none(), "it does not wait");
    assert!(permit(QueueShare::Bounded).is_none());
    assert!(permit(QueueShare::Whole).is_some());
    assert!(reserve_droppable(QueueShare::Whole).unwrap().is_some());
    taken.pop();
    assert!(reserve_droppable(QueueShare::Bounded).unwrap().is_some());
}

#[tokio::test]
async fn what_is_larger_than_there_is_gets_all_there_is() {
    let permits = Permits::new(100 * UNIT_BYTES);
    for share in [QueueShare::Whole, QueueShare::Bounded] {
        let largest = permits.reserve(1_000 * UNIT_BYTES, share).await.unwrap();
        assert!(at_once(permits.reserve(1, share)).is_none());
        drop(largest);
    }
}
