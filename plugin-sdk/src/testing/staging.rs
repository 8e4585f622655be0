//! Collects and applies the effects of an event. Reads of devices see what is committed; reads of the plugin's own state see what
//! the event wrote, as in the host.

use switchbox_rules::{
    calls, json,
    limits::{self, CONFIG_BYTES, KV_BYTES},
    names::DeviceName,
};

use super::{
    sent::{SentCommand, SentMessage},
    staged::{Desired, Staged},
    world::{FakeDevice, World},
};
use crate::{Entry, Error, Result, Schedule};

impl Staged {
    fn check_effects(&self) -> Result<()> {
        let most = limits::EFFECTS_PER_EVENT;
        if !self.migrates && self.effects + self.state_writes >= most as usize {
            return Err(calls::too_many_effects(most).into());
        }
        Ok(())
    }
}

impl World {
    /// Counts a call of the host.
    pub(super) fn count_call(&mut self) -> Result<()> {
        let migrates = self.staged.migrates;
        let most = if migrates { limits::MIGRATION_CALLS } else { limits::HOST_CALLS };
        if self.staged.host_calls >= most {
            let refusal = if migrates { calls::too_many_migration_calls() } else { calls::too_many_calls(most) };
            return Err(refusal.into());
        }
        self.staged.host_calls += 1;
        Ok(())
    }

    /// The version that the device's config will have after the effects so far.
    pub(super) fn desired_version(&self, name: &DeviceName, device: &FakeDevice) -> u64 {
        self.staged.desired.get(name).map_or(device.about.config_version, |desired| desired.version)
    }

    pub(super) fn stage_config(&mut self, name: DeviceName, payload: &[u8]) -> Result<()> {
        self.staged.check_effects()?;
        self.staged.effects += 1;
        self.change_desired(name, payload)
    }

    pub(super) fn stage_patch(&mut self, name: DeviceName, patch: &str) -> Result<()> {
        let device = self.device(&name)?;
        let document = self.staged.desired.get(&name).map_or(device.config(), |desired| &desired.document);
        let patched = json::patched(document, patch.as_bytes(), CONFIG_BYTES);
        let patched = patched.map_err(|problem| Error::Invalid(problem.to_string()))?;
        self.staged.check_effects()?;
        self.staged.effects += 1;
        match patched {
            Some(document) => self.change_desired(name, document.as_bytes()),
            None => Ok(()),
        }
    }

    fn change_desired(&mut self, name: DeviceName, payload: &[u8]) -> Result<()> {
        let device = self.device(&name)?;
        let first = Desired { version: device.about.config_version, document: device.config().into() };
        let desired = self.staged.desired.entry(name.clone()).or_insert(first);
        if desired.version == 0 || desired.document != payload {
            *desired = Desired { version: desired.version + 1, document: payload.into() };
            self.staged.configs.push((name, payload.into()));
        }
        Ok(())
    }

    /// Returns the command's id.
    pub(super) fn stage_command(&mut self, name: DeviceName, command: SentCommand) -> Result<String> {
        let room = self.device(&name)?.command_room();
        if self.staged.commands.iter().filter(|(to, _)| *to == name).count() >= room {
            return Err(calls::no_room_for_commands(name.id.as_str()).into());
        }
        self.staged.check_effects()?;
        let id = format!("{}.{}.{}", self.staged.seq, super::PLUGIN, self.staged.effects);
        self.staged.effects += 1;
        self.staged.commands.push((name, SentCommand { id: id.clone(), ..command }));
        Ok(id)
    }

    /// An entry of the plugin's state, after the effects so far.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.staged.state.get(key).map_or_else(|| self.state.get(key), Option::as_ref)
    }

    /// The keys after the effects so far, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        let mut keys: Vec<_> = self.state.keys().chain(self.staged.state.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().filter(|key| self.entry(key).is_some())
    }

    /// Writes a key, or deletes it.
    pub(super) fn stage_entry(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        let revision = self.entry(key).map_or(0, |entry| entry.revision);
        let size = |entry: Option<&Entry>| entry.map_or(0, |entry| key.len() + entry.value.len());
        let used =
            self.keys().map(|key| key.len() + self.entry(key).map_or(0, |entry| entry.value.len())).sum::<usize>();
        let new = value.map_or(0, |value| key.len() + value.len());
        if value.is_some() && (used + new).saturating_sub(size(self.entry(key))) > KV_BYTES {
            return Err(calls::state_too_large().into());
        }
        self.staged.check_effects()?;
        self.staged.state_writes += 1;
        let entry = value.map(|value| Entry { value: value.into(), revision: revision + 1 });
        self.staged.state.insert(key.into(), entry);
        Ok(())
    }

    /// Sets a timer, or cancels it.
    pub(super) fn stage_timer(&mut self, name: &str, timer: Option<(Schedule, Vec<u8>)>) -> Result<()> {
        let set = self.timers.len() + self.staged.timers.iter().filter(|(_, timer)| timer.is_some()).count();
        if timer.is_some() && set >= limits::TIMERS && !self.timers.contains_key(name) {
            return Err(calls::too_many_timers().into());
        }
        self.staged.check_effects()?;
        self.staged.effects += 1;
        self.staged.timers.push((name.into(), timer));
        Ok(())
    }

    pub(super) fn stage_message(&mut self, message: SentMessage) -> Result<()> {
        self.staged.check_effects()?;
        self.staged.effects += 1;
        self.staged.messages.push(message);
        Ok(())
    }

    /// Applies all effects of the event that the plugin has handled.
    pub(super) fn commit(&mut self) {
        let Staged { configs, commands, state, timers, messages, .. } = std::mem::take(&mut self.staged);
        for (name, payload) in configs {
            if let Some(device) = self.devices.get_mut(&name) {
                device.set_config(self.now, &payload);
            }
        }
        for (name, command) in commands {
            if let Some(device) = self.devices.get_mut(&name) {
                device.commands.push(command);
            }
        }
        for (key, entry) in state {
            match entry {
                Some(entry) => drop(self.state.insert(key, entry)),
                None => drop(self.state.remove(&key)),
            }
        }
        for (name, timer) in timers {
            match timer {
                Some(timer) => drop(self.timers.insert(name, timer)),
                None => drop(self.timers.remove(&name)),
            }
        }
        self.messages.extend(messages);
    }
}
