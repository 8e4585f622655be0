//! One connected device: what it subscribes to, which config it has been sent, and the calls that wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use super::{
    Feed, Link, Outbound,
    lane::{Handed, Lane},
    methods::Waiting,
};
use crate::{clock, registry::Device, store::ConfigVersion};

pub(super) struct Presence {
    device: Arc<Device>,
    link: Arc<dyn Link>,
    feeds: AtomicU8,
    /// The newest config version that was handed to the link. Its lock orders "the newest on subscribe" with "every
    /// change".
    sent_config: Mutex<u64>,
    calls: Waiting,
    commands: Lane,
    /// When it was taken over from another connection.
    taken: Option<Instant>,
}

fn bit(feed: Feed) -> u8 {
    match feed {
        Feed::Config => 1,
        Feed::Commands => 2,
        Feed::Methods => 4,
    }
}

impl Presence {
    pub(super) fn new(device: Arc<Device>, link: Arc<dyn Link>, taken: Option<Instant>) -> Self {
        Self {
            device,
            link,
            feeds: AtomicU8::new(0),
            sent_config: Mutex::new(0),
            calls: Waiting::default(),
            commands: Lane::default(),
            taken,
        }
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    pub(super) fn link(&self) -> &dyn Link {
        self.link.as_ref()
    }

    pub(super) fn commands(&self) -> &Lane {
        &self.commands
    }

    pub(super) fn taken(&self) -> Option<Instant> {
        self.taken
    }

    pub(super) fn takes(&self, feed: Feed) -> bool {
        self.feeds.load(Ordering::Acquire) & bit(feed) != 0
    }

    pub(super) fn subscribe(&self, feed: Feed) {
        let mut sent = self.sent_config.lock();
        self.feeds.fetch_or(bit(feed), Ordering::AcqRel);
        // Subscribing again sends the newest again, as a retained message would be.
        if feed == Feed::Config
            && let Some(config) = self.device.config()
        {
            *sent = config.version;
            self.send_config(&config);
        }
    }

    pub(super) fn unsubscribe(&self, feed: Feed) {
        self.feeds.fetch_and(!bit(feed), Ordering::AcqRel);
    }

    pub(super) fn config(&self, version: &ConfigVersion) {
        let mut sent = self.sent_config.lock();
        if self.takes(Feed::Config) && version.version > *sent {
            *sent = version.version;
            self.send_config(version);
        }
    }

    fn send_config(&self, version: &ConfigVersion) {
        if self.link.deliver(Outbound::Config { version: version.version, payload: version.payload.clone() }) {
            self.device.config_sent(clock::now_ms());
        }
    }

    pub(super) fn calls(&self) -> &Waiting {
        &self.calls
    }

    /// Ends all calls; returns the commands that were only for this connection.
    pub(super) fn end(&self) -> Vec<Handed> {
        self.feeds.store(0, Ordering::Release);
        self.calls.end();
        self.commands.end()
    }
}
