//! What the API does with the bodies of its clients, without a client.

use super::{
    convert::{DeviceIn, RegistryIn},
    edit,
};

/// The first byte says what the body is for.
pub fn api_bodies(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            if let Ok(device) = serde_json::from_slice::<DeviceIn>(body) {
                let _ = device.spec();
            }
        }
        1 => {
            let _ = serde_json::from_slice::<RegistryIn>(body);
        }
        _ => {
            let Ok(text) = std::str::from_utf8(body) else { return };
            let _ = edit::set_enabled(text, true);
        }
    }
}
