//! The rest of the host as the MQTT server needs it, as one trait, so that the server's tests can have one of their own. [`Live`] is the
//! one production implementation; it only passes on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;

use switchbox_auth as auth;
use switchbox_auth::{AuthContext, Credentials, End, Principal, Refusal};
use switchbox_core::{
    ingest::{self, Done, NewEvent},
    registry::{Changed, Device},
};
use switchbox_delivery as delivery;
use switchbox_delivery::{Feed, JustTaken, Link, Outbound, Receipt};
use switchbox_model::{DeviceId, DeviceNum, Message, ServiceName, broker::BrokerChange};
use switchbox_store::ServiceDoc;
use switchbox_support::scheduling::PriorityClass;

/// The rest of the host. Cheap to clone.
pub trait Hub: Clone + Send + Sync + 'static {
    type QueuePermit: Send;
    type Online: Online;

    fn admit(&self, credentials: Credentials<'_>) -> impl Future<Output = Result<AuthContext, Refusal>> + Send;
    /// Until when the client may stay; the error says why it may not.
    fn still_holds(&self, auth_context: &AuthContext) -> Result<End, String>;
    /// What such a client would be let in as now, once it has proved itself.
    fn auth_context_of(&self, principal: Principal) -> AuthContext;
    /// False: the device was deleted.
    fn is_registered(&self, device: DeviceNum) -> bool;
    /// The account as it is now.
    fn service(&self, name: &ServiceName) -> Option<Arc<ServiceDoc>>;
    /// What changes that decides who may stay.
    fn changes(&self) -> broadcast::Receiver<Changed>;
    fn reserve(
        &self,
        bytes: usize,
        lane: PriorityClass,
    ) -> impl Future<Output = Result<Self::QueuePermit, ingest::Error>> + Send;
    /// Room for what may be lost. None: it is better not queued.
    fn spare(
        &self,
        bytes: usize,
        lane: PriorityClass,
    ) -> impl Future<Output = Result<Option<Self::QueuePermit>, ingest::Error>> + Send;
    fn submit(&self, device: &Arc<Device>, events: Vec<NewEvent>, room: Self::QueuePermit, done: Done);
    /// One event of the device's and these changes, or neither. Waits for no room.
    fn submit_with(&self, device: &Arc<Device>, event: NewEvent, changes: Vec<BrokerChange>, done: Done);
    /// The message as an event; none when no plugin is triggered by it.
    fn topic_event(&self, message: &Message) -> Option<NewEvent>;
    /// With the changes that the message brings about.
    fn submit_topic(&self, event: NewEvent, changes: Vec<BrokerChange>, room: Option<Self::QueuePermit>, done: Done);
    fn connect(&self, device: &Arc<Device>, link: Arc<dyn Link>) -> Self::Online;
    /// Whether the gateway may speak for the device of this id.
    fn admit_attached(
        &self,
        gateway: &Device,
        id: &DeviceId,
        token: Option<&str>,
    ) -> impl Future<Output = Result<AuthContext, Refusal>> + Send;
    /// Until when the gateway may speak for the device; the error says why it may no more.
    fn attachment_holds(&self, gateway: &Device, attached: &AuthContext) -> Result<End, String>;
    fn attach(&self, device: &Arc<Device>, link: Arc<dyn Link>, gateway: &DeviceId) -> Result<Self::Online, JustTaken>;
}

/// A connected device, as `delivery::Online`.
pub trait Online: Send + Sync + 'static {
    fn subscribe(&self, feed: Feed);
    fn resume(&self, feed: Feed);
    fn unsubscribe(&self, feed: Feed);
    fn resumes(&self, outbound: &Outbound) -> bool;
    fn acknowledged(&self, receipts: impl IntoIterator<Item = Receipt>);
    fn answer(&self, rid: u64, status: u16, payload: Bytes) -> bool;
    fn disconnect(self, reason: &str);
}

/// The real one.
#[derive(Clone)]
pub struct Live {
    pub auth: auth::Handle,
    pub ingest: ingest::Handle,
    pub delivery: delivery::Handle,
}

impl Hub for Live {
    type QueuePermit = ingest::QueuePermit;
    type Online = delivery::Online;

    async fn admit(&self, credentials: Credentials<'_>) -> Result<AuthContext, Refusal> {
        self.auth.admit(credentials).await
    }

    fn still_holds(&self, auth_context: &AuthContext) -> Result<End, String> {
        self.auth.still_holds(auth_context)
    }

    fn auth_context_of(&self, principal: Principal) -> AuthContext {
        self.auth.auth_context_of(principal)
    }

    fn is_registered(&self, device: DeviceNum) -> bool {
        self.auth.is_registered(device)
    }

    fn service(&self, name: &ServiceName) -> Option<Arc<ServiceDoc>> {
        self.auth.service(name)
    }

    fn changes(&self) -> broadcast::Receiver<Changed> {
        self.auth.changes()
    }

    async fn reserve(&self, bytes: usize, lane: PriorityClass) -> Result<Self::QueuePermit, ingest::Error> {
        self.ingest.reserve(bytes, lane).await
    }

    async fn spare(&self, bytes: usize, lane: PriorityClass) -> Result<Option<Self::QueuePermit>, ingest::Error> {
        self.ingest.reserve_droppable(bytes, lane).await
    }

    fn submit(&self, device: &Arc<Device>, events: Vec<NewEvent>, room: Self::QueuePermit, done: Done) {
        self.ingest.submit(device, events, room, done);
    }

    fn submit_with(&self, device: &Arc<Device>, event: NewEvent, changes: Vec<BrokerChange>, done: Done) {
        self.ingest.submit_with(device, event, changes, done);
    }

    fn topic_event(&self, message: &Message) -> Option<NewEvent> {
        self.ingest.topic_event(message)
    }

    fn submit_topic(&self, event: NewEvent, changes: Vec<BrokerChange>, room: Option<Self::QueuePermit>, done: Done) {
        self.ingest.submit_topic(event, changes, room, done);
    }

    fn connect(&self, device: &Arc<Device>, link: Arc<dyn Link>) -> Self::Online {
        self.delivery.connect(device, link)
    }

    async fn admit_attached(
        &self,
        gateway: &Device,
        id: &DeviceId,
        token: Option<&str>,
    ) -> Result<AuthContext, Refusal> {
        self.auth.attach(gateway, id, token).await
    }

    fn attachment_holds(&self, gateway: &Device, attached: &AuthContext) -> Result<End, String> {
        self.auth.attachment_holds(gateway, attached)
    }

    fn attach(&self, device: &Arc<Device>, link: Arc<dyn Link>, gateway: &DeviceId) -> Result<Self::Online, JustTaken> {
        self.delivery.attach(device, link, gateway)
    }
}

impl Online for delivery::Online {
    fn subscribe(&self, feed: Feed) {
        Self::subscribe(self, feed);
    }

    fn resume(&self, feed: Feed) {
        Self::resume(self, feed);
    }

    fn unsubscribe(&self, feed: Feed) {
        Self::unsubscribe(self, feed);
    }

    fn resumes(&self, outbound: &Outbound) -> bool {
        Self::resumes(self, outbound)
    }

    fn acknowledged(&self, receipts: impl IntoIterator<Item = Receipt>) {
        Self::acknowledged(self, receipts);
    }

    fn answer(&self, rid: u64, status: u16, payload: Bytes) -> bool {
        Self::answer(self, rid, status, payload)
    }

    fn disconnect(self, reason: &str) {
        Self::disconnect(self, reason);
    }
}
