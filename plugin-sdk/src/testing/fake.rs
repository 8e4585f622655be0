//! The host's calls, answered from the fake's own data. Every method has a twin in `crate::imports`.

use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
};

use serde_json::json;
use switchbox_rules::json::{Difference, Tolerance, differences, object, patched};

use crate::{
    CommandOptions, ConfigVersion, Device, Entry, Error, Level, Property, PublishOptions, Response, Result, Schedule,
    bindings::exports::switchbox::plugin::handler::Capability,
    testing::{
        patterns,
        world::{SentCommand, SentMessage, World, expect_version},
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
        let globs = patterns::globs(pattern)?;
        let fit = here.filter(|device| globs.is_match(&device.id) && Some(device.id.as_str()) > after);
        let readable =
            |name: &str| patterns::device_granted(&world.granted, Capability::Read, name, &world.registry).is_ok();
        let seen = fit.filter(|device| readable(&device.name));
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
        device.set_config(now, payload);
        Ok(())
    }

    pub(crate) fn command_send(&self, device: &str, payload: &[u8], options: &CommandOptions) -> Result<String> {
        self.command_send_with(device, payload, options, &[])
    }

    pub(crate) fn command_send_with(
        &self,
        device: &str,
        payload: &[u8],
        options: &CommandOptions,
        properties: &[Property],
    ) -> Result<String> {
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
            properties: properties.iter().map(|property| (property.name.clone(), property.value.clone())).collect(),
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
        let desired = (device.configs.last().map_or(&[][..], |(_, payload)| payload), device.about.config_version);
        let reported = (&*device.reported, device.about.state_version);
        let mut fields = [side("desired", desired), side("reported", reported)].concat();
        if let (Ok(desired), Ok(reported)) = (object(desired.0), object(reported.0)) {
            let found = differences(&desired, &reported, Tolerance::EXACT, (usize::MAX, usize::MAX)).found;
            let shown: Vec<_> = found.iter().map(difference).collect();
            fields.push(format!(r#""differs":[{}]"#, shown.join(",")));
        }
        Ok(format!("{{{}}}", fields.join(",")))
    }

    pub(crate) fn twin_patch(&self, device: &str, patch: &str, expected: Option<u64>) -> Result<()> {
        let mut world = self.world();
        let now = world.now;
        let device = world.device(device, Capability::Config)?;
        expect_version(expected, device.about.config_version)?;
        let desired = device.configs.last().map_or(&[][..], |(_, payload)| payload);
        let patched = patched(desired, patch.as_bytes(), CONFIG_BYTES);
        if let Some(desired) = patched.map_err(|problem| Error::Invalid(problem.to_string()))? {
            device.set_config(now, desired.as_bytes());
        }
        Ok(())
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
        patterns::topic_granted(&world.granted, topic)?;
        let PublishOptions { qos, retain } = options;
        world.messages.push(SentMessage { topic: topic.into(), payload: payload.into(), qos, retain });
        Ok(())
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        self.world().logs.push((level, message.into()));
    }
}

/// One of the two documents with its version, as fields of the twin.
fn side(name: &str, (payload, version): (&[u8], u64)) -> Vec<String> {
    let text = std::str::from_utf8(payload.trim_ascii()).unwrap_or_default();
    let shown = match object(payload) {
        Ok(_) if text.is_empty() => "{}",
        Ok(_) => text,
        Err(_) => "null",
    };
    let problem = object(payload).err().map(|is| format!(r#""{name}Problem":{}"#, json!(is.to_string())));
    let fields = [format!(r#""{name}":{shown}"#), format!(r#""{name}Version":"{version}""#)];
    fields.into_iter().chain(problem).collect()
}

fn difference(difference: &Difference<'_, '_>) -> String {
    let (path, desired) = (json!(difference.pointer()), difference.desired.text);
    let reported = difference.reported.map_or("null", |value| value.text);
    format!(r#"{{"path":{path},"desired":{desired},"reported":{reported},"since":""}}"#)
}
