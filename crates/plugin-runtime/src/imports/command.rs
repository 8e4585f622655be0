//! Commands to devices, collected as effects.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            command::{Host, Options},
            types::{Error, Property},
        },
        grants::Capability,
        limits::names,
        sandbox::State,
    },
    args::{COMMAND, DEVICE, PROPERTIES, SUBFOLDER},
    no_such_device,
};
use switchbox_model::{
    Effect, event,
    limits::{COMMAND_PROPERTIES, COMMAND_TTL_MAX_MS},
};

impl Host for State {
    fn send(&mut self, device: String, payload: Vec<u8>, options: Options) -> Result<String, Error> {
        let host = self.admit_effect([DEVICE.of(&device), COMMAND.of(&payload), SUBFOLDER.of(&options.subfolder)])?;
        self.note_command(&*host, &device, payload, options, Vec::new())
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
        if properties.len() > COMMAND_PROPERTIES {
            let text = format!("a command has at most {COMMAND_PROPERTIES} properties");
            return Err(Error::Invalid(self.call.hit(names::COMMAND_PROPERTIES, &text)));
        }
        let properties: Vec<_> = properties.into_iter().map(|property| (property.name, property.value)).collect();
        event::check_command(&properties).map_err(|error| Error::Invalid(error.to_string()))?;
        self.note_command(&*host, &device, payload, options, properties)
    }
}

impl State {
    fn note_command(
        &mut self,
        host: &dyn crate::Host,
        device: &str,
        payload: Vec<u8>,
        options: Options,
        properties: Vec<event::Property>,
    ) -> Result<String, Error> {
        let name = self.granted(Capability::Command, device)?;
        check_subfolder(&options.subfolder)?;
        if options.ttl_ms > COMMAND_TTL_MAX_MS {
            return Err(Error::Invalid(format!("ttl-ms may be at most {COMMAND_TTL_MAX_MS}")));
        }
        let view = host.device(&name).ok_or_else(|| no_such_device(&name))?;
        if options.ttl_ms == 0 && !view.connected {
            return Err(Error::Offline(format!("{} is not connected", name.id)));
        }
        if options.ttl_ms == 0 && !view.accepts_commands {
            return Err(Error::Offline(format!("{} does not subscribe to its commands", name.id)));
        }
        let to_it = |effect: &&Effect| matches!(effect, Effect::Command { device, .. } if *device == view.num);
        if self.call.effects.iter().filter(to_it).count() >= host.command_room(view.num) {
            let text = format!("no more commands may wait for {}", name.id);
            return Err(Error::Limit(self.call.hit(names::QUEUED_COMMANDS, &text)));
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

/// It becomes the end of a topic name.
fn check_subfolder(subfolder: &str) -> Result<(), Error> {
    let rule = if subfolder.contains(['+', '#', '\0']) {
        "must not hold + # or NUL"
    } else if subfolder.starts_with('/') || subfolder.ends_with('/') || subfolder.contains("//") {
        "must not have empty levels"
    } else {
        return Ok(());
    };
    Err(Error::Invalid(format!("subfolder {subfolder:?} {rule}")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_subfolder_fits_a_topic() {
        for (subfolder, fits) in
            [("", true), ("a", true), ("a/b", true), ("/a", false), ("a/", false), ("a//b", false), ("a/#", false)]
        {
            assert_eq!(super::check_subfolder(subfolder).is_ok(), fits, "{subfolder}");
        }
    }
}
