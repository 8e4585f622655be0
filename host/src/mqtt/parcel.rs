//! What the hub delivers over a client's connection: something for its own device, or for one that it speaks for.

use std::{sync::Arc, time::Instant};

use crate::{
    delivery::{Feed, Outbound, Receipt},
    registry::Device,
    session::{Body, Item, Weigh},
};

#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// None: the client's own.
    pub(super) device: Option<Arc<Device>>,
    pub(super) outbound: Outbound,
}

impl Parcel {
    pub(super) fn own(outbound: Outbound) -> Self {
        Self { device: None, outbound }
    }

    pub(super) fn feed(&self) -> Feed {
        match self.outbound {
            Outbound::Config { .. } => Feed::Config,
            Outbound::Command { .. } => Feed::Commands,
            Outbound::Method { .. } => Feed::Methods,
        }
    }
}

impl Weigh for Parcel {
    fn size(&self) -> usize {
        let payload = match &self.outbound {
            Outbound::Config { payload, .. } | Outbound::Command { payload, .. } | Outbound::Method { payload, .. } => {
                payload
            }
        };
        payload.len() + size_of::<Self>()
    }

    fn expires(&self) -> Option<Instant> {
        match &self.outbound {
            Outbound::Command { expires, .. } => *expires,
            Outbound::Config { .. } | Outbound::Method { .. } => None,
        }
    }

    fn replaces(&self, older: &Self) -> bool {
        let num = |parcel: &Self| parcel.device.as_ref().map(|device| device.num);
        num(self) == num(older)
    }
}

/// What clients acknowledged, by the device that it was for.
#[derive(Default)]
pub(super) struct Receipts {
    pub(super) own: Vec<Receipt>,
    pub(super) attached: Vec<(Arc<Device>, Receipt)>,
}

impl Receipts {
    /// The client took it, or it did not.
    pub(super) fn add(&mut self, item: Item<Parcel>, taken: bool) {
        let Body::Hub(Parcel { device, outbound }) = item.body else { return };
        let receipt = match outbound {
            Outbound::Config { version, .. } if taken => Receipt::Config { version },
            Outbound::Command { num, id, .. } if taken => Receipt::Command { num, id },
            Outbound::Command { num, id, .. } => Receipt::CommandRefused { num, id },
            Outbound::Config { .. } | Outbound::Method { .. } => return,
        };
        match device {
            None => self.own.push(receipt),
            Some(device) => self.attached.push((device, receipt)),
        }
    }
}
