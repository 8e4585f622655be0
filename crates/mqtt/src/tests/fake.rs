//! The rest of the host, as a test needs it: it records what comes and answers when the test says.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::super::hub::{Hub, Online};
use switchbox_auth::{Access, AuthContext, Credentials, End, Principal, Refusal};
use switchbox_core::{
    ingest::{self, Done, NewEvent},
    registry::{Changed, Device},
};
use switchbox_delivery::{Feed, JustTaken, Link, Outbound, Receipt};
use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, EventData, Message, QoS, RegistryName, ServiceName,
    broker::BrokerChange,
    registry::{DeviceSpec, GatewayAuth},
};
use switchbox_store::{DeviceDoc, Seen, ServiceDoc};
use switchbox_support::scheduling::PriorityClass;

/// Changes that the MQTT server may be behind.
pub(super) const CHANGES: usize = 8;

#[derive(Default)]
pub(super) struct State {
    devices: Mutex<HashMap<String, Arc<Device>>>,
    links: Mutex<HashMap<String, Arc<dyn Link>>>,
    /// What happened, in words.
    pub(super) log: Mutex<Vec<String>>,
    pub(super) events: Mutex<Vec<NewEvent>>,
    senders: Mutex<Vec<String>>,
    held: Mutex<Vec<Done>>,
    hold: AtomicBool,
    pub(super) crowded: AtomicBool,
    /// There is no room, and none comes.
    pub(super) stuck: AtomicBool,
    /// What was written together with messages that trigger plugins.
    pub(super) written_with: Mutex<Vec<BrokerChange>>,
    batches: AtomicU64,
    config: Mutex<Option<(u64, Bytes)>>,
    /// Why nobody may stay.
    pub(super) revoked: Mutex<Option<String>>,
    /// Of devices that were deleted.
    pub(super) deleted: Mutex<Option<DeviceNum>>,
    pub(super) changes: OnceLock<broadcast::Sender<Changed>>,
    /// Which devices may not stay attached, and why.
    pub(super) unbound: Mutex<HashMap<String, String>>,
    /// What devices get from now on, besides their own topics; all unless set.
    pub(super) access: Mutex<Option<Access>>,
}

#[derive(Clone, Default)]
pub(super) struct FakeHub(pub(super) Arc<State>);

pub(super) struct FakeOnline {
    device: String,
    link: Arc<dyn Link>,
    state: Arc<State>,
}

/// Who has `gateway` in the name is one.
fn spec(name: &DeviceName) -> DeviceSpec {
    let gateway = name.id.as_str().contains("gateway").then_some(GatewayAuth::AssociationOnly);
    DeviceSpec { gateway, ..DeviceSpec::default() }
}

fn new_device(num: u64, name: DeviceName) -> Device {
    Device::new(
        DeviceDoc { num: DeviceNum(num), spec: spec(&name), name, password: None, created_ms: 0 },
        Seen::default(),
    )
}

impl FakeHub {
    /// From now on events become durable only by [`Self::make_durable`].
    pub(super) fn hold(&self) {
        self.0.hold.store(true, Ordering::SeqCst);
    }

    pub(super) fn make_durable(&self, result: &Result<(), ingest::Error>) {
        let held = std::mem::take(&mut *self.0.held.lock());
        held.into_iter().for_each(|done| done(result.clone()));
    }

    pub(super) fn set_config(&self, version: u64, payload: &'static str) {
        *self.0.config.lock() = Some((version, Bytes::from_static(payload.as_bytes())));
    }

    /// False when the device is not connected or takes no more.
    pub(super) fn deliver(&self, device: &str, item: Outbound) -> bool {
        let link = self.0.links.lock().get(device).cloned();
        link.is_some_and(|link| link.deliver(item))
    }

    pub(super) fn config(&self, device: &str, version: u64) -> bool {
        self.deliver(device, Outbound::Config { version, payload: Bytes::from(format!("c{version}")) })
    }

    pub(super) fn close(&self, device: &str, reason: &str) {
        self.0.links.lock().get(device).cloned().unwrap().close(reason);
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.0.log.lock().clone()
    }

    pub(super) fn has_logged(&self, line: &str) -> bool {
        self.0.log.lock().iter().any(|l| l == line)
    }

    /// The devices that the events are of.
    pub(super) fn senders(&self) -> Vec<String> {
        self.0.senders.lock().clone()
    }

    /// The events' payloads.
    pub(super) fn payloads(&self) -> Vec<String> {
        let events = self.0.events.lock();
        events.iter().map(|event| String::from_utf8(event.data.payload().to_vec()).unwrap()).collect()
    }

    pub(super) fn event(&self, at: usize) -> EventData {
        self.0.events.lock()[at].data.clone()
    }

    fn append(&self, events: Vec<NewEvent>, done: Done) {
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        self.0.events.lock().extend(events);
        if self.0.hold.load(Ordering::SeqCst) {
            self.0.held.lock().push(done);
        } else {
            done(Ok(()));
        }
    }

    pub(super) fn batches(&self) -> u64 {
        self.0.batches.load(Ordering::SeqCst)
    }
}

impl Hub for FakeHub {
    type QueuePermit = ();
    type Online = FakeOnline;

    async fn admit(&self, credentials: Credentials<'_>) -> Result<AuthContext, Refusal> {
        let id = credentials.client_id;
        if id == "blocked" {
            return Err(Refusal::NotAuthorised("the device is blocked".into()));
        }
        assert_ne!(id, "panic", "as the test asked");
        let Ok(name) = DeviceName::parse(id, &RegistryName::default_registry()) else {
            return Ok(AuthContext::open(Principal::Client));
        };
        if id.starts_with("client") {
            return Ok(AuthContext::open(Principal::Client));
        }
        let mut devices = self.0.devices.lock();
        let num = devices.len() as u64 + 1;
        let device = devices.entry(name.to_string()).or_insert_with(|| Arc::new(new_device(num, name)));
        let mut auth_context = AuthContext::open(Principal::Device(device.clone()));
        auth_context.access = self.0.access.lock().clone().unwrap_or(auth_context.access);
        Ok(auth_context)
    }

    fn still_holds(&self, _: &AuthContext) -> Result<End, String> {
        self.0.revoked.lock().clone().map_or(Ok(End::default()), Err)
    }

    fn auth_context_of(&self, principal: Principal) -> AuthContext {
        AuthContext::open(principal)
    }

    fn is_registered(&self, device: DeviceNum) -> bool {
        *self.0.deleted.lock() != Some(device)
    }

    fn service(&self, _: &ServiceName) -> Option<Arc<ServiceDoc>> {
        None
    }

    fn changes(&self) -> broadcast::Receiver<Changed> {
        self.0.changes.get_or_init(|| broadcast::Sender::new(CHANGES)).subscribe()
    }

    async fn reserve(&self, _bytes: usize, _lane: PriorityClass) -> Result<(), ingest::Error> {
        if self.0.stuck.load(Ordering::SeqCst) {
            self.0.log.lock().push("waits for room".into());
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn spare(&self, _bytes: usize, _lane: PriorityClass) -> Result<Option<()>, ingest::Error> {
        Ok((!self.0.crowded.load(Ordering::SeqCst)).then_some(()))
    }

    fn submit(&self, device: &Arc<Device>, events: Vec<NewEvent>, _room: (), done: Done) {
        self.0.senders.lock().extend(events.iter().map(|_| device.name.id.to_string()));
        self.append(events, done);
    }

    fn submit_with(&self, device: &Arc<Device>, event: NewEvent, changes: Vec<BrokerChange>, done: Done) {
        self.0.written_with.lock().extend(changes);
        self.submit(device, vec![event], (), done);
    }

    /// As if a plugin were triggered by `plugin/#`.
    fn topic_event(&self, message: &Message) -> Option<NewEvent> {
        let (topic, payload) = (message.topic.to_string(), message.payload.clone());
        let data = EventData::Topic { topic, payload, properties: Vec::new() };
        message.topic.starts_with("plugin/").then_some(NewEvent { durable: message.qos != QoS::AtMostOnce, data })
    }

    fn submit_topic(&self, event: NewEvent, changes: Vec<BrokerChange>, _room: Option<()>, done: Done) {
        self.0.written_with.lock().extend(changes);
        self.append(vec![event], done);
    }

    fn connect(&self, device: &Arc<Device>, link: Arc<dyn Link>) -> FakeOnline {
        let device = device.name.id.to_string();
        self.0.log.lock().push(format!("{device} connected"));
        self.0.links.lock().insert(device.clone(), link.clone());
        FakeOnline { device, link, state: self.0.clone() }
    }

    /// As if all devices were bound that have `bound` in their names, and every token were right that is `token`.
    async fn admit_attached(
        &self,
        gateway: &Device,
        id: &DeviceId,
        token: Option<&str>,
    ) -> Result<AuthContext, Refusal> {
        match (id.as_str(), token) {
            ("unavailable", _) => return Err(Refusal::Unavailable("the disk is full".into())),
            (id, Some("token")) if id.contains("keyed") => {}
            (id, _) if id.contains("bound") => {}
            _ => return Err(Refusal::NotAuthorised(format!("{id} is not bound to {}", gateway.name.id))),
        }
        let name = DeviceName { registry: gateway.name.registry.clone(), id: id.clone() };
        let mut devices = self.0.devices.lock();
        let num = devices.len() as u64 + 1;
        let device = devices.entry(name.to_string()).or_insert_with(|| Arc::new(new_device(num, name)));
        Ok(AuthContext::open(Principal::Device(device.clone())))
    }

    fn attachment_holds(&self, _: &Device, attached: &AuthContext) -> Result<End, String> {
        let Principal::Device(device) = &attached.principal else { return Err("no device".into()) };
        self.0.unbound.lock().get(device.name.id.as_str()).map_or(Ok(End::default()), |why| Err(why.clone()))
    }

    fn attach(&self, device: &Arc<Device>, link: Arc<dyn Link>, gateway: &DeviceId) -> Result<FakeOnline, JustTaken> {
        if device.name.id.as_str().starts_with("taken") {
            return Err(JustTaken(device.name.id.clone()));
        }
        let before = self.0.links.lock().get(device.name.id.as_str()).cloned();
        before.inspect(|before| before.close(&format!("attached to gateway {gateway}")));
        Ok(self.connect(device, link))
    }
}

impl FakeOnline {
    fn say(&self, what: &str) {
        self.state.log.lock().push(format!("{} {what}", self.device));
    }
}

impl Online for FakeOnline {
    fn subscribe(&self, feed: Feed) {
        self.say(&format!("subscribed {feed:?}"));
        let config = self.state.config.lock().clone();
        if let (Feed::Config, Some((version, payload))) = (feed, config) {
            self.link.deliver(Outbound::Config { version, payload });
        }
    }

    fn resume(&self, feed: Feed) {
        self.subscribe(feed);
    }

    fn unsubscribe(&self, feed: Feed) {
        self.say(&format!("unsubscribed {feed:?}"));
    }

    fn resumes(&self, outbound: &Outbound) -> bool {
        !matches!(outbound, Outbound::Command { id, .. } if &**id == "ended")
    }

    fn acknowledged(&self, receipts: impl IntoIterator<Item = Receipt>) {
        for receipt in receipts {
            match receipt {
                Receipt::Config { version } => self.say(&format!("acknowledged config {version}")),
                Receipt::CommandRefused { id, .. } => self.say(&format!("refused command {id}")),
                Receipt::Command { id, .. } => self.say(&format!("acknowledged command {id}")),
                Receipt::ConfigSent => self.say("sent config"),
                Receipt::ConfigRefused { version } => self.say(&format!("refused config {version}")),
                Receipt::CommandSent { num } => self.say(&format!("sent command {num}")),
            }
        }
    }

    fn answer(&self, rid: u64, status: u16, payload: Bytes) -> bool {
        self.say(&format!("answered {rid} {status} {}", String::from_utf8_lossy(&payload)));
        true
    }

    fn disconnect(self, reason: &str) {
        self.say(&format!("disconnected: {reason}"));
    }
}
