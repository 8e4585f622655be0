//! What an operator does to devices, and what the journal says of them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::Host;
use switchbox_auth::password;
use switchbox_core::{
    outbox::{NewCommand, NewConfig},
    registry::{Device, Registration},
};
use switchbox_model::{
    Cause, CommandStatus, DeviceName, Entry, EventData, RegistryName, Settlement, broker::BrokerChange,
    patch::DevicePatch, registry::DeviceSpec,
};

fn operator() -> Cause {
    Cause::Api { caller: "test".into() }
}

fn name(id: &str) -> DeviceName {
    DeviceName::parse(id, &RegistryName::default_registry()).unwrap()
}

impl Host {
    /// The device of this id, which has to be there.
    #[must_use]
    pub fn device(&self, id: &str) -> Arc<Device> {
        self.registry.find(&name(id)).unwrap_or_else(|| panic!("there is no device {id}"))
    }

    /// Registers the device; it must not be there.
    pub async fn register(&self, id: &str, spec: DeviceSpec) -> Arc<Device> {
        self.registry.create(name(id), Registration { spec, ..Registration::default() }).await.unwrap()
    }

    /// Changes what the operator says of the device.
    pub async fn change(&self, id: &str, change: impl FnOnce(&mut DeviceSpec)) {
        let device = self.device(id);
        let mut spec = (*device.spec()).clone();
        change(&mut spec);
        self.registry.patch(&device, DevicePatch::whole(spec), None).await.unwrap();
    }

    pub async fn set_password(&self, id: &str, secret: &str) {
        let hash = password::hash(secret.as_bytes()).unwrap();
        self.registry.set_password(&self.device(id), Some(hash), None).await.unwrap();
    }

    /// Sets the config, also to the bytes that it has already. Returns its version.
    pub async fn set_config(&self, id: &str, payload: &str) -> u64 {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let config = NewConfig { payload, force: true, expected: None };
        self.outbox.set_config(&self.device(id), config, operator()).await.unwrap().version
    }

    /// Sends a command `go`, which may wait for a minute.
    pub async fn send_command(&self, device: &str, id: &str, subfolder: &str) {
        self.send_command_within(device, id, subfolder, Duration::from_secs(60)).await;
    }

    /// Sends a command `go` that says this beside its payload.
    pub async fn send_command_with(&self, device: &str, properties: &[(&str, &str)]) {
        let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (id, ttl) = ("says".into(), Duration::from_secs(60));
        let command = NewCommand { id, subfolder: String::new(), payload: "go".into(), properties, ttl };
        self.outbox.send_command(&self.device(device), command, operator()).await.unwrap();
    }

    pub async fn send_command_within(&self, device: &str, id: &str, subfolder: &str, ttl: Duration) {
        let payload = Bytes::from_static(b"go");
        let command = NewCommand { id: id.into(), subfolder: subfolder.into(), payload, properties: Vec::new(), ttl };
        self.outbox.send_command(&self.device(device), command, operator()).await.unwrap();
    }

    /// The connections and deliveries of devices in the journal, as text.
    pub async fn journal_texts(&self) -> Vec<String> {
        // Submits a barrier, so that entries without a waiting caller are written as well.
        let _ = self.store.flush(None).await;
        let (mut texts, mut from) = (Vec::new(), 0);
        loop {
            let page = self.store.journal_page(from, 1 << 20).await.unwrap();
            if page.rows.is_empty() {
                return texts;
            }
            from = page.next;
            for entry in page.rows.into_iter().flat_map(|row| row.entries) {
                self.add_texts(&entry, &mut texts);
            }
        }
    }

    fn add_texts(&self, entry: &Entry, texts: &mut Vec<String>) {
        let id = |num| self.registry.get(num).map_or_else(|| format!("{num:?}"), |device| device.name.id.to_string());
        for event in entry.events() {
            let what = match &event.data {
                EventData::Connected => "connected".to_owned(),
                EventData::Disconnected { reason } => format!("disconnected: {reason}"),
                EventData::CommandSettled { id, status: CommandStatus::Rejected } => format!("refused command {id}"),
                EventData::CommandSettled { id, status } => format!("{} command {id}", status.as_str()),
                _ => continue,
            };
            texts.extend(event.device.map(|num| format!("{} {what}", id(num))));
        }
        if let Entry::Broker(changes) = entry {
            let ended = changes.iter().filter(|change| matches!(change, BrokerChange::Ended { .. }));
            texts.extend(ended.map(|_| "a session ended".to_owned()));
        }
        let Entry::Settled(settlements) = entry else { return };
        for settlement in settlements {
            match settlement {
                Settlement::ConfigAcknowledged { device, version, .. } => {
                    texts.push(format!("{} acknowledged config {version}", id(*device)));
                }
                Settlement::CommandSent { device, num, .. } => {
                    texts.push(format!("{} was sent command {num}", id(*device)));
                }
                _ => {}
            }
        }
    }
}
