//! Between the exports of the component and the trait: settings from JSON, types to and fro. Used by [`export!`] and by
//! the test harness.
//!
//! [`export!`]: crate::export

use crate::{
    Event, Host, Plugin,
    bindings::exports::switchbox::plugin::handler::{Description, Disposition},
};

/// What [`export!`](crate::export) comes to where there is nothing to export: the compiler says what is missing.
pub const fn assert_plugin<P: Plugin>() {}

/// `describe` has no way to refuse settings: what cannot be read is described as the defaults are, and `start`, which
/// comes next, says what is wrong.
#[must_use]
pub fn describe<P: Plugin>(name: &str, version: &str, settings: &str) -> Description {
    let settings: P::Settings = serde_json::from_str(settings).unwrap_or_default();
    let defaults = serde_json::to_string(&P::Settings::default()).unwrap_or_else(|_| "{}".into());
    P::describe(&settings).into_wit(name, version, defaults)
}

pub fn start<P: Plugin>(settings: &str) -> Result<P, String> {
    P::start(serde_json::from_str(settings).map_err(|e| format!("settings: {e}"))?)
}

pub fn on_event<P: Plugin>(plugin: Option<&mut P>, event: &Event, host: &Host) -> Result<(), Disposition> {
    let Some(plugin) = plugin else {
        return Err(Disposition::Retry("the host did not start the plugin".into()));
    };
    plugin.on_event(event, host).map_err(Into::into)
}
