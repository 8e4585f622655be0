//! The components that the tests put into plugin folders.

use switchbox::builtins;

/// Counts the events of each device; see `guests/counter`.
pub const COUNTER: &str = env!("GUEST_COUNTER");
/// Does what the device `boss` says; see `guests/deputy`.
pub const DEPUTY: &str = env!("GUEST_DEPUTY");
/// Misbehaves on request; see `guests/hostile`.
pub const HOSTILE: &str = env!("GUEST_HOSTILE");

/// Does what its settings say; see `guests/puppet`.
pub const PUPPET: &str = env!("GUEST_PUPPET");

/// The bytes of a built-in.
///
/// # Panics
///
/// When there is no such built-in.
#[must_use]
pub fn component_of(builtin: &str) -> Vec<u8> {
    builtins::find(builtin).unwrap_or_else(|| panic!("there is no builtin:{builtin}")).to_vec()
}

/// The same component with a custom section more: it does the same under another digest.
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
