//! The topics of Azure IoT Hub (docs/azure.md). Pure.

use std::borrow::Cow;

use super::operation::{Publish, Subscribe, TopicRefusal};
use switchbox_azure::{properties, url_encoding};
use switchbox_delivery::{DownlinkKind, Outbound, OutboundCommand};
use switchbox_model::{DeviceId, Property, event::about};

const METHODS: &str = "$iothub/methods/";
const TWIN: &str = "$iothub/twin/";
/// The longest request id that is answered, bytes.
const REQUEST_ID_BYTES: usize = 128;
/// The property of a message that was published with RETAIN, as it is not stored as retained.
const RETAINED: (&str, &str) = ("mqtt-retain", "true");
/// The property of a will.
const WILL: (&str, &str) = ("iothub-MessageType", "Will");

/// Strips `devices/{d}/messages/`. `None` if the topic is another device's or has another form.
fn messages<'a>(device: &DeviceId, topic: &'a str) -> Option<&'a str> {
    let (id, rest) = topic.strip_prefix("devices/")?.split_once('/')?;
    let own = id == device.as_str() || url_encoding::decode(id).is_some_and(|id| id == device.as_str());
    rest.strip_prefix("messages/").filter(|_| own)
}

/// Reads the topic of a publish by `device`, or by a client that is not a device.
pub(super) fn publish<'a>(device: Option<&DeviceId>, topic: &'a str, retain: bool) -> Publish<'a> {
    let Some(device) = device else { return Publish::Refused(TopicRefusal::NoDevice) };
    if let Some(rest) = topic.strip_prefix(METHODS) {
        return answer(rest);
    }
    if let Some(rest) = topic.strip_prefix(TWIN) {
        return twin(rest);
    }
    match messages(device, topic).map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
        Some(("events", bag)) => event(bag, retain.then_some(RETAINED)),
        Some(_) => Publish::Refused(TopicRefusal::NoHubTopic),
        None if topic.starts_with("devices/") => Publish::Refused(TopicRefusal::OtherDevice),
        None => Publish::Refused(TopicRefusal::NoHubTopic),
    }
}

/// The properties of a will on this topic, if it is one that a will may have.
pub(super) fn will(device: &DeviceId, topic: &str) -> Result<Vec<Property>, TopicRefusal> {
    match publish(Some(device), topic, false) {
        Publish::Event { mut properties, .. } => {
            properties.push((WILL.0.to_owned(), WILL.1.to_owned()));
            Ok(properties)
        }
        Publish::Refused(refused) => Err(refused),
        _ => Err(TopicRefusal::NoHubTopic),
    }
}

fn event(bag: &str, more: Option<(&str, &str)>) -> Publish<'static> {
    // Some SDKs end the topic with a slash.
    match properties::read(bag.trim_end_matches('/')) {
        Ok(mut properties) => {
            properties.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
            Publish::Event { subfolder: "", properties }
        }
        Err(_) => Publish::Refused(TopicRefusal::Properties),
    }
}

/// `res/{status}/?$rid={rid}`
fn answer(rest: &str) -> Publish<'_> {
    let Some((status, query)) = rest.strip_prefix("res/").and_then(|rest| rest.split_once('/')) else {
        return Publish::Refused(TopicRefusal::NoHubTopic);
    };
    match (status.parse(), request_id(query).and_then(|rid| rid.parse().ok())) {
        (Ok(status), Some(rid)) => Publish::Answer { rid: Some(rid), status: Some(status) },
        (Err(_), _) => Publish::Refused(TopicRefusal::Status),
        (_, None) => Publish::Refused(TopicRefusal::RequestId),
    }
}

fn twin(rest: &str) -> Publish<'_> {
    let (is_patch, query) = match (rest.strip_prefix("GET/"), rest.strip_prefix("PATCH/properties/reported/")) {
        (Some(query), _) => (false, query),
        (_, Some(query)) => (true, query),
        _ => return Publish::Refused(TopicRefusal::NoHubTopic),
    };
    match request_id(query) {
        Some(rid) if is_patch => Publish::StatePatch { rid },
        Some(rid) => Publish::GetTwin { rid },
        None => Publish::Refused(TopicRefusal::RequestId),
    }
}

/// The request id among the parameters of a topic.
fn request_id(query: &str) -> Option<&str> {
    let rid = query.strip_prefix('?')?.split('&').find_map(|pair| pair.strip_prefix("$rid="))?;
    (rid.len() <= REQUEST_ID_BYTES && !rid.contains(['+', '#', '/'])).then_some(rid)
}

/// Reads the filter of a subscription by `device`, or by a client that is not a device.
pub(super) fn subscribe(device: Option<&DeviceId>, filter: &str) -> Subscribe {
    let Some(device) = device else { return Subscribe::Refused(TopicRefusal::NoDevice) };
    match filter {
        "$iothub/methods/POST/#" => Subscribe::Downlink(DownlinkKind::Methods),
        "$iothub/twin/res/#" => Subscribe::Replies,
        "$iothub/twin/PATCH/properties/desired/#" => Subscribe::Downlink(DownlinkKind::Config),
        _ => match messages(device, filter) {
            Some("devicebound/#") => Subscribe::Downlink(DownlinkKind::Commands),
            Some(_) => Subscribe::Refused(TopicRefusal::NoHubTopic),
            None if filter.starts_with("devices/") => Subscribe::Refused(TopicRefusal::OtherDevice),
            None => Subscribe::Refused(TopicRefusal::NoHubTopic),
        },
    }
}

/// The topic that this is delivered on, in pieces.
pub(super) fn topic<'a>(device: &'a DeviceId, item: &'a Outbound) -> [Cow<'a, str>; 6] {
    let [first, second, third, fourth]: [Cow<'a, str>; 4] = match item {
        Outbound::Config(config) => {
            [TWIN.into(), "PATCH/properties/desired/?$version=".into(), config.version.to_string().into(), "".into()]
        }
        Outbound::Method(call) => {
            [METHODS.into(), "POST/".into(), (&*call.name).into(), format!("/?$rid={}", call.rid).into()]
        }
        Outbound::Command(command) => {
            let OutboundCommand { id, subfolder, properties, .. } = &**command;
            let own_id = properties.iter().any(|(name, _)| name == about::MESSAGE_ID);
            let to = format!("/devices/{device}/messages/devicebound");
            let subfolder = (!subfolder.is_empty()).then_some(("subfolder", &**subfolder));
            let id = (!own_id).then_some((about::MESSAGE_ID, &**id));
            let properties = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let bag = [("$.to", to.as_str())].into_iter().chain(id).chain(subfolder).chain(properties);
            // SDKs look for the id as it is.
            let bag = properties::write(bag);
            ["devices/".into(), device.as_str().into(), "/messages/devicebound/".into(), bag.into()]
        }
    };
    [first, second, third, fourth, "".into(), "".into()]
}

/// The topic of the answer to a request.
#[must_use]
pub fn reply_topic(status: u16, rid: &str, version: Option<u64>) -> String {
    let version = version.map_or_else(String::new, |version| format!("&$version={version}"));
    format!("{TWIN}res/{status}/?$rid={rid}{version}")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::*;
    use switchbox_delivery::OutboundCall;
    use switchbox_testing::config_version;

    fn lamp() -> DeviceId {
        DeviceId::new("lamp-1").unwrap()
    }

    #[test]
    fn publishes_are_read() {
        let event = |properties: &[(&str, &str)]| Publish::Event {
            subfolder: "",
            properties: properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        let answer = |rid, status| Publish::Answer { rid: Some(rid), status: Some(status) };
        for (topic, expect) in [
            ("devices/lamp-1/messages/events/", event(&[])),
            ("devices/lamp-1/messages/events", event(&[])),
            ("devices/lamp%2D1/messages/events/a=1", event(&[("a", "1")])),
            ("devices/lamp-1/messages/events/%24.ct=a%2Fb&c/", event(&[("$content-type", "a/b"), ("c", "")])),
            ("devices/lamp-1/messages/events/a=%FF", Publish::Refused(TopicRefusal::Properties)),
            ("devices/lamp-1/messages/devicebound/", Publish::Refused(TopicRefusal::NoHubTopic)),
            ("devices/lamp-2/messages/events/", Publish::Refused(TopicRefusal::OtherDevice)),
            ("devices/lamp-1/modules/arm/messages/events/", Publish::Refused(TopicRefusal::OtherDevice)),
            ("/devices/lamp-1/events", Publish::Refused(TopicRefusal::NoHubTopic)),
            ("a/b", Publish::Refused(TopicRefusal::NoHubTopic)),
            ("$iothub/methods/res/200/?$rid=7", answer(7, 200)),
            ("$iothub/methods/res/0/?x=1&$rid=7", answer(7, 0)),
            ("$iothub/methods/res/200/?$rid=x", Publish::Refused(TopicRefusal::RequestId)),
            ("$iothub/methods/res/-1/?$rid=7", answer(7, -1)),
            ("$iothub/methods/res/70000/?$rid=7", answer(7, 70_000)),
            ("$iothub/methods/res/ok/?$rid=7", Publish::Refused(TopicRefusal::Status)),
            ("$iothub/methods/POST/dim/?$rid=7", Publish::Refused(TopicRefusal::NoHubTopic)),
            ("$iothub/twin/GET/?$rid=a-b", Publish::GetTwin { rid: "a-b" }),
            ("$iothub/twin/PATCH/properties/reported/?$rid=4&$version=2", Publish::StatePatch { rid: "4" }),
            ("$iothub/twin/PATCH/properties/desired/?$rid=4", Publish::Refused(TopicRefusal::NoHubTopic)),
            ("$iothub/twin/GET/?rid=4", Publish::Refused(TopicRefusal::RequestId)),
            ("$iothub/twin/GET/", Publish::Refused(TopicRefusal::RequestId)),
        ] {
            assert_eq!(publish(Some(&lamp()), topic, false), expect, "{topic}");
        }
        let retained = publish(Some(&lamp()), "devices/lamp-1/messages/events/", true);
        assert_eq!(retained, event(&[("mqtt-retain", "true")]));
        assert_eq!(publish(None, "devices/lamp-1/messages/events/", false), Publish::Refused(TopicRefusal::NoDevice));
    }

    #[test]
    fn a_will_is_an_event_that_says_so() {
        let properties = will(&lamp(), "devices/lamp-1/messages/events/a=1").unwrap();
        assert_eq!(properties, [("a".into(), "1".into()), ("iothub-MessageType".into(), "Will".into())]);
        assert!(will(&lamp(), "devices/lamp-2/messages/events/").is_err());
        assert!(will(&lamp(), "$iothub/twin/GET/?$rid=1").is_err());
    }

    #[test]
    fn subscriptions_are_read() {
        for (filter, expect) in [
            ("devices/lamp-1/messages/devicebound/#", Subscribe::Downlink(DownlinkKind::Commands)),
            ("$iothub/methods/POST/#", Subscribe::Downlink(DownlinkKind::Methods)),
            ("$iothub/twin/res/#", Subscribe::Replies),
            ("$iothub/twin/PATCH/properties/desired/#", Subscribe::Downlink(DownlinkKind::Config)),
            ("devices/lamp-2/messages/devicebound/#", Subscribe::Refused(TopicRefusal::OtherDevice)),
            ("devices/+/messages/devicebound/#", Subscribe::Refused(TopicRefusal::OtherDevice)),
            ("devices/lamp-1/messages/events/#", Subscribe::Refused(TopicRefusal::NoHubTopic)),
            ("$iothub/#", Subscribe::Refused(TopicRefusal::NoHubTopic)),
            ("#", Subscribe::Refused(TopicRefusal::NoHubTopic)),
        ] {
            assert_eq!(subscribe(Some(&lamp()), filter), expect, "{filter}");
        }
    }

    #[test]
    fn deliveries_have_their_topics() {
        let expires = Instant::now();
        let method = |name: &str| OutboundCall { rid: 7, name: name.into(), payload: Bytes::new(), expires }.into();
        let command = |properties: &[(&str, &str)]| {
            Outbound::from(OutboundCommand {
                num: 1,
                id: "c-1".into(),
                subfolder: "a/b".into(),
                payload: Bytes::new(),
                properties: properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
                again: false,
                expires: None,
            })
        };
        let bag = "%24.to=%2Fdevices%2Flamp-1%2Fmessages%2Fdevicebound&%24.mid=c-1&subfolder=a%2Fb";
        for (item, expect) in [
            (Outbound::Config(config_version(3, "")), "$iothub/twin/PATCH/properties/desired/?$version=3"),
            (method("dim"), "$iothub/methods/POST/dim/?$rid=7"),
            (method("thermostat1*reboot"), "$iothub/methods/POST/thermostat1*reboot/?$rid=7"),
            (command(&[]), &format!("devices/lamp-1/messages/devicebound/{bag}")),
            (
                command(&[("$message-id", "m"), ("$content-type", "a/b"), ("iothub-ack", "full"), ("x", "ü")]),
                "devices/lamp-1/messages/devicebound/%24.to=%2Fdevices%2Flamp-1%2Fmessages%2Fdevicebound&subfolder=a%2Fb\
                 &%24.mid=m&%24.ct=a%2Fb&iothub-ack=full&x=%C3%BC",
            ),
        ] {
            assert_eq!(topic(&lamp(), &item).concat(), expect);
        }
        assert_eq!(reply_topic(204, "4", Some(2)), "$iothub/twin/res/204/?$rid=4&$version=2");
        assert_eq!(reply_topic(200, "a", None), "$iothub/twin/res/200/?$rid=a");
    }
}
