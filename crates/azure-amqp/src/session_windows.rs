//! How many transfers a client's sessions take. The AMQP library keeps all transfers that a session's window does not take yet, so a
//! sender of settled messages, which only the link's credit stops, asks here first.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::performative::{BEGIN, END, FLOW, FrameHead, Performative, TRANSFER};

/// Widest window that is told from a closed one.
const WIDEST: u32 = i32::MAX as u32;

/// The window of one session. Transfers have consecutive numbers from 0 on, which wrap around.
#[derive(Debug, Default)]
pub(crate) struct SessionWindow {
    /// The next transfer to be written.
    next: AtomicU32,
    /// The first transfer that the client does not take yet.
    end: AtomicU32,
    changed: Notify,
}

impl SessionWindow {
    pub(crate) fn is_open(&self) -> bool {
        (1..=WIDEST).contains(&self.end.load(Relaxed).wrapping_sub(self.next.load(Relaxed)))
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

    /// The client takes this many transfers from `next` on.
    fn set(&self, next: u32, window: u32) {
        self.end.store(next.wrapping_add(window.min(WIDEST)), Relaxed);
        self.changed.notify_waiters();
    }
}

/// The sessions of one connection by the channel of the client. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionWindows(Arc<Mutex<HashMap<u16, Arc<SessionWindow>>>>);

impl SessionWindows {
    /// The window of the session that the client began on this channel.
    pub(crate) fn of(&self, channel: u16) -> Arc<SessionWindow> {
        self.0.lock().entry(channel).or_default().clone()
    }

    /// Reads a checked frame of the client.
    pub(crate) fn received(&self, frame: &Performative<'_>) {
        let (channel, number) = (frame.channel, |index| frame.number(index).unwrap_or(0));
        match frame.code {
            BEGIN => {
                let window = Arc::<SessionWindow>::default();
                window.set(0, number(2));
                self.0.lock().insert(channel, window);
            }
            FLOW => self.of(channel).set(number(0), number(1)),
            END => drop(self.0.lock().remove(&channel)),
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
                    session.next.fetch_add(1, Relaxed);
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
}
