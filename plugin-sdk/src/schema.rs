//! What a plugin says of its settings: fields with bounds, for the host's check and for a form.

use crate::{
    Plugin,
    schema_bindings::exports::switchbox::plugin::settings_schema::{self as wit, Kind, Length, Range},
};

/// A plugin that says what its settings may be. The host refuses others before the plugin sees them, and the console shows a form with
/// titles, bounds and choices. `switchbox_plugin::export!(MyPlugin, settings_schema);` exports it.
pub trait SettingsSchema: Plugin {
    /// In the order in which they are shown. A setting without a field may be any JSON.
    fn fields() -> Vec<Field>;
}

/// One setting, built up in one expression:
///
/// ```
/// # use switchbox_plugin::Field;
/// Field::number("hysteresis", "Hysteresis, °C").between(0.1, 9.9).help("How far it may be off before the heater is switched.");
/// ```
#[derive(Debug, Clone)]
pub struct Field(wit::Field);

impl Field {
    fn new(name: &str, title: &str, kind: Kind) -> Self {
        Self(wit::Field { name: name.into(), title: title.into(), help: String::new(), kind })
    }

    /// `name` is that of the setting, `title` a short text for display.
    #[must_use]
    pub fn text(name: &str, title: &str) -> Self {
        Self::new(name, title, Kind::Text(Length { least: 0, most: None }))
    }

    #[must_use]
    pub fn number(name: &str, title: &str) -> Self {
        Self::new(name, title, Kind::Number(Range { least: None, most: None, whole: false }))
    }

    /// True or false.
    #[must_use]
    pub fn flag(name: &str, title: &str) -> Self {
        Self::new(name, title, Kind::Flag)
    }

    /// One of these texts.
    #[must_use]
    pub fn choice(name: &str, title: &str, of: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(name, title, Kind::Choice(of.into_iter().map(Into::into).collect()))
    }

    /// A sentence that is shown beside the field.
    #[must_use]
    pub fn help(mut self, text: &str) -> Self {
        self.0.help = text.into();
        self
    }

    /// A number's bounds, or those of a text's length in characters; both ends belong to it.
    #[must_use]
    pub fn between(mut self, least: f64, most: f64) -> Self {
        match &mut self.0.kind {
            Kind::Number(range) => (range.least, range.most) = (Some(least), Some(most)),
            Kind::Text(length) => (length.least, length.most) = (least as u32, Some(most as u32)),
            Kind::Flag | Kind::Choice(_) => {}
        }
        self
    }

    /// A number without a fraction.
    #[must_use]
    pub fn whole(mut self) -> Self {
        if let Kind::Number(range) = &mut self.0.kind {
            range.whole = true;
        }
        self
    }

    /// A text that is not empty.
    #[must_use]
    pub fn required(mut self) -> Self {
        if let Kind::Text(length) = &mut self.0.kind {
            length.least = length.least.max(1);
        }
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn into_wit(self) -> wit::Field {
        self.0
    }
}
