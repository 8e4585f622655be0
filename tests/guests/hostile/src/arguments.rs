//! Arguments of every size for every call of the host: the size and what the text is made of are the test's to say.

use crate::bindings::switchbox::plugin::{
    command, config, log, method, registry, state, timer, topic, twin, types::Property,
};

/// Makes one call with one argument of this many bytes (or with this number), and reports the result.
pub(crate) fn argue(call: &str, size: usize, unit: &str) -> String {
    let text = match call.ends_with('#') {
        true => String::new(),
        false => unit.repeat(size / unit.len().max(1) + 1).chars().take(size).collect(),
    };
    let (number, few) = (size as u64, u32::try_from(size).unwrap_or(u32::MAX));
    let bytes = text.as_bytes();
    let options = |subfolder: &str, ttl_ms| command::Options { subfolder: subfolder.into(), ttl_ms };
    let cron = |expression: &str, time_zone: &str| {
        let (expression, time_zone) = (expression.into(), time_zone.into());
        timer::set("t", &timer::Schedule::Cron(timer::Cron { expression, time_zone }), b"")
    };
    let quiet = topic::Options { qos: 0, retain: false };
    match call {
        "registry.get" => said(&registry::get(&text)),
        "registry.list-pattern" => said(&registry::list(&text, None, 10)),
        "registry.list-after" => said(&registry::list("*", Some(&text), 10)),
        "registry.list-limit#" => said(&registry::list("*", None, few)),
        "config.get" => said(&config::get(&text)),
        "config.set-device" => said(&config::set(&text, b"", None)),
        "config.set-payload" => said(&config::set("lamp-1", bytes, None)),
        "config.set-expected#" => said(&config::set("lamp-1", b"", Some(number))),
        "command.send-device" => said(&command::send(&text, b"", &options("", 1))),
        "command.send-payload" => said(&command::send("lamp-1", bytes, &options("", 1))),
        "command.send-subfolder" => said(&command::send("lamp-1", b"", &options(&text, 1))),
        "command.send-with-properties" => said(&command::send_with("lamp-1", b"", &options("", 1), &[named(&text)])),
        "command.send-ttl#" => said(&command::send("lamp-1", b"", &options("", number))),
        "method.call-device" => said(&method::call(&text, "m", b"", 10)),
        "method.call-name" => said(&method::call("lamp-1", &text, b"", 10)),
        "method.call-payload" => said(&method::call("lamp-1", "m", bytes, 10)),
        "method.call-timeout#" => said(&method::call("lamp-1", "m", b"", few)),
        "twin.get" => said(&twin::get(&text)),
        "twin.patch-device" => said(&twin::patch_desired(&text, "{}", None)),
        "twin.patch" => said(&twin::patch_desired("lamp-1", &text, None)),
        "state.get" => said(&state::get(&text)),
        "state.set-key" => said(&state::set(&text, b"", None)),
        "state.set-value" => said(&state::set("k", bytes, None)),
        "state.delete" => said(&state::delete(&text)),
        "state.keys-prefix" => said(&state::keys(&text, None, 10)),
        "state.keys-after" => said(&state::keys("", Some(&text), 10)),
        "state.keys-limit#" => said(&state::keys("", None, few)),
        "timer.set-name" => said(&timer::set(&text, &timer::Schedule::After(1), b"")),
        "timer.set-payload" => said(&timer::set("t", &timer::Schedule::After(1), bytes)),
        "timer.set-after#" => said(&timer::set("t", &timer::Schedule::After(number), b"")),
        "timer.set-at#" => said(&timer::set("t", &timer::Schedule::At(number), b"")),
        "timer.set-every#" => said(&timer::set("t", &timer::Schedule::Every(number), b"")),
        "timer.set-cron" => said(&cron(&text, "UTC")),
        "timer.set-zone" => said(&cron("* * * * *", &text)),
        "timer.cancel" => said(&timer::cancel(&text)),
        "topic.publish-topic" => said(&topic::publish(&text, b"", quiet)),
        "topic.publish-payload" => said(&topic::publish("alerts/x", bytes, quiet)),
        "log.write" => {
            log::write(log::Level::Info, &text);
            "Ok".into()
        }
        other => format!("there is no call {other}"),
    }
}

/// A property whose name and value are as long as the text.
fn named(text: &str) -> Property {
    let (name, value) = text.split_at_checked(1).unwrap_or_default();
    Property { name: name.into(), value: value.into() }
}

fn said<T: std::fmt::Debug, E: std::fmt::Debug>(answer: &Result<T, E>) -> String {
    match answer {
        Ok(_) => "Ok".into(),
        Err(error) => format!("{error:?}").chars().take(500).collect(),
    }
}
