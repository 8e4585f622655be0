//! Messages on ordinary topics, collected as effects.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            topic::{Host, Options as PublishOptions},
            types::Error,
        },
        grants::Capability,
        sandbox::StoreData,
    },
    args::Of as _,
};
use switchbox_model::{Effect, QoS};
use switchbox_rules::calls::{self, MESSAGE, TOPIC};

impl Host for StoreData {
    fn publish(&mut self, topic: String, payload: Vec<u8>, options: PublishOptions) -> Result<(), Error> {
        let host = self.admit_effect([TOPIC.of(&topic), MESSAGE.of(&payload)])?;
        self.checked(calls::topic(&topic))?;
        let granted = self.setup.grants.topic(&topic);
        host.grant_checked(Capability::Publish, &topic, granted.is_ok());
        granted.map_err(Error::Denied)?;
        let qos = QoS::of(options.qos).ok_or_else(|| self.call.refused(calls::no_qos(options.qos)))?;
        self.check_effects()?;
        self.call.add_effect(Effect::Publish { topic, payload: payload.into(), qos, retain: options.retain });
        Ok(())
    }
}
