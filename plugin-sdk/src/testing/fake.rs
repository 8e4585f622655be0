//! The host functions, answered from the fake host's own data. Arguments, grants, versions and limits are checked with the code of
//! the host. Every method has a counterpart in `crate::imports`.

use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
};

use switchbox_rules::{
    calls::{self, Arg, Subscription},
    json::Tolerance,
    limits,
    names::{DeviceId, DeviceName},
    output::OutputBounds,
    schedule::RequestedSchedule,
    twin,
};

use crate::{
    CommandOptions, ConfigVersion, Device, Entry, Error, Level, Property, PublishOptions, Response, Result, Schedule,
    bindings::exports::switchbox::plugin::handler::Capability,
    testing::{
        patterns,
        sent::{SentCommand, SentMessage},
        world::{World, expect_version, kept},
    },
};

/// A host that keeps everything in memory. Clones share the same host. A [`Harness`](crate::testing::Harness) contains one.
#[derive(Debug, Clone, Default)]
pub struct FakeHost {
    world: Rc<RefCell<World>>,
}

impl FakeHost {
    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    /// Counts a call and checks its arguments. The host does this before anything else.
    fn admit(&self, args: &[Arg]) -> Result<RefMut<'_, World>> {
        let mut world = self.world();
        world.count_call()?;
        calls::check(args)?;
        Ok(world)
    }

    pub(crate) fn registry_get(&self, device: &str) -> Result<Device> {
        let world = self.admit(&[calls::DEVICE.sized(device.len())])?;
        let name = world.granted(Capability::Read, device)?;
        Ok(world.device(&name)?.about.clone())
    }

    pub(crate) fn registry_list(&self, pattern: &str, after: Option<&str>, limit: u32) -> Result<Vec<Device>> {
        let world = self.admit(&[
            calls::PATTERN.sized(pattern.len()),
            calls::DEVICE.sized(after.map_or(0, str::len)),
            calls::LIST.sized(limit as usize),
        ])?;
        let limit = calls::list_size(limit)?;
        let globs = patterns::globs(pattern)?;
        let readable = |id: &DeviceId| {
            let name = DeviceName { registry: world.home.clone(), id: id.clone() };
            patterns::device_granted(&world.granted, Capability::Read, &name, &world.home).is_ok()
        };
        let here = world.devices.iter().filter(|(name, _)| name.registry == world.home);
        let fit = here.filter(|(name, _)| globs.is_match(name.id.as_str()) && Some(name.id.as_str()) > after);
        let found: Vec<_> =
            fit.filter(|(name, _)| readable(&name.id)).map(|(_, device)| &device.about).take(limit).collect();
        let metadata =
            |device: &Device| device.metadata.iter().map(|entry| entry.name.len() + entry.value.len()).collect();
        let bytes = |device: &&Device| {
            let metadata: Vec<usize> = metadata(device);
            calls::device_weight(device.id.len(), world.home.as_str().len(), metadata.into_iter())
        };
        if found.iter().map(bytes).sum::<usize>() > limits::LIST_BYTES {
            return Err(calls::list_too_large().into());
        }
        Ok(found.into_iter().cloned().collect())
    }

    pub(crate) fn config_get(&self, device: &str) -> Result<Option<ConfigVersion>> {
        let world = self.admit(&[calls::DEVICE.sized(device.len())])?;
        let device = world.device(&world.granted(Capability::Read, device)?)?;
        Ok(device.configs.last().map(|(time, payload)| ConfigVersion {
            number: device.about.config_version,
            time: *time,
            payload: payload.clone(),
            acknowledged: None,
        }))
    }

    pub(crate) fn config_set(&self, device: &str, payload: &[u8], expected: Option<u64>) -> Result<()> {
        let args = [calls::DEVICE.sized(device.len()), calls::CONFIG.sized(payload.len())];
        let mut world = self.admit(&args)?;
        let name = world.granted(Capability::Config, device)?;
        let in_force = world.desired_version(&name, world.device(&name)?);
        expect_version(expected, in_force)?;
        world.stage_config(name, payload)
    }

    pub(crate) fn command_send(&self, device: &str, payload: &[u8], options: &CommandOptions) -> Result<String> {
        let world = self.admit(&command_args(device, payload, options))?;
        send(world, device, payload, options, &[])
    }

    pub(crate) fn command_send_with(
        &self,
        device: &str,
        payload: &[u8],
        options: &CommandOptions,
        properties: &[Property],
    ) -> Result<String> {
        let bytes = properties.iter().map(|property| property.name.len() + property.value.len()).sum();
        let [to, body, subfolder] = command_args(device, payload, options);
        let world = self.admit(&[to, body, subfolder, calls::PROPERTIES.sized(bytes)])?;
        let pairs = properties.iter().map(|property| (property.name.as_str(), property.value.as_str()));
        calls::command_properties(pairs)?;
        send(world, device, payload, options, properties)
    }

    pub(crate) fn method_call(&self, device: &str, name: &str, payload: &[u8], timeout_ms: u32) -> Result<Response> {
        let answer = {
            let world = self.admit(&[
                calls::DEVICE.sized(device.len()),
                calls::METHOD_NAME.sized(name.len()),
                calls::METHOD.sized(payload.len()),
            ])?;
            let target = world.granted(Capability::Method, device)?;
            calls::method_name(name)?;
            calls::method_timeout_ms(timeout_ms)?;
            let found = world.device(&target)?;
            found.reachable(Subscription::Methods)?;
            found.methods.get(name).cloned()
        };
        let answer = answer.ok_or_else(|| Error::TimedOut(format!("{name} on {device} after {timeout_ms} ms")))?;
        Ok(answer(payload))
    }

    pub(crate) fn twin_get(&self, device: &str) -> Result<String> {
        let world = self.admit(&[calls::DEVICE.sized(device.len())])?;
        let device = world.device(&world.granted(Capability::Read, device)?)?;
        let tolerance = device.about.metadata.iter().rev().find(|entry| entry.name == twin::TOLERANCE);
        // The host's API refuses metadata with a wrong tolerance.
        let tolerance = twin::tolerance(tolerance.map(|entry| entry.value.as_str())).unwrap_or(Tolerance::EXACT);
        Ok(twin::document(&kept(&device.configs), &kept(&device.states), tolerance).text())
    }

    pub(crate) fn twin_patch(&self, device: &str, patch: &str, expected: Option<u64>) -> Result<()> {
        let mut world = self.admit(&[calls::DEVICE.sized(device.len()), calls::PATCH.sized(patch.len())])?;
        let name = world.granted(Capability::Config, device)?;
        let in_force = world.desired_version(&name, world.device(&name)?);
        expect_version(expected, in_force)?;
        world.stage_patch(name, patch)
    }

    pub(crate) fn state_get(&self, key: &str) -> Result<Option<Entry>> {
        let world = self.admit(&[calls::KEY.sized(key.len())])?;
        calls::key(key)?;
        Ok(world.entry(key).cloned())
    }

    pub(crate) fn state_set(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<()> {
        let mut world = self.admit(&[calls::KEY.sized(key.len()), calls::VALUE.sized(value.len())])?;
        calls::key(key)?;
        expect_version(expected, world.entry(key).map_or(0, |entry| entry.revision))?;
        world.stage_entry(key, Some(value))
    }

    pub(crate) fn state_delete(&self, key: &str) -> Result<()> {
        let mut world = self.admit(&[calls::KEY.sized(key.len())])?;
        calls::key(key)?;
        if world.entry(key).is_some() { world.stage_entry(key, None) } else { Ok(()) }
    }

    pub(crate) fn state_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        let world = self.admit(&[
            calls::KEY.sized(prefix.len()),
            calls::KEY.sized(after.map_or(0, str::len)),
            calls::LIST.sized(limit as usize),
        ])?;
        let limit = calls::list_size(limit)?;
        let keys = world.keys().filter(|key| key.starts_with(prefix) && Some(key.as_str()) > after);
        Ok(keys.take(limit).cloned().collect())
    }

    pub(crate) fn timer_set(&self, name: &str, schedule: &Schedule, payload: &[u8]) -> Result<()> {
        let cron = match schedule {
            Schedule::Cron(cron) => cron.expression.len() + cron.time_zone.len(),
            _ => 0,
        };
        let mut world = self.admit(&[
            calls::TIMER_NAME.sized(name.len()),
            calls::SCHEDULE.sized(cron),
            calls::TIMER.sized(payload.len()),
        ])?;
        calls::timer_name(name)?;
        requested_schedule(schedule).first_ms(world.now).map_err(Error::Invalid)?;
        world.stage_timer(name, Some((schedule.clone(), payload.into())))
    }

    pub(crate) fn timer_cancel(&self, name: &str) -> Result<()> {
        let mut world = self.admit(&[calls::TIMER_NAME.sized(name.len())])?;
        calls::timer_name(name)?;
        world.stage_timer(name, None)
    }

    pub(crate) fn topic_publish(&self, topic: &str, payload: &[u8], options: PublishOptions) -> Result<()> {
        let mut world = self.admit(&[calls::TOPIC.sized(topic.len()), calls::MESSAGE.sized(payload.len())])?;
        calls::topic(topic)?;
        patterns::topic_granted(&world.granted, topic)?;
        let PublishOptions { qos, retain } = options;
        if qos > 2 {
            return Err(calls::no_qos(qos).into());
        }
        world.stage_message(SentMessage { topic: topic.into(), payload: payload.into(), qos, retain })
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        self.world().output.push(OutputBounds::default(), level, Level::Warn, message);
    }
}

fn command_args(device: &str, payload: &[u8], options: &CommandOptions) -> [Arg; 3] {
    [
        calls::DEVICE.sized(device.len()),
        calls::COMMAND.sized(payload.len()),
        calls::SUBFOLDER.sized(options.subfolder.len()),
    ]
}

fn send(
    mut world: RefMut<'_, World>,
    device: &str,
    payload: &[u8],
    options: &CommandOptions,
    properties: &[Property],
) -> Result<String> {
    let name = world.granted(Capability::Command, device)?;
    calls::subfolder(&options.subfolder)?;
    calls::command_ttl(options.ttl_ms)?;
    if options.ttl_ms == 0 {
        world.device(&name)?.reachable(Subscription::Commands)?;
    }
    let command = SentCommand {
        id: String::new(),
        subfolder: options.subfolder.clone(),
        payload: payload.into(),
        properties: properties.iter().map(|property| (property.name.clone(), property.value.clone())).collect(),
        ttl_ms: options.ttl_ms,
    };
    world.stage_command(name, command)
}

fn requested_schedule(schedule: &Schedule) -> RequestedSchedule {
    match schedule {
        Schedule::After(ms) => RequestedSchedule::AfterMs(*ms),
        Schedule::At(ms) => RequestedSchedule::AtMs(*ms),
        Schedule::Every(ms) => RequestedSchedule::EveryMs(*ms),
        Schedule::Cron(cron) => {
            RequestedSchedule::Cron { expression: cron.expression.clone(), time_zone: cron.time_zone.clone() }
        }
    }
}
