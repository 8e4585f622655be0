//! Commands to devices, collected as effects.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            command::{Host, Options},
            types::{Error, Property},
        },
        grants::Capability,
        sandbox::StoreData,
    },
    args::Of as _,
    no_such_device,
};
use switchbox_model::{Effect, event};
use switchbox_rules::calls::{self, COMMAND, DEVICE, PROPERTIES, SUBFOLDER, Subscription};

impl Host for StoreData {
    fn send(&mut self, device: String, payload: Vec<u8>, options: Options) -> Result<String, Error> {
        let host = self.admit_effect([DEVICE.of(&device), COMMAND.of(&payload), SUBFOLDER.of(&options.subfolder)])?;
        self.record_command(&*host, &device, payload, options, Vec::new())
    }

    fn send_with(
        &mut self,
        device: String,
        payload: Vec<u8>,
        options: Options,
        properties: Vec<Property>,
    ) -> Result<String, Error> {
        let host = self.admit_effect([
            DEVICE.of(&device),
            COMMAND.of(&payload),
            SUBFOLDER.of(&options.subfolder),
            PROPERTIES.of(&properties),
        ])?;
        let pairs = properties.iter().map(|property| (property.name.as_str(), property.value.as_str()));
        self.checked(calls::command_properties(pairs))?;
        let properties = properties.into_iter().map(|property| (property.name, property.value)).collect();
        self.record_command(&*host, &device, payload, options, properties)
    }
}

impl StoreData {
    fn record_command(
        &mut self,
        host: &dyn crate::HostCalls,
        device: &str,
        payload: Vec<u8>,
        options: Options,
        properties: Vec<event::Property>,
    ) -> Result<String, Error> {
        let name = self.check_device(Capability::Command, device)?;
        self.checked(calls::subfolder(&options.subfolder))?;
        self.checked(calls::command_ttl(options.ttl_ms))?;
        let view = host.device(&name).ok_or_else(|| no_such_device(&name))?;
        if options.ttl_ms == 0 {
            calls::reachable(&name.id, view.connected, view.accepts_commands, Subscription::Commands)
                .map_err(Error::Offline)?;
        }
        let to_it = |effect: &&Effect| matches!(effect, Effect::Command { device, .. } if *device == view.num);
        if self.call.effects.iter().filter(to_it).count() >= host.command_room(view.num) {
            return Err(self.call.refused(calls::no_room_for_commands(name.id.as_str())));
        }
        self.check_effects()?;
        let id = format!("{}.{}.{}", self.call.seq, self.setup.name, self.call.effects.len());
        self.call.add_effect(Effect::Command {
            device: view.num,
            id: id.clone(),
            subfolder: options.subfolder,
            payload: payload.into(),
            properties,
            ttl_ms: options.ttl_ms,
        });
        Ok(id)
    }
}
