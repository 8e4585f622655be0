//! How many transfers a client's sessions take. The AMQP library keeps all transfers that a session's window does not take yet, so a
//! sender of settled messages, which only the link's credit stops, asks here first.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    delivery_budget::DeliveryBudget,
    encoding,
    performative::{BEGIN, END, FLOW, FrameHead, Performative, TRANSFER},
};

/// The field of a transfer that says that more transfers of its delivery follow.
const MORE: usize = 5;
/// Widest window that is told from a closed one.
const WIDEST: u32 = i32::MAX as u32;

/// The window of one session, and what its links have handed to the library. Transfers have consecutive numbers from 0 on, which wrap around.
#[derive(Debug)]
pub(crate) struct SessionWindow {
    state: Mutex<State>,
    changed: Notify,
    budget: Arc<DeliveryBudget>,
}

#[derive(Debug, Default)]
struct State {
    /// The next transfer to be written.
    next: u32,
    /// The first transfer that the client does not take yet.
    end: u32,
    /// The bytes of each delivery that was handed to the library and is not written yet, in their order.
    unwritten: VecDeque<usize>,
    /// Deliveries that were written before their links said that they were handed over.
    early: usize,
}

impl SessionWindow {
    fn new(budget: Arc<DeliveryBudget>) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), budget }
    }

    /// The budget of the connection.
    pub(crate) fn budget(&self) -> &DeliveryBudget {
        &self.budget
    }

    /// Whether the client takes one more delivery than those that are not written yet.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state.lock();
        let left = state.end.wrapping_sub(state.next);
        left <= WIDEST && usize::try_from(left).is_ok_and(|left| left > state.unwritten.len())
    }

    /// Waits until the window is open.
    pub(crate) async fn opened(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_open() {
                return;
            }
            changed.await;
        }
    }

    /// A delivery was handed to the library, which writes the deliveries of a session in the order in which it gets them.
    pub(crate) fn handed_over(&self, bytes: usize) {
        let mut state = self.state.lock();
        match state.early.checked_sub(1) {
            Some(early) => state.early = early,
            None => {
                state.unwritten.push_back(bytes);
                self.budget.take(bytes);
            }
        }
    }

    /// A transfer was written; the last of its delivery or not.
    fn written(&self, is_last: bool) {
        let mut state = self.state.lock();
        state.next = state.next.wrapping_add(1);
        if is_last {
            match state.unwritten.pop_front() {
                Some(bytes) => self.budget.give_back(bytes),
                None => state.early += 1,
            }
        }
    }

    /// The client takes this many transfers from `next` on.
    fn set(&self, next: u32, window: u32) {
        self.state.lock().end = next.wrapping_add(window.min(WIDEST));
        self.changed.notify_waiters();
    }
}

impl Drop for SessionWindow {
    /// The library has dropped what it had of the session.
    fn drop(&mut self) {
        self.budget.give_back(self.state.get_mut().unwritten.iter().sum());
    }
}

/// The sessions of one connection by the channel of the client. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionWindows {
    sessions: Arc<Mutex<HashMap<u16, Arc<SessionWindow>>>>,
    budget: Arc<DeliveryBudget>,
}

impl SessionWindows {
    /// What all of them share.
    #[cfg(test)]
    pub(crate) fn budget(&self) -> &DeliveryBudget {
        &self.budget
    }

    fn begin(&self) -> Arc<SessionWindow> {
        Arc::new(SessionWindow::new(self.budget.clone()))
    }

    /// The window of the session that the client began on this channel.
    pub(crate) fn of(&self, channel: u16) -> Arc<SessionWindow> {
        self.sessions.lock().entry(channel).or_insert_with(|| self.begin()).clone()
    }

    /// Reads a checked frame of the client.
    pub(crate) fn received(&self, frame: &Performative<'_>) {
        let (channel, number) = (frame.channel, |index| frame.number(index).unwrap_or(0));
        match frame.code {
            BEGIN => {
                let window = self.begin();
                window.set(0, number(2));
                self.sessions.lock().insert(channel, window);
            }
            FLOW => self.of(channel).set(number(0), number(1)),
            END => drop(self.sessions.lock().remove(&channel)),
            _ => {}
        }
    }
}

/// The sessions of one connection by the channel of the host: counts the transfers that are written.
#[derive(Debug)]
pub(crate) struct WrittenTransfers {
    windows: SessionWindows,
    sessions: HashMap<u16, Arc<SessionWindow>>,
}

impl WrittenTransfers {
    pub(crate) fn new(windows: SessionWindows) -> Self {
        Self { windows, sessions: HashMap::new() }
    }

    /// Reads a frame of the host.
    pub(crate) fn written(&mut self, frame: &[u8]) {
        let Ok(Some(head)) = FrameHead::read(frame) else { return };
        let channel = head.channel;
        match head.code {
            TRANSFER => {
                if let Some(session) = self.sessions.get(&channel) {
                    session.written(!head.field(MORE).is_some_and(encoding::is_true));
                }
            }
            BEGIN => {
                let answered = head.fields().ok().flatten();
                if let Some([0x60, high, low]) = answered.map(|performative| performative.field(0)) {
                    self.sessions.insert(channel, self.windows.of(u16::from_be_bytes([*high, *low])));
                }
            }
            END => drop(self.sessions.remove(&channel)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(channel: u8, code: u8, items: &[&[u8]]) -> Vec<u8> {
        let (bytes, count) = (items.concat(), u8::try_from(items.len()).unwrap());
        let size = u8::try_from(bytes.len() + 1).unwrap();
        [&[0, 0, 0, size + 13, 2, 0, 0, channel, 0, 0x53, code, 0xc0, size, count][..], &bytes].concat()
    }

    fn uint(value: u32) -> Vec<u8> {
        [&[0x70][..], &value.to_be_bytes()].concat()
    }

    fn receive(windows: &SessionWindows, frame: &[u8]) {
        windows.received(&FrameHead::read(frame).unwrap().unwrap().fields().unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_window_closes_by_transfers_and_opens_by_a_flow() {
        let windows = SessionWindows::default();
        let mut written = WrittenTransfers::new(windows.clone());
        receive(&windows, &frame(7, BEGIN, &[&[0x40], &[0x43], &uint(2), &[0x43]]));
        written.written(&frame(0, BEGIN, &[&[0x60, 0, 7], &[0x43], &uint(9), &uint(9)]));
        let window = windows.of(7);
        let transfer = frame(0, TRANSFER, &[&[0x43]]);
        for open in [true, false, false] {
            written.written(&transfer);
            assert_eq!(window.is_open(), open);
        }
        // Transfers of another session.
        written.written(&frame(1, TRANSFER, &[&[0x43]]));
        receive(&windows, &frame(7, FLOW, &[&uint(3), &uint(0), &[0x43], &[0x43]]));
        assert!(!window.is_open());
        let waiting = window.opened();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        receive(&windows, &frame(7, FLOW, &[&uint(3), &uint(u32::MAX), &[0x43], &[0x43]]));
        waiting.await;
        receive(&windows, &frame(7, END, &[]));
        assert!(!windows.of(7).is_open(), "another session on this channel is not open before it begins");
    }

    #[test]
    fn what_is_handed_over_counts_until_its_last_transfer_is_written() {
        let windows = SessionWindows::default();
        let mut written = WrittenTransfers::new(windows.clone());
        let held = || windows.budget().held().0;
        receive(&windows, &frame(7, BEGIN, &[&[0x40], &[0x43], &uint(4), &[0x43]]));
        written.written(&frame(0, BEGIN, &[&[0x60, 0, 7], &[0x43], &uint(9), &uint(9)]));
        let window = windows.of(7);
        for (bytes, open) in [(10, true), (20, true), (30, true), (40, false)] {
            window.handed_over(bytes);
            assert_eq!(window.is_open(), open, "{bytes}");
        }
        assert_eq!(held(), 100);
        let [first, last] =
            [0x41, 0x42].map(|more| frame(0, TRANSFER, &[&[0x43], &[0x43], &[0x40], &[0x43], &[0x41], &[more]]));
        written.written(&first);
        assert_eq!(held(), 100, "more of the delivery follows");
        written.written(&last);
        written.written(&last);
        assert_eq!(held(), 70);
        receive(&windows, &frame(7, END, &[]));
        drop(window);
        assert_eq!(held(), 70, "the library still writes the session's transfers");
        written.written(&frame(0, END, &[]));
        assert_eq!(held(), 0);
    }

    #[test]
    fn what_is_written_at_once_does_not_count() {
        let windows = SessionWindows::default();
        let window = windows.of(7);
        window.written(true);
        window.handed_over(10);
        assert_eq!(windows.budget().held().0, 0);
        window.handed_over(20);
        assert_eq!(windows.budget().held().0, 20);
    }
}
