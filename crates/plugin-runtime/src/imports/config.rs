//! Configs: reads the current one; collects a new one as an effect.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            config::{Host, Version},
            types::Error,
        },
        grants::Capability,
        sandbox::StoreData,
    },
    args::Of as _,
    expect, found,
};
use switchbox_model::Effect;
use switchbox_rules::calls::{CONFIG, DEVICE};

impl Host for StoreData {
    fn get(&mut self, device: String) -> Result<Option<Version>, Error> {
        let host = self.admit([DEVICE.of(&device)])?;
        let name = self.check_device(Capability::Read, &device)?;
        let config = host.config(found(&*host, &name)?);
        Ok(config.map(|config| Version {
            number: config.version,
            time: config.time_ms,
            payload: config.payload.to_vec(),
            acknowledged: config.acknowledged_ms,
        }))
    }

    fn set(&mut self, device: String, payload: Vec<u8>, expected: Option<u64>) -> Result<(), Error> {
        let host = self.admit_effect([DEVICE.of(&device), CONFIG.of(&payload)])?;
        let name = self.check_device_cached(Capability::Config, &device)?;
        let num = found(&*host, name)?;
        if expected.is_some() {
            let in_force = self.desired(&*host, num)?.version;
            expect(expected, || in_force)?;
        }
        self.check_effects()?;
        self.call.add_effect(Effect::Config { device: num, payload: payload.into(), expected });
        Ok(())
    }
}
