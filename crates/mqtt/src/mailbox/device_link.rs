//! The link of a client's own device: deliveries to it go into the client's mailbox.

use std::sync::{Arc, atomic::Ordering};

use super::{Mailbox, state::Close};
use crate::{device_delivery::DeviceDelivery, dialect::Dialect};
use switchbox_delivery::{Link, Outbound};

/// The link of one connection. Each connection has its own, so that a late delivery does not reach the next one.
pub(crate) struct DeviceLink {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) connection_epoch: u64,
    pub(crate) dialect: Dialect,
}

impl Link for DeviceLink {
    fn queue(&self, outbound: Outbound) -> bool {
        self.mailbox.hand_over(self.connection_epoch, DeviceDelivery { device: None, outbound }, None)
    }

    fn wake(&self) {
        self.mailbox.work.wake();
    }

    fn confirms_commands(&self) -> bool {
        !self.mailbox.commands_unconfirmed.load(Ordering::Acquire)
    }

    fn check_call(&self, payload: &[u8]) -> Result<(), &'static str> {
        self.dialect.check_call(payload)
    }

    fn has_room(&self) -> bool {
        self.mailbox.has_room_for_unconfirmed(self.connection_epoch)
    }

    fn close(&self, reason: &str) {
        if self.mailbox.lock().connection_epoch == self.connection_epoch {
            self.mailbox.close(Close::Administrative(reason.to_owned()));
        }
    }
}
