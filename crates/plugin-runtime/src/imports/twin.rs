//! The twin: reads desired and reported; collects patches of desired as effects.

use std::time::Instant;

use tokio::time::timeout;

use super::{
    super::{
        bindings::imports::switchbox::plugin::{twin::Host, types::Error},
        grants::Capability,
        host,
        sandbox::StoreData,
    },
    args::Of as _,
    expect, found,
};
use switchbox_core::twin::Desired;
use switchbox_model::{DeviceNum, Effect};
use switchbox_rules::calls::{DEVICE, PATCH};

impl Host for StoreData {
    async fn get(&mut self, device: String) -> Result<String, Error> {
        let host = self.admit([DEVICE.of(&device)])?;
        let name = self.check_device(Capability::Read, &device)?;
        let pending_answer = host.twin(found(&*host, &name)?);
        let left = self.setup.limits.host_call_time.saturating_sub(self.call.awaited);
        let began = Instant::now();
        let answer = timeout(left, pending_answer).await;
        self.call.awaited += began.elapsed();
        match answer {
            Ok(answer) => answer.map_err(Error::Unavailable),
            Err(_) => Err(self.waited_too_long()),
        }
    }

    fn patch_desired(&mut self, device: String, patch: String, expected: Option<u64>) -> Result<(), Error> {
        let host = self.admit_effect([DEVICE.of(&device), PATCH.of(&patch)])?;
        let name = self.check_device(Capability::Config, &device)?;
        let num = found(&*host, &name)?;
        let mut desired = self.desired(&*host, num)?;
        expect(expected, || desired.version)?;
        // The result is only used for errors: the patch is applied when the event's effects are.
        desired.patch(patch.as_bytes()).map_err(|problem| Error::Invalid(problem.to_string()))?;
        self.check_effects()?;
        self.call.add_effect(Effect::PatchDesired { device: num, patch: patch.into(), expected });
        Ok(())
    }
}

impl StoreData {
    /// The config as it will be when the effects collected so far are applied.
    pub(super) fn desired(&self, host: &dyn host::HostCalls, num: DeviceNum) -> Result<Desired, Error> {
        let mut desired = host
            .config(num)
            .map_or_else(Desired::default, |config| Desired { version: config.version, document: config.payload });
        for effect in &self.call.effects {
            match effect {
                Effect::Config { device, payload, .. } if *device == num => desired.set(payload),
                Effect::PatchDesired { device, patch, .. } if *device == num => {
                    desired.patch(patch).map_err(|problem| Error::Invalid(problem.to_string()))?;
                }
                _ => {}
            }
        }
        Ok(desired)
    }
}
