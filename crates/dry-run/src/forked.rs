//! The world of a shadow: it answers with what the plugin in force read while it handled the event, and has a state and timers of
//! its own. Other reads go to the live host. Methods are never called: a call that the plugin in force made too gets the same
//! answer.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    call::{HostCall, MethodLine},
    names,
    own_state::OwnState,
};
use switchbox_model::{DeviceName, DeviceNum, PluginName, RegistryName};
use switchbox_plugin_runtime::{
    ConfigView, DeviceView, HostCalls, MethodCall, MethodError, MethodResponse, host::BoxFuture,
};

/// The world of a shadow.
pub struct ForkedWorld {
    live: Arc<dyn HostCalls>,
    current: Mutex<CurrentExecution>,
    pub own: Mutex<OwnState>,
}

#[derive(Default)]
struct CurrentExecution {
    answers: Vec<HostCall>,
    names: HashMap<DeviceNum, DeviceName>,
}

impl ForkedWorld {
    #[must_use]
    pub fn new(live: Arc<dyn HostCalls>, own: OwnState) -> Self {
        Self { live, current: Mutex::default(), own: Mutex::new(own) }
    }

    /// Begins the next execution. `answers`: the calls of the plugin in force for the same event.
    pub fn begin(&self, answers: Vec<HostCall>) {
        *self.current.lock() = CurrentExecution { answers, names: HashMap::new() };
    }

    /// The name of a device that was looked up in this execution.
    #[must_use]
    pub fn name(&self, num: DeviceNum) -> Option<DeviceName> {
        self.current.lock().names.get(&num).cloned()
    }

    fn remember_name(&self, num: DeviceNum, name: &DeviceName) {
        self.current.lock().names.insert(num, name.clone());
    }

    fn short(&self, num: DeviceNum) -> Arc<str> {
        self.current.lock().names.get(&num).map(names::short).unwrap_or_default()
    }

    fn answer<T>(&self, fits: impl Fn(&HostCall) -> Option<T>) -> Option<T> {
        self.current.lock().answers.iter().find_map(fits)
    }
}

impl HostCalls for ForkedWorld {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        let num = self.live.resolve(name)?;
        self.remember_name(num, name);
        let requested = names::short(name);
        let recorded = self.answer(|call| match call {
            HostCall::Device { device, answer } if *device == requested => Some(answer.clone()),
            _ => None,
        });
        match recorded {
            Some(answer) => answer.map(|line| line.view(num, name.clone())),
            None => self.live.device(name),
        }
    }

    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        let num = self.live.resolve(name)?;
        self.remember_name(num, name);
        Some(num)
    }

    fn list(
        &self,
        registry: &RegistryName,
        pattern: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let (home, from) = (registry.to_string(), after.map(str::to_owned));
        let recorded = self.answer(|call| match call {
            HostCall::List { registry, pattern: glob, after, limit: most, answer }
                if (registry, glob.as_str(), after, *most) == (&home, pattern, &from, limit) =>
            {
                Some(answer.clone())
            }
            _ => None,
        });
        let Some(lines) = recorded else {
            return self.live.list(registry, pattern, after, limit, matches, &mut |view| {
                self.remember_name(view.num, &view.name);
                take(view)
            });
        };
        for line in lines {
            let Ok(name) = names::parse(&line.name) else { continue };
            let Some(num) = self.live.resolve(&name) else { continue };
            self.remember_name(num, &name);
            if matches(name.id.as_str()) && !take(line.view(num, name)) {
                return;
            }
        }
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        let requested = self.short(device);
        let recorded = self.answer(|call| match call {
            HostCall::Config { device, answer } if *device == requested => Some(answer.clone()),
            _ => None,
        });
        match recorded {
            Some(answer) => answer.map(|line| line.view()),
            None => self.live.config(device),
        }
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let requested = self.short(device);
        let recorded = self.answer(|call| match call {
            HostCall::Twin { device, answer } if *device == requested => Some(answer.clone()),
            _ => None,
        });
        match recorded {
            Some(answer) => {
                let answer = answer.map(|document| String::from_utf8_lossy(&document.0).into_owned());
                Box::pin(std::future::ready(answer))
            }
            None => self.live.twin(device),
        }
    }

    fn kv_get(&self, _: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        self.own.lock().get(key)
    }

    fn kv_keys(&self, _: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.own.lock().keys(prefix, after, limit)
    }

    fn kv_bytes(&self, _: &PluginName) -> usize {
        self.own.lock().bytes()
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        let requested = self.short(device);
        let recorded = self.answer(|call| match call {
            HostCall::CommandRoom { device, answer } if *device == requested => Some(*answer),
            _ => None,
        });
        recorded.unwrap_or_else(|| self.live.command_room(device))
    }

    fn timers(&self, _: &PluginName) -> usize {
        self.own.lock().timers()
    }

    fn has_timer(&self, _: &PluginName, name: &str) -> bool {
        self.own.lock().has_timer(name)
    }

    fn call_method(&self, request: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let to = self.short(request.device);
        let recorded = self.answer(|call| match call {
            HostCall::Method { device, method, payload, answer, .. }
                if *device == to
                    && *method == request.method
                    && payload.0 == request.payload
                    && *answer != MethodLine::NoAnswer =>
            {
                answer.answer()
            }
            _ => None,
        });
        let none =
            || Err(MethodError::Offline("a shadow calls no device; the plugin in force did not call this".into()));
        Box::pin(std::future::ready(recorded.unwrap_or_else(none)))
    }
}
