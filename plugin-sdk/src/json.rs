//! Values of a plugin's own types, as the JSON that the host keeps.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Invalid(format!("no JSON can be made of it: {e}")))
}

pub(crate) fn to_json_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Invalid(format!("no JSON can be made of it: {e}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::Invalid(format!("what is stored is other JSON: {e}")))
}
