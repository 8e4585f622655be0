//! The world of a recording: it gives the recorded answers only. A call that is not in the recording ends the comparison of its
//! execution, and is reported.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    call::{HostCall, MethodLine, millis},
    names,
};
use switchbox_model::{DeviceName, DeviceNum, PluginName, RegistryName};
use switchbox_plugin_runtime::{
    Capability, ConfigView, DeviceView, HostCalls, MethodCall, MethodError, MethodResponse, host::BoxFuture,
};

/// The world of one recorded instance.
#[derive(Default)]
pub struct RecordedWorld {
    current: Mutex<CurrentExecution>,
    numbers: Mutex<DeviceNumbers>,
    /// The plugin may read other devices than the recorded one, so its lists would differ.
    other_reads: bool,
    /// The recording is made of the journal. How many timers there were is not in it; that there was room for those that were set is.
    from_journal: bool,
}

/// The execution that is replayed.
#[derive(Default)]
struct CurrentExecution {
    calls: Vec<HostCall>,
    used: Vec<bool>,
    call_count: usize,
    /// The first call without a recorded answer.
    unanswered: Option<String>,
}

/// Maps the names of devices in the file to numbers.
#[derive(Default)]
struct DeviceNumbers {
    of: HashMap<DeviceName, DeviceNum>,
    names: Vec<DeviceName>,
}

impl DeviceNumbers {
    fn of(&mut self, name: &DeviceName) -> DeviceNum {
        if let Some(num) = self.of.get(name) {
            return *num;
        }
        self.names.push(name.clone());
        let num = DeviceNum(self.names.len() as u64);
        self.of.insert(name.clone(), num);
        num
    }

    fn name(&self, num: DeviceNum) -> Option<&DeviceName> {
        let at = usize::try_from(num.0.checked_sub(1)?).ok()?;
        self.names.get(at)
    }
}

/// How the calls of an execution differ from the recording.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CallDifferences {
    /// The first call that is not in the recording.
    pub unanswered: Option<String>,
    /// Method calls that were recorded, but not made in the replay.
    pub not_called: Vec<String>,
}

impl RecordedWorld {
    #[must_use]
    pub fn new(other_reads: bool, from_journal: bool) -> Self {
        Self { other_reads, from_journal, ..Self::default() }
    }

    /// Begins the next execution.
    pub fn begin(&self, calls: Vec<HostCall>) {
        let used = vec![false; calls.len()];
        *self.current.lock() = CurrentExecution { calls, used, ..CurrentExecution::default() };
    }

    /// Ends the execution.
    #[must_use]
    pub fn end(&self) -> CallDifferences {
        let current = std::mem::take(&mut *self.current.lock());
        let unused = current.calls.iter().zip(&current.used).filter(|(_, used)| !**used).map(|(call, _)| call);
        let not_called = unused.filter(|call| matches!(call, HostCall::Method { .. })).map(HostCall::title).collect();
        CallDifferences { unanswered: current.unanswered, not_called }
    }

    /// The name of a device that was looked up.
    #[must_use]
    pub fn name(&self, num: DeviceNum) -> Option<DeviceName> {
        self.numbers.lock().name(num).cloned()
    }

    fn short(&self, num: DeviceNum) -> Arc<str> {
        self.name(num).as_ref().map(names::short).unwrap_or_default()
    }

    /// The answer of the first matching call that is not used yet. A read that is made more often than in the recording gets its
    /// last answer again.
    fn answer<T>(&self, title: impl FnOnce() -> String, fits: impl Fn(&HostCall) -> Option<T>) -> Option<T> {
        let mut current = self.current.lock();
        let CurrentExecution { calls, used, call_count, unanswered } = &mut *current;
        *call_count += 1;
        let mut last = None;
        for (call, used) in calls.iter().zip(used) {
            let Some(answer) = fits(call) else { continue };
            let first = !std::mem::replace(used, true);
            if first {
                return Some(answer);
            }
            last = Some(answer).filter(|_| !matches!(call, HostCall::Method { .. }));
        }
        if last.is_none() && unanswered.is_none() {
            *unanswered = Some(format!("differs at call {call_count}: {}, not in the recording", title()));
        }
        last
    }
}

impl HostCalls for RecordedWorld {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        let requested = names::short(name);
        let found = self.answer(
            || format!("registry.get {requested}"),
            |call| match call {
                HostCall::Device { device, answer } if *device == requested => Some(answer.clone()),
                // The device does not exist.
                HostCall::Has { device, answer: false } if *device == requested => Some(None),
                _ => None,
            },
        );
        let num = self.numbers.lock().of(name);
        found.flatten().map(|line| line.view(num, name.clone()))
    }

    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        let requested = names::short(name);
        let found = self.answer(
            || format!("registry.has {requested}"),
            |call| match call {
                HostCall::Has { device, answer } if *device == requested => Some(*answer),
                HostCall::Device { device, answer } if *device == requested => Some(answer.is_some()),
                _ => None,
            },
        );
        let num = self.numbers.lock().of(name);
        found.filter(|there| *there).map(|_| num)
    }

    fn grant_checked(&self, _: Capability, _: &str, _: bool) {}

    fn list(
        &self,
        registry: &RegistryName,
        pattern: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let (home, glob, from, most) = (registry.to_string(), pattern.to_owned(), after.map(str::to_owned), limit);
        let found = self.answer(
            || format!("registry.list {pattern}"),
            |call| match call {
                HostCall::List { registry, pattern, after, limit, answer }
                    if (registry, pattern, after, limit) == (&home, &glob, &from, &most) && !self.other_reads =>
                {
                    Some(answer.clone())
                }
                _ => None,
            },
        );
        for line in found.unwrap_or_default() {
            let Ok(name) = names::parse(&line.name) else { continue };
            let num = self.numbers.lock().of(&name);
            if matches(name.id.as_str()) && !take(line.view(num, name)) {
                return;
            }
        }
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        let requested = self.short(device);
        let found = self.answer(
            || format!("config.get {requested}"),
            |call| match call {
                HostCall::Config { device, answer } if *device == requested => Some(answer.clone()),
                _ => None,
            },
        );
        found.flatten().map(|line| line.view())
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let requested = self.short(device);
        let found = self.answer(
            || format!("twin.get {requested}"),
            |call| match call {
                HostCall::Twin { device, answer } if *device == requested => Some(answer.clone()),
                _ => None,
            },
        );
        let found = found.unwrap_or_else(|| Err("not in the recording".into()));
        let found = found.map(|document| String::from_utf8_lossy(&document.0).into_owned());
        Box::pin(std::future::ready(found))
    }

    fn kv_get(&self, _: &PluginName, requested: &str) -> Option<(Bytes, u64)> {
        let found = self.answer(
            || format!("state.get {requested}"),
            |call| match call {
                HostCall::StateGet { key, answer } if *key == requested => Some(answer.clone()),
                _ => None,
            },
        );
        found.flatten().map(|line| (line.value.0, line.revision))
    }

    fn kv_keys(&self, _: &PluginName, begins: &str, from: Option<&str>, most: usize) -> Vec<String> {
        let found = self.answer(
            || format!("state.keys {begins}*"),
            |call| match call {
                HostCall::StateKeys { prefix, after, limit, answer }
                    if *prefix == begins && after.as_deref() == from && *limit == most =>
                {
                    Some(answer.clone())
                }
                _ => None,
            },
        );
        found.unwrap_or_default()
    }

    fn kv_bytes(&self, _: &PluginName) -> usize {
        let fits = |call: &HostCall| if let HostCall::StateBytes { answer } = call { Some(*answer) } else { None };
        self.answer(|| "state.bytes".into(), fits).unwrap_or(0)
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        let requested = self.short(device);
        let found = self.answer(
            || format!("command.room {requested}"),
            |call| match call {
                HostCall::CommandRoom { device, answer } if *device == requested => Some(*answer),
                _ => None,
            },
        );
        found.unwrap_or(0)
    }

    fn timers(&self, _: &PluginName) -> usize {
        if self.from_journal {
            return 0;
        }
        let fits = |call: &HostCall| if let HostCall::TimerCount { answer } = call { Some(*answer) } else { None };
        self.answer(|| "timer.count".into(), fits).unwrap_or(0)
    }

    fn has_timer(&self, _: &PluginName, requested: &str) -> bool {
        let found = self.answer(
            || format!("timer.has {requested}"),
            |call| match call {
                HostCall::TimerHas { name, answer } if name == requested => Some(*answer),
                _ => None,
            },
        );
        found.unwrap_or(false)
    }

    fn call_method(&self, request: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let (to, timeout) = (self.short(request.device), millis(request.timeout));
        let found = self.answer(
            || format!("method.call {to} {}", request.method),
            |call| match call {
                HostCall::Method { device, method, payload, timeout_ms, answer }
                    if *device == to
                        && *method == request.method
                        && payload.0 == request.payload
                        && *timeout_ms == timeout
                        && *answer != MethodLine::NoAnswer =>
                {
                    answer.answer()
                }
                _ => None,
            },
        );
        let missing = || Err(MethodError::Unavailable("not in the recording".into()));
        Box::pin(std::future::ready(found.unwrap_or_else(missing)))
    }
}

/// An instance's world, shared with its host.
pub(crate) fn shared(other_reads: bool, from_journal: bool) -> (Arc<RecordedWorld>, Arc<dyn HostCalls>) {
    let world = Arc::new(RecordedWorld::new(other_reads, from_journal));
    (Arc::clone(&world), world)
}
