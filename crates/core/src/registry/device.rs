//! One device in memory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::last_gateway::LastGateway;
use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, limits,
    registry::{DeviceError, DeviceSpec, GatewayAccess, MethodEndpoint, PasswordHash},
};
use switchbox_store::{ConfigVersion, DeviceDoc, LastSeen, StateVersion};

/// A registered device. Its parts that change are behind a short lock.
#[derive(Debug)]
pub struct Device {
    pub num: DeviceNum,
    pub name: DeviceName,
    pub created_ms: u64,
    /// See [`Device::order`].
    order: Mutex<()>,
    /// The number of the newest state version that was submitted.
    last_state: AtomicU64,
    /// The newest state that was submitted to the journal and may not be applied yet. `None` when all are applied.
    submitted_state: Mutex<Option<Bytes>>,
    /// When the device last sent a PINGREQ, milliseconds since the Unix epoch; 0 = never.
    heartbeat_ms: AtomicU64,
    /// When a config was last handed to its connection; 0 = never.
    config_sent_ms: AtomicU64,
    /// The gateway over which it last sent something.
    gateway: LastGateway,
    inner: Mutex<Inner>,
}

/// What operators have configured for a device, at one moment.
#[derive(Debug, Clone)]
pub struct Registered {
    pub spec: Arc<DeviceSpec>,
    pub password: Option<PasswordHash>,
    /// The endpoint of its methods over HTTP. `None` if methods are called over MQTT.
    pub endpoint: Option<Arc<MethodEndpoint>>,
    /// Changes with each change of the fields above.
    pub revision: u64,
}

#[derive(Debug)]
struct Inner {
    registered: Registered,
    config: Option<Arc<ConfigVersion>>,
    state: Option<Arc<StateVersion>>,
    /// Without the times that are atomic fields of [`Device`].
    seen: LastSeen,
    /// The device's last error.
    error: Option<DeviceError>,
    /// Whether the journal does not have the error yet.
    error_is_new: bool,
    deleted: bool,
}

impl Device {
    /// A device as the store has it.
    #[must_use]
    pub fn new(doc: DeviceDoc, seen: LastSeen) -> Self {
        let (spec, password, revision) = (Arc::new(doc.spec), doc.password, doc.revision);
        let inner = Inner {
            registered: Registered { spec, password, endpoint: None, revision },
            config: None,
            state: None,
            seen,
            error: None,
            error_is_new: false,
            deleted: false,
        };
        Self {
            num: doc.num,
            name: doc.name,
            created_ms: doc.created_ms,
            order: Mutex::new(()),
            last_state: AtomicU64::new(0),
            submitted_state: Mutex::default(),
            heartbeat_ms: AtomicU64::new(seen.heartbeat_ms.unwrap_or(0)),
            config_sent_ms: AtomicU64::new(seen.config_sent_ms.unwrap_or(0)),
            gateway: LastGateway::default(),
            inner: Mutex::new(inner),
        }
    }

    /// Locked while the device's events are queued for the journal and for the plugins, so that both have the same order.
    pub fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock()
    }

    /// The number of the next state version. Only while [`Device::order`] is held.
    pub fn next_state_version(&self) -> u64 {
        self.last_state.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A state is submitted to the journal. Only while [`Device::order`] is held.
    pub fn record_submitted_state(&self, payload: &Bytes) {
        *self.submitted_state.lock() = Some(payload.clone());
    }

    /// The submitted state could not be written to the journal.
    pub fn forget_submitted_state(&self) {
        *self.submitted_state.lock() = None;
    }

    /// The newest state, even if it is not in the journal yet, and its version; 0 if there is none. [`Device::order`] must be
    /// locked.
    #[must_use]
    pub fn newest_state(&self) -> (Bytes, u64) {
        let submitted = self.submitted_state.lock().clone();
        let payload = submitted.or_else(|| self.state().map(|state| state.payload.clone())).unwrap_or_default();
        (payload, self.last_state.load(Ordering::Relaxed))
    }

    /// All that operators have configured for the device.
    #[must_use]
    pub fn registered(&self) -> Registered {
        self.inner.lock().registered.clone()
    }

    #[must_use]
    pub fn spec(&self) -> Arc<DeviceSpec> {
        self.inner.lock().registered.spec.clone()
    }

    #[must_use]
    pub fn password(&self) -> Option<PasswordHash> {
        self.inner.lock().registered.password.clone()
    }

    /// The endpoint of its methods over HTTP. `None` if methods are called over MQTT.
    #[must_use]
    pub fn endpoint(&self) -> Option<Arc<MethodEndpoint>> {
        self.inner.lock().registered.endpoint.clone()
    }

    /// The newest config.
    #[must_use]
    pub fn config(&self) -> Option<Arc<ConfigVersion>> {
        self.inner.lock().config.clone()
    }

    /// The newest reported state.
    #[must_use]
    pub fn state(&self) -> Option<Arc<StateVersion>> {
        self.inner.lock().state.clone()
    }

    /// When something was last received from it and sent to it.
    #[must_use]
    pub fn seen(&self) -> LastSeen {
        let time = |time_ms: &AtomicU64| Some(time_ms.load(Ordering::Relaxed)).filter(|time_ms| *time_ms > 0);
        let (heartbeat_ms, config_sent_ms) = (time(&self.heartbeat_ms), time(&self.config_sent_ms));
        LastSeen { heartbeat_ms, config_sent_ms, ..self.inner.lock().seen }
    }

    /// Records that the device sent a PINGREQ. Not durable before its connection ends: a ping is not worth a place in the journal.
    pub fn record_ping(&self, time_ms: u64) {
        self.heartbeat_ms.store(time_ms, Ordering::Relaxed);
    }

    /// Records that the device's connection was given a config. Not durable before the connection ends.
    pub fn record_config_sent(&self, time_ms: u64) {
        self.config_sent_ms.store(time_ms, Ordering::Relaxed);
    }

    /// The gateway has attached the device.
    pub fn record_attached(&self, gateway: &DeviceId, time_ms: u64) {
        self.gateway.attached(gateway, time_ms);
    }

    /// Records that the device's gateway sent an event for it. Not durable before the device is detached.
    pub fn record_gateway_event(&self, time_ms: u64) {
        self.gateway.record_event(time_ms);
    }

    /// The gateway over which something was last received from it.
    #[must_use]
    pub fn gateway_access(&self) -> Option<GatewayAccess> {
        self.gateway.get()
    }

    /// Returns the last access by a gateway if the journal does not have it yet, and counts it as recorded.
    #[must_use]
    pub fn take_new_gateway_access(&self) -> Option<GatewayAccess> {
        self.gateway.take_new()
    }

    /// Only for applying the journal.
    pub fn set_gateway_access(&self, access: GatewayAccess) {
        self.gateway.set(access);
    }

    /// Records what went wrong with the device. Not durable before its connection ends.
    pub fn record_error(&self, mut error: DeviceError) {
        error.message.truncate(error.message.floor_char_boundary(limits::DEVICE_ERROR_BYTES));
        let mut inner = self.inner.lock();
        inner.error = Some(error);
        inner.error_is_new = true;
    }

    /// The device's last error.
    #[must_use]
    pub fn error(&self) -> Option<DeviceError> {
        self.inner.lock().error.clone()
    }

    /// Returns the last error if the journal does not have it yet, and counts it as recorded.
    #[must_use]
    pub fn take_new_error(&self) -> Option<DeviceError> {
        let mut inner = self.inner.lock();
        std::mem::take(&mut inner.error_is_new).then(|| inner.error.clone()).flatten()
    }

    /// Only for applying the journal.
    pub fn set_error(&self, error: DeviceError) {
        let mut inner = self.inner.lock();
        // Another one may have come while this one was written.
        if !inner.error_is_new {
            inner.error = Some(error);
        }
    }

    /// Whether the device enrolled by itself, and has sent and was sent nothing since. Such a device can be deleted: it loses nothing by enrolling again.
    #[must_use]
    pub fn never_used(&self) -> bool {
        let inner = self.inner.lock();
        let Registered { spec, password, endpoint, .. } = &inner.registered;
        let is_as_enrolled = spec.is_enrolled() && password.is_none() && endpoint.is_none();
        is_as_enrolled && inner.config.is_none() && inner.state.is_none() && inner.seen.event_ms.is_none()
    }

    /// Whether `connected` is newer than `disconnected` among its events.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.lock().seen.connected == Some(true)
    }

    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.inner.lock().deleted
    }

    /// The version of the config in force; 0 if there is none yet.
    #[must_use]
    pub fn config_version(&self) -> u64 {
        self.inner.lock().config.as_ref().map_or(0, |c| c.version)
    }

    /// The current version, and whether it has these bytes. Version 0: there is none yet.
    #[must_use]
    pub fn compare_config(&self, payload: &[u8]) -> (u64, bool) {
        self.inner.lock().config.as_ref().map_or((0, false), |config| (config.version, config.payload == payload))
    }

    /// Only for applying the journal.
    pub fn set_config(&self, version: Arc<ConfigVersion>) {
        self.inner.lock().config = Some(version);
    }

    /// Only for applying the journal. Returns false if there is no such version.
    pub fn acknowledge_config(&self, version: u64, time_ms: u64) -> bool {
        let mut inner = self.inner.lock();
        let Inner { config: Some(config), seen, .. } = &mut *inner else { return false };
        if version > config.version {
            return false;
        }
        seen.config_acknowledged_ms = Some(time_ms);
        if version == config.version && config.acknowledged_ms.is_none() {
            Arc::make_mut(config).acknowledged_ms = Some(time_ms);
        }
        true
    }

    /// Only for applying the journal.
    pub fn set_state(&self, version: Arc<StateVersion>) {
        self.last_state.fetch_max(version.version, Ordering::Relaxed);
        self.inner.lock().state = Some(version);
    }

    /// Only for applying the journal.
    pub fn set_seen(&self, newer: LastSeen) {
        let raise = |current_ms: &AtomicU64, time_ms: Option<u64>| {
            current_ms.fetch_max(time_ms.unwrap_or(0), Ordering::Relaxed)
        };
        raise(&self.heartbeat_ms, newer.heartbeat_ms);
        raise(&self.config_sent_ms, newer.config_sent_ms);
        self.inner.lock().seen.fold(newer);
    }

    /// Sets the endpoint that the store has.
    pub(super) fn load_endpoint(&self, endpoint: MethodEndpoint) {
        self.inner.lock().registered.endpoint = Some(Arc::new(endpoint));
    }

    /// Changes what operators have configured for it. The caller sets another revision.
    pub(super) fn update(&self, change: impl FnOnce(&mut Registered)) {
        change(&mut self.inner.lock().registered);
    }

    pub(super) fn set_deleted(&self) {
        self.inner.lock().deleted = true;
    }

    pub(super) fn doc(&self) -> DeviceDoc {
        let Registered { spec, password, revision, .. } = self.registered();
        DeviceDoc {
            num: self.num,
            name: self.name.clone(),
            spec: spec.as_ref().clone(),
            created_ms: self.created_ms,
            password,
            revision,
        }
    }
}
