//! The plugin's own durable keys and values. Writes are part of the event's effects; reads see them at once.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Result,
    backend::Backend,
    json::{from_json, to_json},
    values::Entry,
};

/// From [`Host::state`](crate::Host::state).
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    backend: &'a Backend,
}

impl<'a> State<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// The value and its revision.
    pub fn entry(&self, key: &str) -> Result<Option<Entry>> {
        self.backend.state_get(key)
    }

    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// The value as JSON of a type of yours.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.entry(key)?.map(|entry| from_json(&entry.value)).transpose()
    }

    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.backend.state_set(key, value.as_ref(), None)
    }

    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<()> {
        self.backend.state_set(key, &to_json(value)?, None)
    }

    /// Writes if `revision` is in force (0 = the key must not exist), otherwise returns [`Error::Conflict`](crate::Error::Conflict).
    pub fn set_if(&self, key: &str, revision: u64, value: impl AsRef<[u8]>) -> Result<()> {
        self.backend.state_set(key, value.as_ref(), Some(revision))
    }

    /// A key that is not there is fine.
    pub fn delete(&self, key: &str) -> Result<()> {
        self.backend.state_delete(key)
    }

    /// Keys that begin with `prefix`, in order, after `after`; at most `limit` (1 to 1000).
    pub fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        self.backend.state_keys(prefix, after, limit)
    }
}
