//! The topics of Azure's Device Provisioning Service, for devices that are not registered yet (docs/azure.md). Pure.

use super::operation::{Publish, Subscribe, TopicRefusal};
use switchbox_azure::provisioning::{RESPONSE_FILTER, Request};

pub(super) fn publish(topic: &str) -> Publish<'_> {
    match Request::parse(topic) {
        Some(Request::Register { rid }) => Publish::Register { rid },
        Some(Request::Status { rid }) => Publish::RegistrationStatus { rid },
        None => Publish::Refused(TopicRefusal::NoHubTopic),
    }
}

pub(super) fn subscribe(filter: &str) -> Subscribe {
    if filter == RESPONSE_FILTER { Subscribe::Replies } else { Subscribe::Refused(TopicRefusal::NoHubTopic) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_register_and_nothing_else() {
        assert_eq!(publish("$dps/registrations/PUT/iotdps-register/?$rid=7"), Publish::Register { rid: "7" });
        assert_eq!(publish("devices/lamp-1/messages/events/"), Publish::Refused(TopicRefusal::NoHubTopic));
        assert_eq!(subscribe("$dps/registrations/res/#"), Subscribe::Replies);
        assert_eq!(subscribe("#"), Subscribe::Refused(TopicRefusal::NoHubTopic));
    }
}
