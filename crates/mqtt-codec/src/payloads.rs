//! Memory for the payloads of packets that are read together.

use bytes::{Bytes, BytesMut};

/// Where the payloads of packets that were read together stand: small ones side by side, so that a run of events costs one
/// allocation. Copy a payload that is kept for long: it keeps the whole shared buffer alive.
#[derive(Default)]
pub(crate) struct Payloads {
    room: BytesMut,
    /// Bytes that may hold more payloads.
    unread: usize,
}

/// The most that payloads side by side take: what one of them may keep.
const SHARED_BYTES: usize = 4096;

impl Payloads {
    /// For packets of this many bytes.
    pub(crate) fn new(unread: usize) -> Self {
        Self { room: BytesMut::new(), unread }
    }

    pub(crate) fn copy(&mut self, payload: &[u8]) -> Bytes {
        let most = self.unread.min(SHARED_BYTES);
        self.unread = self.unread.saturating_sub(payload.len());
        if payload.len() > SHARED_BYTES / 4 {
            return Bytes::copy_from_slice(payload);
        }
        if self.room.capacity() < payload.len() {
            self.room = BytesMut::with_capacity(most.max(payload.len()));
        }
        self.room.extend_from_slice(payload);
        self.room.split().freeze()
    }
}
