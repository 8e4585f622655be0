//! The host's calls, answered from the fake's own data. Every method has a twin in `crate::imports`.

use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
};

use serde_json::{Map, Value, json};

use crate::{
    CommandOptions, ConfigVersion, Device, Entry, Error, Level, PublishOptions, Response, Result, Schedule,
    bindings::exports::switchbox::plugin::handler::Capability,
    testing::{
        patterns,
        world::{FakeDevice, SentCommand, SentMessage, World, expect_version},
    },
};

/// Largest config document, bytes: as the host has it.
const CONFIG_BYTES: usize = 64 * 1024;

/// A host that keeps everything in memory. Clones are the same host. [`Harness`](crate::testing::Harness) has one inside.
#[derive(Debug, Clone, Default)]
pub struct FakeHost {
    world: Rc<RefCell<World>>,
}

impl FakeHost {
    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    pub(crate) fn registry_get(&self, device: &str) -> Result<Device> {
        Ok(self.world().device(device, Capability::Read)?.about.clone())
    }

    pub(crate) fn registry_list(&self, pattern: &str, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        let world = self.world();
        let prefix = format!("{}/devices/", world.registry);
        let here = world.devices.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, device)| &device.about);
        let fit = here.filter(|device| patterns::glob(pattern, &device.id) && Some(device.id.as_str()) > after);
        let seen = fit.filter(|device| world.check(Capability::Read, &device.id).is_ok());
        Ok(seen.take(limit as usize).cloned().collect())
    }

    pub(crate) fn config_get(&self, device: &str) -> Result<Option<ConfigVersion>> {
        let mut world = self.world();
        let device = world.device(device, Capability::Read)?;
        Ok(device.configs.last().map(|(time, payload)| ConfigVersion {
            number: device.about.config_version,
            time: *time,
            payload: payload.clone(),
            acknowledged: None,
        }))
    }

    pub(crate) fn config_set(&self, device: &str, payload: &[u8], expected: Option<u64>) -> Result<()> {
        let mut world = self.world();
        let now = world.now;
        let device = world.device(device, Capability::Config)?;
        if payload.len() > CONFIG_BYTES {
            return Err(Error::Limit(format!(
                "a config may have {CONFIG_BYTES} bytes, this one has {}",
                payload.len()
            )));
        }
        expect_version(expected, device.about.config_version)?;
        device.configs.push((now, payload.into()));
        device.about.config_version += 1;
        Ok(())
    }

    pub(crate) fn command_send(&self, device: &str, payload: &[u8], options: &CommandOptions) -> Result<String> {
        let mut world = self.world();
        let id = format!("command-{}", world.commands_sent + 1);
        let target = world.device(device, Capability::Command)?;
        if options.ttl_ms == 0 && !target.about.connected {
            return Err(Error::Offline(format!("device {device}")));
        }
        target.commands.push(SentCommand {
            id: id.clone(),
            subfolder: options.subfolder.clone(),
            payload: payload.into(),
            ttl_ms: options.ttl_ms,
        });
        world.commands_sent += 1;
        Ok(id)
    }

    pub(crate) fn method_call(&self, device: &str, name: &str, payload: &[u8], timeout_ms: u32) -> Result<Response> {
        let answer = {
            let mut world = self.world();
            let target = world.device(device, Capability::Method)?;
            if !target.about.connected {
                return Err(Error::Offline(format!("device {device}")));
            }
            target.methods.get(name).cloned()
        };
        let answer = answer.ok_or_else(|| Error::TimedOut(format!("{name} on {device} after {timeout_ms} ms")))?;
        Ok(answer(payload))
    }

    pub(crate) fn twin_get(&self, device: &str) -> Result<String> {
        let mut world = self.world();
        let device = world.device(device, Capability::Read)?;
        let desired = desired_of(device);
        let mut differs = Vec::new();
        if let (Ok(desired), Some(reported)) = (&desired, device.reported.as_object()) {
            collect_differences(desired, reported, "", &mut differs);
        }
        let (versions, problem) = (&device.about, desired.as_ref().err().cloned());
        Ok(json!({
            "desired": desired.map_or(Value::Null, Value::Object),
            "desiredVersion": versions.config_version,
            "desiredProblem": problem,
            "reported": device.reported,
            "reportedVersion": versions.state_version,
            "differs": differs,
        })
        .to_string())
    }

    pub(crate) fn twin_patch(&self, device: &str, patch: &str, expected: Option<u64>) -> Result<()> {
        let Ok(patch @ Value::Object(_)) = serde_json::from_str(patch) else {
            return Err(Error::Invalid("a patch must be a JSON object".into()));
        };
        let in_force = desired_of(self.world().device(device, Capability::Config)?);
        let mut desired = Value::Object(in_force.map_err(|problem| Error::Invalid(format!("desired: {problem}")))?);
        merge(&mut desired, patch);
        self.config_set(device, desired.to_string().as_bytes(), expected)
    }

    pub(crate) fn state_get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.world().state.get(key).cloned())
    }

    pub(crate) fn state_set(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<()> {
        let mut world = self.world();
        let revision = world.state.get(key).map_or(0, |entry| entry.revision);
        expect_version(expected, revision)?;
        world.state.insert(key.into(), Entry { value: value.into(), revision: revision + 1 });
        Ok(())
    }

    pub(crate) fn state_delete(&self, key: &str) -> Result<()> {
        self.world().state.remove(key);
        Ok(())
    }

    pub(crate) fn state_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        let world = self.world();
        let keys = world.state.keys().filter(|key| key.starts_with(prefix) && Some(key.as_str()) > after);
        Ok(keys.take(limit as usize).cloned().collect())
    }

    pub(crate) fn timer_set(&self, name: &str, schedule: &Schedule, payload: &[u8]) -> Result<()> {
        self.world().timers.insert(name.into(), (schedule.clone(), payload.into()));
        Ok(())
    }

    pub(crate) fn timer_cancel(&self, name: &str) -> Result<()> {
        self.world().timers.remove(name);
        Ok(())
    }

    pub(crate) fn topic_publish(&self, topic: &str, payload: &[u8], options: PublishOptions) -> Result<()> {
        let mut world = self.world();
        world.check(Capability::Publish, topic)?;
        let PublishOptions { qos, retain } = options;
        world.messages.push(SentMessage { topic: topic.into(), payload: payload.into(), qos, retain });
        Ok(())
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        self.world().logs.push((level, message.into()));
    }
}

/// The newest config as a JSON object; the error says what it is instead.
fn desired_of(device: &FakeDevice) -> std::result::Result<Map<String, Value>, String> {
    match device.configs.last().map(|(_, payload)| serde_json::from_slice(payload)) {
        None => Ok(Map::new()),
        Some(Ok(Value::Object(desired))) => Ok(desired),
        Some(_) => Err("it is no JSON object".into()),
    }
}

/// Where reported is not what desired asks for, as the host finds it.
fn collect_differences(
    desired: &Map<String, Value>,
    reported: &Map<String, Value>,
    base: &str,
    found: &mut Vec<Value>,
) {
    for (key, wanted) in desired {
        let path = format!("{base}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (wanted, reported.get(key)) {
            (Value::Object(wanted), Some(Value::Object(is))) => collect_differences(wanted, is, &path, found),
            (wanted, Some(is)) if wanted == is => {}
            (wanted, is) => found.push(json!({"path": path, "desired": wanted, "reported": is, "since": ""})),
        }
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.remove(&key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patches_as_the_rfc_has_them() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [1]}), json!({"a": {"b": {"c": null}}}), json!({"a": {"b": {}}})),
            (json!(["a"]), json!({"a": 1}), json!({"a": 1})),
        ] {
            let mut value = target;
            merge(&mut value, patch);
            assert_eq!(value, expected);
        }
    }
}
