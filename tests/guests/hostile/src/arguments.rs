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
        "registry.get" => debug_text(&registry::get(&text)),
        "registry.list-pattern" => debug_text(&registry::list(&text, None, 10)),
        "registry.list-after" => debug_text(&registry::list("*", Some(&text), 10)),
        "registry.list-limit#" => debug_text(&registry::list("*", None, few)),
        "config.get" => debug_text(&config::get(&text)),
        "config.set-device" => debug_text(&config::set(&text, b"", None)),
        "config.set-payload" => debug_text(&config::set("lamp-1", bytes, None)),
        "config.set-expected#" => debug_text(&config::set("lamp-1", b"", Some(number))),
        "command.send-device" => debug_text(&command::send(&text, b"", &options("", 1))),
        "command.send-payload" => debug_text(&command::send("lamp-1", bytes, &options("", 1))),
        "command.send-subfolder" => debug_text(&command::send("lamp-1", b"", &options(&text, 1))),
        "command.send-with-properties" => {
            debug_text(&command::send_with("lamp-1", b"", &options("", 1), &[named(&text)]))
        }
        "command.send-ttl#" => debug_text(&command::send("lamp-1", b"", &options("", number))),
        "method.call-device" => debug_text(&method::call(&text, "m", b"", 10)),
        "method.call-name" => debug_text(&method::call("lamp-1", &text, b"", 10)),
        "method.call-payload" => debug_text(&method::call("lamp-1", "m", bytes, 10)),
        "method.call-timeout#" => debug_text(&method::call("lamp-1", "m", b"", few)),
        "twin.get" => debug_text(&twin::get(&text)),
        "twin.patch-device" => debug_text(&twin::patch_desired(&text, "{}", None)),
        "twin.patch" => debug_text(&twin::patch_desired("lamp-1", &text, None)),
        "state.get" => debug_text(&state::get(&text)),
        "state.set-key" => debug_text(&state::set(&text, b"", None)),
        "state.set-value" => debug_text(&state::set("k", bytes, None)),
        "state.delete" => debug_text(&state::delete(&text)),
        "state.keys-prefix" => debug_text(&state::keys(&text, None, 10)),
        "state.keys-after" => debug_text(&state::keys("", Some(&text), 10)),
        "state.keys-limit#" => debug_text(&state::keys("", None, few)),
        "timer.set-name" => debug_text(&timer::set(&text, &timer::Schedule::After(1), b"")),
        "timer.set-payload" => debug_text(&timer::set("t", &timer::Schedule::After(1), bytes)),
        "timer.set-after#" => debug_text(&timer::set("t", &timer::Schedule::After(number), b"")),
        "timer.set-at#" => debug_text(&timer::set("t", &timer::Schedule::At(number), b"")),
        "timer.set-every#" => debug_text(&timer::set("t", &timer::Schedule::Every(number), b"")),
        "timer.set-cron" => debug_text(&cron(&text, "UTC")),
        "timer.set-zone" => debug_text(&cron("* * * * *", &text)),
        "timer.cancel" => debug_text(&timer::cancel(&text)),
        "topic.publish-topic" => debug_text(&topic::publish(&text, b"", quiet)),
        "topic.publish-payload" => debug_text(&topic::publish("alerts/x", bytes, quiet)),
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

fn debug_text<T: std::fmt::Debug, E: std::fmt::Debug>(answer: &Result<T, E>) -> String {
    match answer {
        Ok(_) => "Ok".into(),
        Err(error) => format!("{error:?}").chars().take(500).collect(),
    }
}
