//! The messages on a gateway's errors topic (docs/devices.md, "Gateways"). Pure.

use serde::Serialize;

use switchbox_model::DeviceId;

/// The kind of a failure, with its name for the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum ErrorType {
    /// An attach request failed.
    #[serde(rename = "GATEWAY_ATTACHMENT_ERROR")]
    Attachment,
    /// No attached device to handle the message.
    #[serde(rename = "GATEWAY_DEVICE_NOT_FOUND")]
    DeviceNotFound,
    /// A topic that cannot be parsed, or with a bad device id.
    #[serde(rename = "GATEWAY_INVALID_MQTT_TOPIC")]
    InvalidTopic,
    /// An acknowledgement that nothing waits for.
    #[serde(rename = "GATEWAY_UNEXPECTED_PACKET_ID")]
    UnexpectedPacketId,
    /// A packet that does not fit, such as PUBREC for a message of QoS 1.
    #[serde(rename = "GATEWAY_UNEXPECTED_MESSAGE_TYPE")]
    UnexpectedMessageType,
    /// The device was detached because of something about itself.
    #[serde(rename = "GATEWAY_DETACHMENT_DEVICE_ERROR")]
    Detachment,
    #[serde(rename = "UNKNOWN")]
    Unknown,
}

impl ErrorType {
    /// As the gateway reads it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attachment => "GATEWAY_ATTACHMENT_ERROR",
            Self::DeviceNotFound => "GATEWAY_DEVICE_NOT_FOUND",
            Self::InvalidTopic => "GATEWAY_INVALID_MQTT_TOPIC",
            Self::UnexpectedPacketId => "GATEWAY_UNEXPECTED_PACKET_ID",
            Self::UnexpectedMessageType => "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
            Self::Detachment => "GATEWAY_DETACHMENT_DEVICE_ERROR",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The gateway's message that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageInfo {
    /// `PUBLISH`, `SUBSCRIBE`, `PUBACK` …
    pub message_type: &'static str,
    /// Empty where the packet has none.
    pub topic: String,
    /// 0 for QoS 0.
    pub packet_id: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatewayError {
    pub error_type: ErrorType,
    /// As the gateway wrote it; empty where it is about no device.
    pub device_id: String,
    pub description: String,
    /// Where a message of the gateway's caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt_message_info: Option<MessageInfo>,
}

impl GatewayError {
    /// The payload with which the error is published.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // Text and numbers only: there is nothing that JSON could not say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Where a gateway reads what went wrong.
#[must_use]
pub fn topic(gateway: &DeviceId) -> String {
    format!("/devices/{gateway}/errors")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_error_is_json_that_names_the_device_and_the_message() {
        let info = MessageInfo { message_type: "PUBLISH", topic: "/devices/lamp/attach".into(), packet_id: 7 };
        let mut error = GatewayError {
            error_type: ErrorType::Attachment,
            device_id: "lamp".into(),
            description: "it is \"blocked\"".into(),
            mqtt_message_info: Some(info),
        };
        let read = |error: &GatewayError| serde_json::from_slice::<Value>(&error.json()).unwrap();
        let message = json!({"message_type": "PUBLISH", "topic": "/devices/lamp/attach", "packet_id": 7});
        let mut expect = json!({"error_type": "GATEWAY_ATTACHMENT_ERROR", "device_id": "lamp",
            "description": "it is \"blocked\"", "mqtt_message_info": message});
        assert_eq!(read(&error), expect);
        error.mqtt_message_info = None;
        expect.as_object_mut().unwrap().remove("mqtt_message_info");
        assert_eq!(read(&error), expect);
    }

    #[test]
    fn a_type_has_one_name() {
        use ErrorType::{
            Attachment, Detachment, DeviceNotFound, InvalidTopic, UnexpectedMessageType, UnexpectedPacketId, Unknown,
        };
        for kind in
            [Attachment, DeviceNotFound, InvalidTopic, UnexpectedPacketId, UnexpectedMessageType, Detachment, Unknown]
        {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
