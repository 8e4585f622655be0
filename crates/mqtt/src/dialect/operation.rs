//! The meaning of a topic, independent of its dialect.

use switchbox_delivery::DownlinkKind;
use switchbox_model::Property;

/// What a publish means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish<'a> {
    Event {
        subfolder: &'a str,
        /// The properties in the topic.
        properties: Vec<Property>,
    },
    State,
    /// A merge patch on the state, to be answered under the request id.
    StatePatch {
        rid: &'a str,
    },
    /// The device asks for its config and its state, to be answered under the request id.
    GetTwin {
        rid: &'a str,
    },
    /// A device asks to be registered; the response carries the request id.
    Register {
        rid: &'a str,
    },
    /// The device asks for the status of its registration, to be answered under the request id.
    RegistrationStatus {
        rid: &'a str,
    },
    /// An answer to a method call. Fields that are not in the topic are in the packet's properties.
    Answer {
        rid: Option<u64>,
        /// Any number that a device sends: delivery decides whether the caller can get it.
        status: Option<i64>,
    },
    /// A gateway attaches or detaches the device.
    Control(Control),
    /// An ordinary topic.
    Ordinary,
    Refused(TopicRefusal),
}

/// A request of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Attach,
    Detach,
}

/// What a subscription means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribe {
    Downlink(DownlinkKind),
    /// The errors of a gateway's devices.
    Errors,
    /// The answers to [`Publish::GetTwin`] and [`Publish::StatePatch`].
    Replies,
    Ordinary,
    Refused(TopicRefusal),
}

/// Why a topic of a device may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicRefusal {
    NoDevice,
    OtherDevice,
    Unknown,
    HostsOwn,
    Answer,
    NoHubTopic,
    Properties,
    RequestId,
    Status,
}

impl TopicRefusal {
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoDevice => "only a registered device may use topics under /devices/",
            Self::OtherDevice => "a device may use its own topics only",
            Self::Unknown => "there is no such topic under /devices/",
            Self::HostsOwn => "only the host itself makes events of this sub-folder",
            Self::Answer => "an answer must have its request id and a status that is a whole number",
            Self::NoHubTopic => "a client of Azure IoT Hub has the topics of IoT Hub only",
            Self::Properties => "the properties in the topic are too many, or no UTF-8",
            Self::RequestId => "the topic must end with ?$rid= and a request id",
            Self::Status => "the status of an answer must be a whole number",
        }
    }
}

impl std::fmt::Display for TopicRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}
