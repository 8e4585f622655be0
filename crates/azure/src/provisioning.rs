//! The text formats of the Device Provisioning Service: user names, requests and responses.

use serde_json::{Value, json};

use switchbox_model::{InvalidName, RegistryName};

const REGISTRATIONS: &str = "$dps/registrations/";
/// Longest request id, bytes.
const REQUEST_ID_BYTES: usize = 128;
/// The topic filter by which a client receives its responses.
pub const RESPONSE_FILTER: &str = "$dps/registrations/res/#";
/// How many seconds a device waits before it asks for the result of its registration.
pub const RETRY_AFTER_SECS: u64 = 1;

/// The ID scope and the registration id in the user name `{scope}/registrations/{id}/api-version=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationUser<'a> {
    pub scope: &'a str,
    pub registration_id: &'a str,
}

impl<'a> RegistrationUser<'a> {
    /// Returns `None` if the user name has another form.
    #[must_use]
    pub fn parse(user_name: &'a str) -> Option<Self> {
        let (scope, rest) = user_name.split_once("/registrations/")?;
        let (registration_id, query) = rest.split_once('/')?;
        let is_versioned = query.trim_start_matches('?').split('&').any(|pair| pair.starts_with("api-version="));
        let is_complete = !scope.is_empty() && !scope.contains('/') && !registration_id.is_empty();
        (is_versioned && is_complete).then_some(Self { scope, registration_id })
    }
}

/// The registry of an ID scope: the scope is the registry's id (beside the default registry).
pub fn registry(scope: &str) -> Result<RegistryName, InvalidName> {
    let default = RegistryName::default_registry();
    RegistryName::of(default.project(), default.location(), scope)
}

/// A request of a device over MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    Register { rid: &'a str },
    Status { rid: &'a str },
}

impl<'a> Request<'a> {
    /// Returns `None` for any other topic.
    #[must_use]
    pub fn parse(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix(REGISTRATIONS)?;
        let (is_register, query) = match rest.strip_prefix("PUT/iotdps-register/?") {
            Some(query) => (true, query),
            None => (false, rest.strip_prefix("GET/iotdps-get-operationstatus/?")?),
        };
        let rid = query.split('&').find_map(|pair| pair.strip_prefix("$rid="))?;
        let rid = Some(rid).filter(|rid| rid.len() <= REQUEST_ID_BYTES && !rid.contains(['+', '#', '/', '$']))?;
        Some(if is_register { Self::Register { rid } } else { Self::Status { rid } })
    }
}

/// The topic of a response. SDKs look for exactly two `$` in it.
#[must_use]
pub fn response_topic(status: u16, rid: &str, retry: bool) -> String {
    let retry = if retry { format!("&retry-after={RETRY_AFTER_SECS}") } else { String::new() };
    format!("{REGISTRATIONS}res/{status}/?$rid={rid}{retry}")
}

/// A device that is registered.
#[derive(Debug, Clone, Copy)]
pub struct Assigned<'a> {
    pub registration_id: &'a str,
    /// The host name of the hub that the device is to connect to.
    pub hub: &'a str,
    pub device_id: &'a str,
    /// RFC 3339.
    pub created: &'a str,
    pub etag: &'a str,
    /// The JSON payload of the enrolment.
    pub payload: Option<&'a str>,
}

/// The operation id of a registration. It contains the registration id, so that no further state is needed to look it up.
#[must_use]
pub fn operation(registration_id: &str) -> String {
    format!("1.{}", registration_id.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[must_use]
pub fn pending_json(registration_id: &str) -> Value {
    json!({ "operationId": operation(registration_id), "status": "assigning" })
}

impl Assigned<'_> {
    #[must_use]
    pub fn registration_json(&self) -> Value {
        let payload = self.payload.and_then(|payload| serde_json::from_str::<Value>(payload).ok());
        let mut state = json!({
            "registrationId": self.registration_id,
            "createdDateTimeUtc": self.created,
            "lastUpdatedDateTimeUtc": self.created,
            "assignedHub": self.hub,
            "deviceId": self.device_id,
            "status": "assigned",
            "substatus": "initialAssignment",
            "etag": self.etag,
        });
        if let (Some(payload), Some(fields)) = (payload, state.as_object_mut()) {
            fields.insert("payload".into(), payload);
        }
        state
    }

    #[must_use]
    pub fn status_json(&self) -> Value {
        let operation = operation(self.registration_id);
        json!({ "operationId": operation, "status": "assigned", "registrationState": self.registration_json() })
    }
}

/// An error in the format of the service.
#[must_use]
pub fn error_json(status: u16, text: &str) -> Value {
    json!({ "errorCode": u32::from(status) * 1_000, "message": text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_identifies_the_device() {
        let expect = Some(RegistrationUser { scope: "default", registration_id: "lamp-1" });
        for query in ["api-version=2019-03-31&ClientVersion=x%2F1", "?ClientVersion=x&api-version=2021-06-01"] {
            assert_eq!(RegistrationUser::parse(&format!("default/registrations/lamp-1/{query}")), expect);
        }
        for other in [
            "hub.example/lamp-1/?api-version=2021-04-12",
            "default/registrations/lamp-1",
            "default/registrations/lamp-1/x=1",
            "/registrations/lamp-1/api-version=1",
            "default/registrations//api-version=1",
            "a/b/registrations/lamp-1/api-version=1",
        ] {
            assert_eq!(RegistrationUser::parse(other), None, "{other}");
        }
    }

    #[test]
    fn topics_are_read_and_written() {
        for (topic, expect) in [
            ("$dps/registrations/PUT/iotdps-register/?$rid=7", Some(Request::Register { rid: "7" })),
            (
                "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=a-b&operationId=1.6c",
                Some(Request::Status { rid: "a-b" }),
            ),
            ("$dps/registrations/PUT/iotdps-register/", None),
            ("$dps/registrations/PUT/iotdps-register/?$rid=a$b", None),
            ("$dps/registrations/PUT/other/?$rid=7", None),
            ("devices/lamp-1/messages/events/", None),
        ] {
            assert_eq!(Request::parse(topic), expect, "{topic}");
        }
        assert_eq!(response_topic(202, "7", true), "$dps/registrations/res/202/?$rid=7&retry-after=1");
        assert_eq!(response_topic(200, "7", false).matches('$').count(), 2);
    }

    #[test]
    fn a_device_gets_the_name_of_its_hub() {
        let assigned = Assigned {
            registration_id: "lamp-1",
            hub: "plant.example",
            device_id: "hall-1",
            created: "2026-01-01T00:00:00.000Z",
            etag: "7",
            payload: Some(r#"{"room":"hall"}"#),
        };
        let answer = assigned.status_json();
        assert_eq!(answer["registrationState"]["assignedHub"], "plant.example");
        assert_eq!(answer["registrationState"]["payload"]["room"], "hall");
        assert_eq!(answer["operationId"], pending_json("lamp-1")["operationId"]);
        assert!(Assigned { payload: None, ..assigned }.registration_json().get("payload").is_none());
    }
}
