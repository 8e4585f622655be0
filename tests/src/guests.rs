//! The components that tests install in plugin folders.

use std::fs;

use switchbox_builtins as builtins;

use crate::HostFolder;

/// Counts the events of each device; see `guests/counter`.
pub const COUNTER: &str = env!("GUEST_COUNTER");
/// Carries out what the device `boss` requests; see `guests/deputy`.
pub const DEPUTY: &str = env!("GUEST_DEPUTY");
/// Misbehaves on request; see `guests/hostile`.
pub const HOSTILE: &str = env!("GUEST_HOSTILE");

/// Counts in a state whose schema a test chooses; see `guests/migrant` and [`migrant`].
const MIGRANT: &str = env!("GUEST_MIGRANT");

/// Carries out the actions in its settings; see `guests/scripted`.
pub const SCRIPTED: &str = env!("GUEST_SCRIPTED");

/// Longer than a guest needs on the busiest machine.
const LONG_DEADLINES: &str = "deadline = \"30s\"\nhost-call-time = \"60s\"\n";

/// Installs the scripted plugin under this name for events of this kind and device, with these actions.
///
/// # Panics
///
/// Panics if the file system fails.
pub fn scripted_plugin(host_folder: &HostFolder, name: &str, trigger: (&str, &str), actions: &str) {
    limited_scripted_plugin(host_folder, name, trigger, "", actions);
}

/// Installs the scripted plugin with additional limits.
///
/// # Panics
///
/// Panics if the file system fails.
pub fn limited_scripted_plugin(
    host_folder: &HostFolder,
    name: &str,
    (event, device): (&str, &str),
    limits: &str,
    actions: &str,
) {
    let trigger = format!("[[trigger]]\nevent = \"{event}\"\ndevice = \"{device}\"\n");
    let settings = format!("{trigger}[limits]\n{LONG_DEADLINES}{limits}\n[settings]\nactions = [{actions}]\n");
    install(host_folder, name, SCRIPTED, settings);
}

/// Runs the scripted plugin under this name for the telemetry of these devices in this sub-folder alone, with these actions.
///
/// # Panics
///
/// When the file system fails.
pub fn subfolder_plugin(host_folder: &HostFolder, name: &str, (device, subfolder): (&str, &str), actions: &str) {
    let trigger = format!("[[trigger]]\nevent = \"telemetry\"\ndevice = \"{device}\"\nsubfolder = \"{subfolder}\"\n");
    let settings = format!("{trigger}[limits]\n{LONG_DEADLINES}\n[settings]\nactions = [{actions}]\n");
    install(host_folder, name, SCRIPTED, settings);
}

/// Runs the deputy under this name.
///
/// # Panics
///
/// Panics if the file system fails.
pub fn deputy(host_folder: &HostFolder, name: &str) {
    install(host_folder, name, DEPUTY, format!("[limits]\n{LONG_DEADLINES}"));
}

fn install(host_folder: &HostFolder, name: &str, component: &str, settings: String) {
    host_folder.plugin(&format!("{name}.toml"), settings);
    host_folder.plugin(&format!("{name}.wasm"), fs::read(component).expect("the guest is not there"));
}

/// The bytes of a built-in.
///
/// # Panics
///
/// Panics if there is no such built-in.
#[must_use]
pub fn component_of(builtin: &str) -> Vec<u8> {
    builtins::find(builtin).unwrap_or_else(|| panic!("there is no builtin:{builtin}")).to_vec()
}

/// The guest that keeps its state in this schema, and goes down to the other one. Both are single digits.
///
/// # Panics
///
/// Panics if the component was built in another way.
#[must_use]
pub fn migrant(schema: u8, down: u8) -> Vec<u8> {
    let mark = b"migrant:schema=0:down=0:";
    let mut bytes = fs::read(MIGRANT).expect("the guest is not there");
    let at = bytes.windows(mark.len()).position(|window| window == mark).expect("the guest has no mark");
    let replacement = format!("migrant:schema={schema}:down={down}:");
    bytes[at..at + mark.len()].copy_from_slice(replacement.as_bytes());
    bytes
}

/// Adds a custom section to the component. Its digest changes, and its behaviour does not.
#[must_use]
pub fn stamped(component: &[u8], mark: &str) -> Vec<u8> {
    let name = b"mark";
    let size = 1 + name.len() + mark.len();
    assert!(size < 0x80, "the mark is too long for a section's size of one byte");
    let mut bytes = component.to_vec();
    bytes.extend([0, size as u8, name.len() as u8]);
    bytes.extend(name);
    bytes.extend(mark.as_bytes());
    bytes
}
