//! Entries of every kind, about few things, so that they meet.

use bytes::Bytes;
use proptest::{collection::vec, option::of, prelude::*};

use super::{enrollments, twins};
use switchbox_model::{
    CallRecord, CallResult, Cause, CommandStatus, DeviceId, DeviceName, DeviceNum, Effect, EffectKey, Entry, Event,
    EventData, HandledInRun, HandledRun, HeldBack, KvWrite, Outcome, PluginName, QoS, RegistryChange, RegistryName,
    Seq, ServiceName, Settlement,
    broker::{
        BrokerChange, MessageNum, Owner, Recipient, SessionKey, SessionNum, StoredExpiry, StoredMessage,
        StoredSubscription, StoredWill, SubscriptionKind,
    },
    lifecycle::{Identity, Migration, PluginChange, RolledBack, SetTimer},
    patch::{CredentialOwner, DevicePatch, FirstConfig, GatewayPatch, NewDevice, RegistryPatch, ServicePatch},
    registry::{
        Credential, DeviceError, DeviceSpec, ErrorKind, GatewayAccess, GatewayAuth, KeyFormat, MethodEndpoint,
        PasswordHash, ServiceSpec,
    },
    symmetric::{SymmetricKey, SymmetricKeys},
    timer::{Schedule, Timer},
};

/// Every kind of entry; the compiler names this function for a new one, which also needs its line in [`any`].
const fn is_made_here(entry: &Entry) -> bool {
    match entry {
        Entry::Events { .. }
        | Entry::Handled(_)
        | Entry::HeldBack(_)
        | Entry::Called(_)
        | Entry::Settled(_)
        | Entry::CommandsSettled { .. }
        | Entry::Registry { .. }
        | Entry::DeviceDeleted { .. }
        | Entry::Operator { .. }
        | Entry::Plugin { .. }
        | Entry::PluginStarts { .. }
        | Entry::DeadLettersDropped { .. }
        | Entry::Broker(_)
        | Entry::ClockSet { .. }
        | Entry::QueueLimit { .. }
        | Entry::Barrier => true,
    }
}

pub(super) fn any() -> impl Strategy<Value = Entry> {
    let all = prop_oneof![
        8 => events(),
        8 => handled(),
        1 => (plugin(), 0..50_u64).prop_map(|(plugin, seq)| {
            Entry::HeldBack(HeldBack { plugin, seq: Seq(seq), attempt: 1, held_ms: 5, why: "a rate".into() })
        }),
        1 => vec(call(), 1..3).prop_map(Entry::Called),
        4 => vec(settlement(), 1..4).prop_map(Entry::Settled),
        2 => ended().prop_map(|(_, nums, events)| Entry::CommandsSettled { nums, events }),
        8 => (registry_change(), revision()).prop_map(|(change, revision)| Entry::Registry { change, revision }),
        1 => (ended(), revision())
            .prop_map(|((num, nums, events), revision)| Entry::DeviceDeleted { num, revision, nums, events }),
        3 => (time(), vec(effect_on_device(), 1..4))
            .prop_map(|(time_ms, effects)| Entry::Operator { time_ms, cause: operator(), effects }),
        2 => (plugin(), plugin_change())
            .prop_map(|(plugin, change)| Entry::Plugin { plugin, change: Box::new(change) }),
        1 => (plugin(), time())
            .prop_map(|(plugin, time_ms)| Entry::PluginStarts { plugin, version: "v1".into(), time_ms }),
        1 => vec(1..6_u64, 1..3).prop_map(|ids| Entry::DeadLettersDropped { ids }),
        8 => vec(broker_change(), 1..4).prop_map(Entry::Broker),
        1 => time().prop_map(|time_ms| Entry::ClockSet { time_ms }),
        1 => (1..4_u64).prop_map(|commands| Entry::QueueLimit { commands }),
        1 => Just(Entry::Barrier),
    ];
    all.prop_filter("a kind of its own", is_made_here)
}

/// Also such as a clock shows that is set back.
fn time() -> impl Strategy<Value = u64> {
    1_000..2_000_u64
}

fn device() -> impl Strategy<Value = DeviceNum> {
    (1..9_u64).prop_map(DeviceNum)
}

fn plugin() -> impl Strategy<Value = PluginName> {
    prop_oneof![Just("wake"), Just("relay")].prop_map(|name| PluginName::new(name).unwrap())
}

fn session() -> impl Strategy<Value = SessionNum> {
    (1..5_u64).prop_map(SessionNum)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just("{}"), Just(r#"{"a":1}"#), Just(r#"{"a":null,"b":2}"#), Just("no JSON"), Just("")]
        .prop_map(|text| Bytes::from_static(text.as_bytes()))
}

fn revision() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 1 => (1..10_u64).prop_map(Some)]
}

fn operator() -> Cause {
    Cause::Api { caller: "operator".into() }
}

fn key() -> impl Strategy<Value = EffectKey> {
    (plugin(), 0..9_u64).prop_map(|(plugin, seq)| EffectKey { seq: Seq(seq), plugin, index: 0 })
}

fn event(device: Option<DeviceNum>, time_ms: u64, data: EventData) -> Event {
    Event { seq: Seq(0), time_ms, device, durable: true, data }
}

fn events() -> impl Strategy<Value = Entry> {
    let data = prop_oneof![
        payload().prop_map(|payload| EventData::Telemetry { subfolder: String::new(), payload, properties: vec![] }),
        payload().prop_map(|payload| EventData::State { version: 0, payload }),
        Just(EventData::Connected),
        Just(EventData::Disconnected { reason: "gone".into() }),
    ];
    let of_device = (device(), time(), vec(data, 1..4)).prop_map(|(device, time_ms, data)| {
        Entry::of_events(data.into_iter().map(|data| event(Some(device), time_ms, data)).collect())
    });
    let fired = (timer(), plugin(), time(), of(key())).prop_map(|(timer, plugin, time_ms, by)| {
        let Timer { name, payload, due_ms, .. } = timer;
        let data = EventData::Timer { plugin: plugin.to_string(), name, payload, due_ms, late: false };
        Entry::Events { events: vec![event(None, time_ms, data)], by: vec![by] }
    });
    prop_oneof![3 => of_device, 1 => fired]
}

fn timer() -> impl Strategy<Value = Timer> {
    let schedule = prop_oneof![
        Just(Schedule::Once),
        Just(Schedule::Every { period_ms: 100 }),
        Just(Schedule::After { delay_ms: 300 }),
        Just(Schedule::Cron { expression: "0 * * * *".into(), time_zone: "UTC".into() }),
    ];
    // Few times, so that a firing meets its timer.
    let due = prop_oneof![Just(1_200), Just(1_500)];
    (prop_oneof![Just("a"), Just("b")], schedule, payload(), due).prop_map(|(name, schedule, payload, due_ms)| Timer {
        name: name.into(),
        schedule,
        payload,
        due_ms,
    })
}

/// What operators can ask for.
fn effect_on_device() -> impl Strategy<Value = Effect> {
    let expected = || prop_oneof![3 => Just(None), 1 => (0..4_u64).prop_map(Some)];
    prop_oneof![
        (device(), payload(), expected()).prop_map(|(device, payload, expected)| Effect::Config {
            device,
            payload,
            expected
        }),
        (device(), payload(), expected()).prop_map(|(device, payload, expected)| Effect::ConfigForced {
            device,
            payload,
            expected
        }),
        (device(), payload(), expected()).prop_map(|(device, patch, expected)| Effect::PatchDesired {
            device,
            patch,
            expected
        }),
        (device(), payload(), prop_oneof![Just(0), Just(500_u64)], 0..u64::MAX).prop_map(
            |(device, payload, ttl_ms, id)| {
                let properties = (id % 2 == 0).then(|| ("$content-type".into(), format!("{id:x}")));
                Effect::Command {
                    device,
                    id: format!("{id:x}"),
                    subfolder: String::new(),
                    payload,
                    properties: properties.into_iter().collect(),
                    ttl_ms,
                }
            }
        ),
    ]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        4 => effect_on_device(),
        1 => kv_write().prop_map(Effect::Kv),
        2 => (topic(), payload(), qos(), prop::bool::ANY).prop_map(|(topic, payload, qos, retain)| Effect::Publish {
            topic: topic.into(),
            payload,
            qos,
            retain
        }),
        1 => timer().prop_map(|timer| Effect::TimerSet(Box::new(timer))),
        1 => Just(Effect::TimerCancel { name: "a".into() }),
    ]
}

fn topic() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("t"), Just("u")]
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn handled() -> impl Strategy<Value = Entry> {
    let outcome = prop_oneof![
        5 => vec(effect(), 0..4).prop_map(|effects| Outcome::Done { effects }),
        1 => time().prop_map(|time_ms| Outcome::Dead {
            error: "no".into(),
            event: Box::new(event(None, time_ms, EventData::Connected)),
        }),
    ];
    let one = outcome.prop_map(|outcome| HandledInRun { seq: Seq(0), attempt: 1, took_us: 3, logs: vec![], outcome });
    (plugin(), time(), vec(one, 1..3)).prop_map(|(plugin, time_ms, events)| {
        Entry::Handled(HandledRun { plugin, digest: "sha256:0".into(), time_ms, events })
    })
}

fn call() -> impl Strategy<Value = CallRecord> {
    let cause = prop_oneof![
        Just(operator()),
        plugin().prop_map(|plugin| Cause::Plugin {
            seq: Seq(1),
            plugin,
            digest: "sha256:0".into(),
            attempt: 1,
            index: 0
        }),
    ];
    (0..u64::MAX, cause, device(), time(), payload()).prop_map(|(id, cause, device, time_ms, payload)| CallRecord {
        id: format!("{id:x}"),
        cause,
        device,
        method: "reboot".into(),
        request: Bytes::new(),
        time_ms,
        took_ms: 7,
        result: CallResult::Answered { status: 200, payload },
    })
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        (device(), 1..5_u64, time()).prop_map(|(device, version, time_ms)| Settlement::ConfigAcknowledged {
            device,
            version,
            time_ms
        }),
        (0..50_usize).prop_map(|which| Settlement::Published { id: which.to_string() }),
        (device(), 1..6_u64, time()).prop_map(|(device, num, time_ms)| Settlement::CommandSent {
            device,
            num,
            time_ms
        }),
        (device(), of(time()), of(time())).prop_map(|(device, heartbeat_ms, config_sent_ms)| Settlement::LastSeen {
            device,
            heartbeat_ms,
            config_sent_ms
        }),
        (device(), time()).prop_map(|(device, time_ms)| Settlement::Failed {
            device,
            error: DeviceError { time_ms, kind: ErrorKind::InvalidArgument, message: "no MQTT".into() }
        }),
        (device(), 1..6_u64).prop_map(|(device, upto)| Settlement::CommandsInDoubt { device, upto }),
        (device(), time()).prop_map(|(device, time_ms)| Settlement::GatewayAccessed {
            device,
            access: GatewayAccess { gateway: DeviceId::new("d0").unwrap(), time_ms }
        }),
    ]
}

/// Commands of one device that end.
fn ended() -> impl Strategy<Value = (DeviceNum, Vec<u64>, Vec<Event>)> {
    let status = prop_oneof![Just(CommandStatus::Acknowledged), Just(CommandStatus::Purged)];
    (device(), vec((1..6_u64, status), 1..3), time()).prop_map(|(device, ended, time_ms)| {
        let settled = |(num, status): (u64, CommandStatus)| {
            (num, event(Some(device), time_ms, EventData::CommandSettled { id: num.to_string(), status }))
        };
        let (nums, events) = ended.into_iter().map(settled).unzip();
        (device, nums, events)
    })
}

fn registry_name() -> impl Strategy<Value = RegistryName> {
    prop_oneof![3 => Just("default"), 1 => Just("other")].prop_map(|name| {
        let name = RegistryName::default_registry().to_string().replace("default", name);
        RegistryName::new(&name).unwrap()
    })
}

fn service_name() -> impl Strategy<Value = ServiceName> {
    prop_oneof![Just("app"), Just("tool")].prop_map(|name| ServiceName::new(name).unwrap())
}

fn pem() -> impl Strategy<Value = String> {
    prop_oneof![Just("-----A-----".to_owned()), Just("-----B-----".to_owned())]
}

fn credential() -> impl Strategy<Value = Credential> {
    (pem(), of(time())).prop_map(|(key, expires_ms)| Credential { format: KeyFormat::Es256Pem, key, expires_ms })
}

fn keys() -> impl Strategy<Value = SymmetricKeys> {
    prop_oneof![Just("a2V5"), Just("b3RoZXI=")].prop_map(|key| {
        let key = SymmetricKey(key.into());
        SymmetricKeys { primary: key.clone(), secondary: key }
    })
}

fn owner() -> impl Strategy<Value = CredentialOwner> {
    prop_oneof![device().prop_map(CredentialOwner::Device), service_name().prop_map(CredentialOwner::Service)]
}

fn new_device() -> impl Strategy<Value = NewDevice> {
    let spec = prop_oneof![
        Just(DeviceSpec::default()),
        Just(DeviceSpec::enrolled()),
        Just(DeviceSpec { gateway: Some(GatewayAuth::AssociationOnly), ..DeviceSpec::default() }),
    ];
    let endpoint = of(Just(MethodEndpoint { url: "http://127.0.0.1/".into() }));
    let config = of(payload().prop_map(|payload| FirstConfig { payload, cause: operator() }));
    (registry_name(), 0..9_u64, spec, endpoint, config, time()).prop_map(
        |(registry, id, spec, endpoint, config, time_ms)| {
            let name = DeviceName { registry, id: DeviceId::new(&format!("d{id}")).unwrap() };
            NewDevice { num: DeviceNum(0), name, spec, endpoint, config, time_ms }
        },
    )
}

fn device_patch() -> impl Strategy<Value = DevicePatch> {
    let metadata = of((prop_oneof![Just("room"), Just("floor")], of(Just("1".to_owned()))));
    let gateway = of(of(prop::bool::ANY).prop_map(|is_gateway| GatewayPatch {
        is_gateway,
        method: None,
        first_method: GatewayAuth::AssociationOnly,
    }));
    let endpoint = of(of(Just(MethodEndpoint { url: "http://127.0.0.1/x".into() })));
    let keys = of(of(keys()));
    let all = (of(prop::bool::ANY), metadata, gateway, endpoint, keys);
    all.prop_map(|(blocked, metadata, gateway, endpoint, keys)| DevicePatch {
        blocked,
        symmetric_keys: keys.map(|keys| keys.map(Box::new)),
        metadata_keys: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        gateway,
        endpoint,
        ..DevicePatch::default()
    })
}

fn registry_change() -> impl Strategy<Value = RegistryChange> {
    let hash = || of(Just(PasswordHash("$argon2id$".into())));
    prop_oneof![
        2 => (registry_name(), time()).prop_map(|(name, time_ms)| RegistryChange::RegistryCreated {
            name,
            spec: Box::default(),
            time_ms
        }),
        2 => (registry_name(), prop::bool::ANY, of(keys())).prop_map(|(name, off, keys)| {
            let access_keys = keys.into_iter().map(|keys| ("service".to_owned(), keys)).collect();
            let patch = RegistryPatch { http_disabled: Some(off), access_keys, ..RegistryPatch::default() };
            RegistryChange::RegistryPatched { name, patch: Box::new(patch) }
        }),
        1 => registry_name().prop_map(|name| RegistryChange::RegistryDeleted { name }),
        1 => (registry_name(), pem())
            .prop_map(|(name, certificate)| RegistryChange::AuthorityAdded { name, certificate }),
        1 => (registry_name(), pem())
            .prop_map(|(name, certificate)| RegistryChange::AuthorityRemoved { name, certificate }),
        12 => new_device().prop_map(|new| RegistryChange::DeviceCreated(Box::new(new))),
        4 => (device(), device_patch())
            .prop_map(|(num, patch)| RegistryChange::DevicePatched { num, patch: Box::new(patch) }),
        1 => (device(), hash()).prop_map(|(num, hash)| RegistryChange::DevicePassword { num, hash }),
        1 => vec(device(), 1..4).prop_map(|nums| RegistryChange::DevicesPruned { nums }),
        12 => (device(), device()).prop_map(|(gateway, device)| RegistryChange::Bound { gateway, device }),
        1 => (device(), device()).prop_map(|(gateway, device)| RegistryChange::Unbound { gateway, device }),
        6 => (service_name(), time()).prop_map(|(name, time_ms)| RegistryChange::ServiceCreated {
            name,
            spec: ServiceSpec::default(),
            time_ms
        }),
        1 => (service_name(), prop::bool::ANY).prop_map(|(name, off)| RegistryChange::ServicePatched {
            name,
            patch: Box::new(ServicePatch { disabled: Some(off), ..ServicePatch::default() })
        }),
        1 => (service_name(), hash()).prop_map(|(name, hash)| RegistryChange::ServicePassword { name, hash }),
        1 => service_name().prop_map(|name| RegistryChange::ServiceDeleted { name }),
        2 => (owner(), credential())
            .prop_map(|(owner, credential)| RegistryChange::CredentialAdded { owner, credential }),
        1 => (owner(), pem()).prop_map(|(owner, key)| RegistryChange::CredentialRemoved { owner, key }),
        4 => enrollments::change(registry_name().boxed(), keys().boxed(), pem().boxed()),
        4 => twins::change((device().boxed(), registry_name().boxed(), payload().boxed(), keys().boxed(), time().boxed())),
    ]
}

fn rolled_back(time_ms: u64) -> RolledBack {
    RolledBack { digest: "sha256:1".into(), version: "v2".into(), instead: "v1".into(), error: "no".into(), time_ms }
}

fn kv_write() -> impl Strategy<Value = KvWrite> {
    let key = prop_oneof![Just("k"), Just("l")];
    (key, of(payload()), 1..9_u64).prop_map(|(key, value, revision)| KvWrite { key: key.into(), value, revision })
}

fn plugin_change() -> impl Strategy<Value = PluginChange> {
    let identity = || Just(Identity { kind: "wake".into(), digest: "sha256:0".into() });
    let again = (timer(), of(key())).prop_map(|(timer, by)| SetTimer { timer, by });
    prop_oneof![
        3 => (0..9_u64, identity()).prop_map(|(from, identity)| PluginChange::On { from: Seq(from), identity }),
        1 => identity().prop_map(|identity| PluginChange::Upgraded { identity }),
        1 => (time(), prop::bool::ANY, vec(again, 0..3))
            .prop_map(|(time_ms, removed, due_again)| PluginChange::Off { time_ms, removed, due_again }),
        1 => Just(PluginChange::Deleted),
        1 => of(time()).prop_map(|time_ms| PluginChange::RolledBack(time_ms.map(rolled_back))),
        1 => (0..4_u32, vec(kv_write(), 0..3), of(identity()), of(time())).prop_map(
            |(schema, writes, identity, time_ms)| PluginChange::Migrated(Migration {
                schema,
                writes,
                identity,
                rolled_back: time_ms.map(rolled_back),
            })
        ),
    ]
}

fn message() -> impl Strategy<Value = StoredMessage> {
    let expiry = prop_oneof![
        Just(StoredExpiry::Never),
        (time(), 1..600_u64).prop_map(|(at_ms, whole_ms)| StoredExpiry::At { at_ms, whole_ms }),
    ];
    (topic(), payload(), qos(), expiry).prop_map(|(topic, payload, qos, expiry)| StoredMessage {
        topic: topic.into(),
        payload,
        qos,
        retain: false,
        expiry,
        properties: None,
    })
}

fn broker_change() -> impl Strategy<Value = BrokerChange> {
    let recipient = || {
        session().prop_map(|session| {
            let (qos, retain, ids, shared) = (QoS::AtLeastOnce, false, vec![], None);
            Recipient { session, id: 7, qos, retain, ids, shared }
        })
    };
    let owner = || prop_oneof![Just(Owner::Everyone), device().prop_map(Owner::Device)];
    let num = || (1..60_u64).prop_map(MessageNum);
    let filter = || topic().prop_map(std::sync::Arc::from);
    let subscription = StoredSubscription {
        kind: SubscriptionKind::Topic,
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: true,
        id: Some(3),
    };
    prop_oneof![
        4 => (session(), 0..100_u32).prop_map(|(session, expiry_secs)| BrokerChange::SessionOpened {
            session,
            key: SessionKey::Client(format!("c{}", session.0).into()),
            expiry_secs
        }),
        1 => (session(), 0..100_u32).prop_map(|(session, expiry_secs)| BrokerChange::Resumed { session, expiry_secs }),
        1 => (session(), time(), num(), of(num()), prop::bool::ANY).prop_map(
            |(session, time_ms, sent, in_doubt_from, will)| BrokerChange::Disconnected {
                session,
                time_ms,
                expiry_secs: 9,
                sent,
                in_doubt_from,
                will
            }
        ),
        1 => session().prop_map(|session| BrokerChange::Ended { session }),
        1 => (session(), of(message())).prop_map(|(session, message)| BrokerChange::Will {
            session,
            will: message.map(|message| Box::new(StoredWill { message, delay_secs: 5, expiry_secs: None }))
        }),
        2 => (session(), filter()).prop_map(move |(session, filter)| BrokerChange::Subscribed {
            session,
            filter,
            subscription: subscription.clone()
        }),
        1 => (session(), filter()).prop_map(|(session, filter)| BrokerChange::Unsubscribed { session, filter }),
        8 => (message(), of(owner()), vec(recipient(), 0..3)).prop_map(|(message, retained, to)| {
            BrokerChange::Published { num: MessageNum(0), message, retained, to }
        }),
        2 => (session(), vec(num(), 1..4)).prop_map(|(session, nums)| BrokerChange::MessagesFinished { session, nums }),
        1 => (session(), num()).prop_map(|(session, num)| BrokerChange::PubRecReceived { session, num }),
        3 => (session(), 1..4_u16).prop_map(|(session, id)| BrokerChange::PublishReceived { session, id }),
        1 => (session(), 1..4_u16).prop_map(|(session, id)| BrokerChange::PubRelReceived { session, id }),
        2 => (vec(filter(), 1..3), time())
            .prop_map(|(topics, time_ms)| BrokerChange::RetainedExpired { topics, time_ms }),
    ]
}
