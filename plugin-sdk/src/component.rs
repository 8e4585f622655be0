//! Between the exports of the component and the trait: settings from JSON, types to and fro. Used by [`export!`] and by
//! the test harness.
//!
//! [`export!`]: crate::export

use crate::{
    Event, Field, Host, Migration, Plugin, SettingsSchema,
    bindings::exports::switchbox::plugin::handler::{Description, Disposition},
    migration_bindings::exports::switchbox::plugin::migration::Schemas,
    schema_bindings::exports::switchbox::plugin::settings_schema as wit,
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

#[must_use]
pub fn fields<P: SettingsSchema>() -> Vec<wit::Field> {
    P::fields().into_iter().map(Field::into_wit).collect()
}

#[must_use]
pub fn schemas<P: Migration>() -> Schemas {
    P::schemas().into_wit()
}

pub fn migrate_up<P: Migration>(from: u32, host: &Host) -> Result<(), String> {
    P::up(from, &host.state()).map_err(|error| error.to_string())
}

pub fn migrate_down<P: Migration>(to: u32, host: &Host) -> Result<(), String> {
    P::down(to, &host.state()).map_err(|error| error.to_string())
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

/// Makes the component of a plugin: `switchbox_plugin::export!(MyPlugin);`, once in a crate of type `cdylib`. Its name
/// and version are the package's. `export!(MyPlugin, settings_schema);` exports its [`SettingsSchema`] as well,
/// `export!(MyPlugin, migration);` its [`Migration`], and `export!(MyPlugin, settings_schema, migration);` both.
#[macro_export]
macro_rules! export {
    ($plugin:ty, settings_schema, migration) => {
        $crate::export!($plugin, settings_schema);
        $crate::export_migration_of!($plugin);
    };
    ($plugin:ty, migration) => {
        $crate::export!($plugin);
        $crate::export_migration_of!($plugin);
    };
    ($plugin:ty, settings_schema) => {
        $crate::export!($plugin);

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "exported functions of the canonical ABI")]
        const _: () = {
            struct Schema;

            impl $crate::schema_bindings::exports::switchbox::plugin::settings_schema::Guest for Schema {
                fn fields()
                -> ::std::vec::Vec<$crate::schema_bindings::exports::switchbox::plugin::settings_schema::Field>
                {
                    $crate::component::fields::<$plugin>()
                }
            }

    $crate::schema_bindings::export_schema!(Schema with_types_in $crate::schema_bindings);
        };
    };
    ($plugin:ty) => {
        // The generated exports take pointers from the host, as the canonical ABI has it; nothing else here is unsafe.
        // Their names are none that a linker takes elsewhere.
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "exported functions of the canonical ABI")]
        const _: () = {
            ::std::thread_local! {
                // A component has one thread.
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Component;

            impl $crate::bindings::exports::switchbox::plugin::handler::Guest for Component {
                fn describe(
                    settings: ::std::string::String,
                ) -> $crate::bindings::exports::switchbox::plugin::handler::Description {
                    $crate::component::describe::<$plugin>(
                        ::std::env!("CARGO_PKG_NAME"),
                        ::std::env!("CARGO_PKG_VERSION"),
                        &settings,
                    )
                }

                fn start(settings: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    let plugin = $crate::component::start::<$plugin>(&settings)?;
                    INSTANCE.set(::std::option::Option::Some(plugin));
                    ::std::result::Result::Ok(())
                }

                fn on_event(
                    event: $crate::Event,
                ) -> ::std::result::Result<(), $crate::bindings::exports::switchbox::plugin::handler::Disposition>
                {
                    INSTANCE.with_borrow_mut(|plugin| {
                        $crate::component::on_event(plugin.as_mut(), &event, &$crate::Host::new())
                    })
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// What [`export!`](crate::export) adds for a [`Migration`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_migration_of {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "exported functions of the canonical ABI")]
        const _: () = {
            struct Migrates;

            impl $crate::migration_bindings::exports::switchbox::plugin::migration::Guest for Migrates {
                fn describe() -> $crate::migration_bindings::exports::switchbox::plugin::migration::Schemas {
                    $crate::component::schemas::<$plugin>()
                }

                fn up(older: u32) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::component::migrate_up::<$plugin>(older, &$crate::Host::new())
                }

                fn down(to: u32) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::component::migrate_down::<$plugin>(to, &$crate::Host::new())
                }
            }

    $crate::migration_bindings::export_migration!(Migrates with_types_in $crate::migration_bindings);
        };
    };
}
