//! Commands: the operator's calls on a device's queue, and the application of commands in the journal.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    operator::{Error, Handle, check_reply},
    queues::CommandQueues,
    sink::EffectSink,
};
use crate::registry::Device;
use switchbox_model::{Cause, CommandStatus, Effect, Property, event, limits::fields};
use switchbox_store::{CommandDoc, Doc};

/// A command that an operator wants to send.
#[derive(Debug, Clone)]
pub struct NewCommand {
    pub id: String,
    /// The levels of the topic after that of the device's commands; empty if there are none.
    pub subfolder: String,
    pub payload: Bytes,
    pub properties: Vec<Property>,
    /// How long it waits for the device. Zero: the device gets it now or never; the caller has checked that it accepts commands.
    pub ttl: Duration,
}

impl Handle {
    /// Queues a command for the device. It is sent when it is durable and the device is connected.
    pub async fn send_command(&self, device: &Device, command: NewCommand, cause: Cause) -> Result<(), Error> {
        let NewCommand { id, subfolder, payload, properties, ttl } = command;
        fields::COMMAND.check_len("a command", payload.len())?;
        fields::COMMAND_PROPERTIES.check_len("properties of a command", properties.len())?;
        fields::COMMAND_PROPERTY.check_len("the properties of a command", event::size(&properties))?;
        event::check_command(&properties)?;
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        fields::COMMAND_TTL.check("a time-to-live", ttl_ms.div_ceil(1_000))?;
        if self.queues.room(device.num) == 0 {
            return Err(Error::QueueFull { limit: self.queues.max_open() });
        }
        let effect = Effect::Command { device: device.num, id, subfolder, payload, properties, ttl_ms };
        check_reply(self.submit(effect, cause).await?)
    }
}

/// A command as the journal has it.
pub(super) struct Committed {
    pub(super) id: String,
    pub(super) subfolder: String,
    pub(super) payload: Bytes,
    pub(super) properties: Vec<Property>,
    pub(super) ttl_ms: u64,
    pub(super) time_ms: u64,
    pub(super) cause: Cause,
}

/// Puts the command into the device's queue. A command for which there is no room or no device gets its final status from the
/// command expiry: its end is an event, and events get their numbers before the journal is written. The document does
/// not depend on the device's connection, so a journal replay gives the same one.
pub(super) fn apply(
    queues: &CommandQueues,
    sink: &dyn EffectSink,
    device: &Arc<Device>,
    committed: Committed,
    docs: &mut Vec<Doc>,
) {
    let (num, has_room) = queues.open_next(device.num);
    let mut command = CommandDoc {
        device: device.num,
        num,
        id: committed.id,
        subfolder: committed.subfolder,
        payload: committed.payload,
        properties: committed.properties,
        ttl_ms: committed.ttl_ms,
        expires_ms: (committed.ttl_ms > 0).then(|| committed.time_ms.saturating_add(committed.ttl_ms)),
        status_at_deadline: None,
        status: CommandStatus::Queued,
        created_ms: committed.time_ms,
        sent_ms: None,
        settled_ms: None,
        cause: committed.cause,
    };
    if !has_room {
        command.status_at_deadline = Some(CommandStatus::Rejected);
        command.expires_ms = Some(0);
    } else if !sink.command(device, &command) && command.ttl_ms == 0 {
        queues.record_undelivered(device.num, num, &command.id);
    }
    if let Some(ms) = command.expires_ms {
        queues.record_due(ms);
    }
    docs.push(Doc::Command(Box::new(command)));
}

#[cfg(test)]
mod tests {
    use hashbrown::HashMap;

    use super::*;
    use switchbox_model::{DeviceName, DeviceNum, Message, RegistryName, registry::DeviceSpec};
    use switchbox_store::{ConfigVersion, DeviceDoc, LastSeen};

    /// A connected device that accepts commands, or an offline one.
    struct FakeSink {
        accepts_commands: bool,
    }

    impl EffectSink for FakeSink {
        fn config(&self, _: &Arc<Device>, _: &Arc<ConfigVersion>) {}

        fn wake(&self) {}

        fn command(&self, _: &Arc<Device>, _: &CommandDoc) -> bool {
            self.accepts_commands
        }

        fn publish(&self, _: String, _: Message) {}
    }

    fn lamp() -> Arc<Device> {
        let name = DeviceName::parse("lamp-1", &RegistryName::default_registry()).unwrap();
        let spec = DeviceSpec::default();
        let doc = DeviceDoc { num: DeviceNum(1), name, spec, created_ms: 0, password: None, revision: 0 };
        Arc::new(Device::new(doc, LastSeen::default()))
    }

    fn applied(queues: &CommandQueues, there: bool, ttl_ms: u64) -> CommandDoc {
        let cause = Cause::Api { caller: "test".into() };
        let command = Committed {
            id: "c".into(),
            subfolder: String::new(),
            payload: Bytes::new(),
            properties: Vec::new(),
            ttl_ms,
            time_ms: 1_000,
            cause,
        };
        let mut docs = Vec::new();
        apply(queues, &FakeSink { accepts_commands: there }, &lamp(), command, &mut docs);
        let Some(Doc::Command(command)) = docs.pop() else { panic!("no command") };
        *command
    }

    #[test]
    fn a_time_to_live_begins_when_the_command_is_committed_and_zero_means_now() {
        let never = u64::MAX;
        for (there, ttl_ms, expires, due, undelivered) in [
            (true, 0, None, never, 0),
            (false, 0, None, 0, 1),
            (true, 30, Some(1_030), 1_030, 0),
            (false, 30, Some(1_030), 1_030, 0),
            (false, u64::MAX, Some(u64::MAX), never, 0),
        ] {
            let queues = CommandQueues::new(HashMap::new(), 9);
            let command = applied(&queues, there, ttl_ms);
            assert_eq!(
                (command.expires_ms, command.status_at_deadline),
                (expires, None),
                "there: {there}, ttl: {ttl_ms}"
            );
            assert_eq!(*queues.due().borrow(), due);
            assert_eq!(queues.is_open(DeviceNum(1), 1), undelivered == 0, "it may not be sent any more");
            assert_eq!(queues.take_undelivered().len(), undelivered, "there: {there}, ttl: {ttl_ms}");
        }
    }

    #[test]
    fn a_command_that_found_no_device_and_has_ended_since_is_not_ended_again() {
        let queues = CommandQueues::new(HashMap::new(), 9);
        (0..2).for_each(|_| drop(applied(&queues, false, 0)));
        queues.close(DeviceNum(1), 1);
        let left: Vec<_> = queues.take_undelivered().into_iter().map(|undelivered| undelivered.num).collect();
        assert_eq!(left, [2]);
        assert!(queues.take_undelivered().is_empty());
        applied(&queues, false, 0);
        queues.forget(DeviceNum(1));
        assert!(queues.take_undelivered().is_empty(), "its device is gone");
    }

    #[test]
    fn a_command_that_finds_the_queue_full_is_kept_and_to_be_rejected() {
        let queues = CommandQueues::new(HashMap::new(), 2);
        let verdicts = [(); 3].map(|()| applied(&queues, true, 30).status_at_deadline);
        assert_eq!(verdicts, [None, None, Some(CommandStatus::Rejected)]);
        assert_eq!(*queues.due().borrow(), 0, "at once");
        queues.close(DeviceNum(1), 1);
        queues.close(DeviceNum(1), 3);
        assert_eq!(applied(&queues, true, 30).status_at_deadline, None, "there is room again");
    }
}
