//! The topics of Google Cloud IoT Core and ClearBlade IoT Core, with methods as Switchbox adds them (docs/devices.md, "Topics").
//! Pure.

use std::borrow::Cow;

use super::operation::{Control, Publish, Subscribe, TopicRefusal};
use switchbox_delivery::{DownlinkKind, Outbound};
use switchbox_model::{DeviceId, QoS, event::FILE_UPLOADED};

const ROOT: &str = "/devices/";

/// Strips `/devices/{d}/`. `None` if the topic is an ordinary one.
fn own<'a>(device: Option<&DeviceId>, topic: &'a str) -> Option<Result<&'a str, TopicRefusal>> {
    let rest = topic.strip_prefix(ROOT)?;
    let Some(device) = device else { return Some(Err(TopicRefusal::NoDevice)) };
    let rest = rest.strip_prefix(device.as_str()).and_then(|rest| rest.strip_prefix('/'));
    Some(rest.ok_or_else(|| match topic.split('/').nth(2) {
        Some(id) if id == device.as_str() => TopicRefusal::Unknown,
        _ => TopicRefusal::OtherDevice,
    }))
}

/// The device that a topic or a filter under `/devices/` names. The error is the text in place of a device id. `None` for an ordinary
/// topic.
#[must_use]
pub fn addressee(topic: &str) -> Option<Result<DeviceId, &str>> {
    let id = topic.strip_prefix(ROOT)?.split('/').next().unwrap_or_default();
    Some(DeviceId::new(id).map_err(|_| id))
}

/// Reads the topic of a publish by `device`, or by a client that is not a device.
#[must_use]
pub fn publish<'a>(device: Option<&DeviceId>, topic: &'a str) -> Publish<'a> {
    let rest = match own(device, topic) {
        None => return Publish::Ordinary,
        Some(Err(refused)) => return Publish::Refused(refused),
        Some(Ok(rest)) => rest,
    };
    let (head, tail) = rest.split_once('/').map_or((rest, None), |(head, tail)| (head, Some(tail)));
    match (head, tail) {
        ("events", Some(FILE_UPLOADED)) => Publish::Refused(TopicRefusal::HostsOwn),
        ("events", tail) => Publish::Event { subfolder: tail.unwrap_or_default(), properties: Vec::new() },
        ("state", None) => Publish::State,
        ("attach", None) => Publish::Control(Control::Attach),
        ("detach", None) => Publish::Control(Control::Detach),
        ("methods", Some(tail)) => answer(tail),
        _ => Publish::Refused(TopicRefusal::Unknown),
    }
}

/// `{name}/response[/{rid}[/{status}]]`
fn answer(tail: &str) -> Publish<'_> {
    let mut levels = tail.split('/');
    if levels.next().is_none_or(str::is_empty) || levels.next() != Some("response") {
        return Publish::Refused(TopicRefusal::Unknown);
    }
    let (rid, status) = (levels.next(), levels.next());
    let parsed = (rid.map(str::parse).transpose(), status.map(str::parse).transpose(), levels.next());
    match parsed {
        (Ok(rid), Ok(status), None) => Publish::Answer { rid, status },
        _ => Publish::Refused(TopicRefusal::Answer),
    }
}

/// Reads the filter of a subscription by `device`, or by a client that is not a device.
#[must_use]
pub fn subscribe(device: Option<&DeviceId>, filter: &str) -> Subscribe {
    match own(device, filter) {
        None => Subscribe::Ordinary,
        Some(Err(refused)) => Subscribe::Refused(refused),
        Some(Ok("config")) => Subscribe::Downlink(DownlinkKind::Config),
        Some(Ok("commands" | "commands/#")) => Subscribe::Downlink(DownlinkKind::Commands),
        Some(Ok("methods/#")) => Subscribe::Downlink(DownlinkKind::Methods),
        Some(Ok("errors")) => Subscribe::Errors,
        Some(Ok(_)) => Subscribe::Refused(TopicRefusal::Unknown),
    }
}

/// The highest QoS of deliveries to a device.
pub const MAX_DOWNLINK_QOS: QoS = QoS::AtLeastOnce;

/// The topic that this is delivered on, in pieces.
#[must_use]
pub fn topic<'a>(device: &'a DeviceId, item: &'a Outbound) -> [Cow<'a, str>; 6] {
    let [first, second, third, fourth]: [Cow<'a, str>; 4] = match item {
        Outbound::Config(_) => ["/config".into(), "".into(), "".into(), "".into()],
        Outbound::Command(command) => {
            let slash = if command.subfolder.is_empty() { "" } else { "/" };
            ["/commands".into(), slash.into(), (&*command.subfolder).into(), "".into()]
        }
        Outbound::Method(call) => {
            ["/methods/".into(), (&*call.name).into(), "/request/".into(), call.rid.to_string().into()]
        }
    };
    [ROOT.into(), device.as_str().into(), first, second, third, fourth]
}

/// The topic of a device's telemetry without a sub-folder.
#[must_use]
pub fn events_topic(device: &DeviceId) -> String {
    format!("{ROOT}{device}/events")
}

/// The response topic of a method call (MQTT 5). Its correlation data is the request id in digits.
#[must_use]
pub fn response_topic(device: &DeviceId, name: &str, rid: u64) -> String {
    format!("{ROOT}{device}/methods/{name}/response/{rid}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use switchbox_delivery::{OutboundCall, OutboundCommand};
    use switchbox_testing::config_version;

    fn lamp() -> DeviceId {
        DeviceId::new("lamp-1").unwrap()
    }

    #[test]
    fn publishes_are_read() {
        let event = |subfolder| Publish::Event { subfolder, properties: Vec::new() };
        let answer = |rid, status| Publish::Answer { rid, status };
        let refused = Publish::Refused;
        for (topic, expect) in [
            ("/devices/lamp-1/events", event("")),
            ("/devices/lamp-1/events/a", event("a")),
            ("/devices/lamp-1/events/a/b", event("a/b")),
            ("/devices/lamp-1/state", Publish::State),
            ("/devices/lamp-1/methods/dim/response/7/200", answer(Some(7), Some(200))),
            ("/devices/lamp-1/methods/dim/response/7", answer(Some(7), None)),
            ("/devices/lamp-1/methods/dim/response", answer(None, None)),
            ("/devices/lamp-1/methods/dim/response/x/200", refused(TopicRefusal::Answer)),
            ("/devices/lamp-1/methods/dim/response/7/0", answer(Some(7), Some(0))),
            ("/devices/lamp-1/methods/dim/response/7/600", answer(Some(7), Some(600))),
            ("/devices/lamp-1/methods/dim/response/7/-1", answer(Some(7), Some(-1))),
            ("/devices/lamp-1/methods/dim/response/7/ok", refused(TopicRefusal::Answer)),
            ("/devices/lamp-1/methods/dim/response/7/200/x", refused(TopicRefusal::Answer)),
            ("/devices/lamp-1/methods/dim/request/7", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1/methods//response/7", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1/state/x", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1/config", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1/eventsx", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1/attach", Publish::Control(Control::Attach)),
            ("/devices/lamp-1/detach", Publish::Control(Control::Detach)),
            ("/devices/lamp-1/attach/x", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-2/attach", refused(TopicRefusal::OtherDevice)),
            ("/devices/lamp-12/events", refused(TopicRefusal::OtherDevice)),
            ("/devices/lamp/events", refused(TopicRefusal::OtherDevice)),
            ("/devices//events", refused(TopicRefusal::OtherDevice)),
            ("/devices/", refused(TopicRefusal::OtherDevice)),
            ("/devices", Publish::Ordinary),
            ("devices/lamp-1/events", Publish::Ordinary),
            ("a/b", Publish::Ordinary),
        ] {
            assert_eq!(publish(Some(&lamp()), topic), expect, "{topic}");
            // A device that a topic names may read it as its own.
            if let Some(Ok(id)) = addressee(topic) {
                let read = publish(Some(&id), topic);
                assert!(
                    !matches!(read, Publish::Ordinary | Publish::Refused(TopicRefusal::OtherDevice)),
                    "{topic}: {read:?}"
                );
            }
        }
        assert_eq!(publish(None, "/devices/lamp-1/events"), refused(TopicRefusal::NoDevice));
        assert_eq!(publish(None, "a"), Publish::Ordinary);
    }

    #[test]
    fn subscriptions_are_read() {
        let refused = Subscribe::Refused;
        for (filter, expect) in [
            ("/devices/lamp-1/config", Subscribe::Downlink(DownlinkKind::Config)),
            ("/devices/lamp-1/commands", Subscribe::Downlink(DownlinkKind::Commands)),
            ("/devices/lamp-1/commands/#", Subscribe::Downlink(DownlinkKind::Commands)),
            ("/devices/lamp-1/methods/#", Subscribe::Downlink(DownlinkKind::Methods)),
            ("/devices/lamp-1/errors", Subscribe::Errors),
            ("/devices/lamp-1/#", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-1/events", refused(TopicRefusal::Unknown)),
            ("/devices/lamp-2/config", refused(TopicRefusal::OtherDevice)),
            ("/devices/+/config", refused(TopicRefusal::OtherDevice)),
            ("/devices/#", refused(TopicRefusal::OtherDevice)),
            ("#", Subscribe::Ordinary),
            ("+/devices/#", Subscribe::Ordinary),
        ] {
            assert_eq!(subscribe(Some(&lamp()), filter), expect, "{filter}");
        }
        assert_eq!(subscribe(None, "/devices/lamp-1/config"), refused(TopicRefusal::NoDevice));
    }

    #[test]
    fn a_topic_names_its_device() {
        for (topic, expect) in [
            ("/devices/lamp-1/events", Some(Ok(lamp()))),
            ("/devices/lamp-1", Some(Ok(lamp()))),
            ("/devices/+/config", Some(Err("+"))),
            ("/devices/#", Some(Err("#"))),
            ("/devices//attach", Some(Err(""))),
            ("/devices/", Some(Err(""))),
            ("/devices", None),
            ("devices/lamp-1/events", None),
        ] {
            assert_eq!(addressee(topic), expect, "{topic}");
        }
    }

    #[test]
    fn deliveries_have_their_topics() {
        let command = |subfolder: &str| {
            Outbound::from(OutboundCommand {
                num: 1,
                id: "1".into(),
                subfolder: subfolder.into(),
                payload: Bytes::new(),
                properties: Box::default(),
                again: false,
                expires: None,
            })
        };
        for (item, expect) in [
            (Outbound::Config(config_version(1, "")), "/devices/lamp-1/config"),
            (command(""), "/devices/lamp-1/commands"),
            (command("a/b"), "/devices/lamp-1/commands/a/b"),
            (
                OutboundCall { rid: 7, name: "dim".into(), payload: Bytes::new(), expires: std::time::Instant::now() }
                    .into(),
                "/devices/lamp-1/methods/dim/request/7",
            ),
        ] {
            assert_eq!(topic(&lamp(), &item).concat(), expect);
        }
        let topic = response_topic(&lamp(), "dim", 7);
        assert_eq!(publish(Some(&lamp()), &topic), Publish::Answer { rid: Some(7), status: None });
    }
}
