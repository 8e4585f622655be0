//! A registry in memory with two lamps, and the hostile guest in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use switchbox_model::{DeviceName, DeviceNum, Effect, Event, EventData, PluginName, RegistryName, Seq};
use switchbox_plugin_runtime::{
    Call, Capability, Component, ConfigView, DeviceView, EffectiveGrants, Execution, GrantPatterns, HostCalls,
    Instance, Limits, MethodCall, MethodError, MethodResponse, Options, Setup, Verdict, WasmEngine, host::BoxFuture,
};
use tokio::sync::OnceCell;

/// One engine and one compilation for all tests.
pub async fn hostile() -> Component {
    static COMPONENT: OnceCell<Component> = OnceCell::const_new();
    let load = || async {
        let bytes = std::fs::read(env!("GUEST_HOSTILE")).unwrap();
        Component::load(&WasmEngine::new(Options::default()).unwrap(), bytes.into()).await.unwrap()
    };
    COMPONENT.get_or_init(load).await.clone()
}

pub fn name(text: &str) -> DeviceName {
    DeviceName::parse(text, &RegistryName::default_registry()).unwrap()
}

pub struct World {
    pub devices: Vec<DeviceView>,
    pub configs: BTreeMap<u64, ConfigView>,
    pub kv: BTreeMap<String, (Bytes, u64)>,
    pub calls: Mutex<Vec<MethodCall>>,
    /// How long a device takes to answer a method call. Is `None` if it never does.
    pub answers_after: Option<Duration>,
    /// A twin is never read to the end.
    pub no_twins: bool,
    /// Looking for a device is a defect.
    pub panics: bool,
    /// The grants that were checked: the target, and whether it is granted.
    pub checked: Mutex<Vec<(String, bool)>>,
}

impl World {
    pub fn new() -> Self {
        let device = |num, id: &str, connected| DeviceView {
            num: DeviceNum(num),
            name: name(id),
            connected,
            blocked: false,
            gateway: false,
            metadata: Arc::new(BTreeMap::from([("floor".to_owned(), "2".to_owned())])),
            config_version: 0,
            state_version: 0,
            last_event_ms: Some(7),
            accepts_commands: connected && num != 3,
            accepts_methods: connected && num != 3,
        };
        Self {
            devices: vec![
                device(1, "lamp-1", true),
                device(2, "lamp-2", false),
                device(3, "lamp-3", true),
                device(4, "door-1", true),
                device(5, "report", false),
            ],
            configs: BTreeMap::new(),
            kv: BTreeMap::new(),
            calls: Mutex::default(),
            answers_after: Some(Duration::ZERO),
            no_twins: false,
            panics: false,
            checked: Mutex::default(),
        }
    }
}

impl HostCalls for World {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        assert!(!self.panics, "as the test asked");
        self.devices.iter().find(|device| device.name == *name).cloned()
    }

    fn grant_checked(&self, capability: Capability, target: &str, granted: bool) {
        if capability == Capability::Read {
            self.checked.lock().unwrap().push((target.to_owned(), granted));
        }
    }

    fn list(
        &self,
        registry: &RegistryName,
        _pattern: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let mut all: Vec<_> = self.devices.iter().filter(|device| device.name.registry == *registry).collect();
        all.sort_by(|a, b| a.name.id.cmp(&b.name.id));
        let late = |device: &&&DeviceView| after.is_none_or(|after| device.name.id.as_str() > after);
        let mut found = all.iter().filter(late).filter(|d| matches(d.name.id.as_str())).take(limit);
        let _ = found.all(|device| take((*device).clone()));
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        self.configs.get(&device.0).cloned()
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let never = self.no_twins;
        Box::pin(async move {
            if never {
                std::future::pending::<()>().await;
            }
            Ok(format!("{{\"desiredVersion\":\"{}\"}}", device.0))
        })
    }

    fn kv_get(&self, _: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        self.kv.get(key).cloned()
    }

    fn kv_keys(&self, _: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let late = |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
        self.kv.keys().filter(late).take(limit).cloned().collect()
    }

    fn kv_bytes(&self, _: &PluginName) -> usize {
        self.kv.iter().map(|(key, (value, _))| key.len() + value.len()).sum()
    }

    fn command_room(&self, _: DeviceNum) -> usize {
        3
    }

    fn timers(&self, _: &PluginName) -> usize {
        0
    }

    fn has_timer(&self, _: &PluginName, _: &str) -> bool {
        false
    }

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        self.calls.lock().unwrap().push(call);
        let after = self.answers_after;
        Box::pin(async move {
            match after {
                // Sleeps as a device that answers late: the guest's deadlines are those of the real clock.
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            Ok(MethodResponse { status: 200, payload: Bytes::from_static(b"blinked") })
        })
    }
}

pub async fn setup(limits: Limits, granted: Option<&GrantPatterns>) -> Arc<Setup> {
    let requested = hostile().await.describe("{}", &Limits::default()).await.unwrap().grants;
    Arc::new(Setup {
        name: PluginName::new("hostile").unwrap(),
        settings: "{}".into(),
        limits,
        grants: EffectiveGrants::new(&requested, granted).unwrap(),
    })
}

pub async fn start(world: World, limits: Limits) -> Instance {
    hostile().await.start(setup(limits, None).await, Arc::new(world)).await.unwrap()
}

pub fn event(seq: u64, text: &str) -> Event {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    let properties = vec![("a".to_owned(), "b".to_owned())];
    let data = EventData::Telemetry { subfolder: "sub/folder".into(), payload, properties };
    Event { seq: Seq(seq), time_ms: 1_700_000_000_123, device: Some(DeviceNum(9)), durable: true, data }
}

/// Gives the instance an attack to do.
pub async fn ask(instance: &mut Instance, attack: &str) -> Execution {
    let event = event(42, attack);
    instance.handle(Call { event: &event, device: Some(&name("switch-1")), attempt: 1 }).await
}

/// The attack in an instance of its own, with the default limits.
pub async fn alone(world: World, attack: &str) -> Execution {
    ask(&mut start(world, Limits::default()).await, attack).await
}

/// What the guest set as the config of the device `report`.
pub fn report(execution: &Execution) -> String {
    assert_eq!(execution.verdict, Verdict::Done, "{execution:?}");
    let reports = execution.effects.iter().filter_map(|effect| match effect {
        Effect::Config { device: DeviceNum(5), payload, .. } => Some(String::from_utf8_lossy(payload).into_owned()),
        _ => None,
    });
    reports.last().unwrap_or_else(|| panic!("no report: {execution:?}"))
}
