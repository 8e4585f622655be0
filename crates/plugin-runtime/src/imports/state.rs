//! The plugin's own durable keys. Writes are collected; later reads of the same execution see them.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            state::{Entry, Host},
            types::Error,
        },
        call_state::Phase,
        execution::KvChange,
        host,
        sandbox::StoreData,
    },
    args::Of as _,
    expect,
};
use switchbox_model::limits::KV_BYTES;
use switchbox_rules::calls::{self, KEY, LIST, VALUE};

impl Host for StoreData {
    fn get(&mut self, key: String) -> Result<Option<Entry>, Error> {
        let host = self.admit([KEY.of(&key)])?;
        self.checked(calls::key(&key))?;
        Ok(self.read(&*host, &key).map(|(value, revision)| Entry { value: value.to_vec(), revision }))
    }

    fn set(&mut self, key: String, value: Vec<u8>, expected: Option<u64>) -> Result<(), Error> {
        let host = self.admit_write([KEY.of(&key), VALUE.of(&value)])?;
        self.checked(calls::key(&key))?;
        self.write(&host, key, Some(value.into()), expected)
    }

    fn delete(&mut self, key: String) -> Result<(), Error> {
        let host = self.admit_write([KEY.of(&key)])?;
        self.checked(calls::key(&key))?;
        match self.read(&*host, &key) {
            Some(_) => self.write(&host, key, None, None),
            None => Ok(()),
        }
    }

    fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Vec<String>, Error> {
        let host = self.admit([KEY.of(&prefix), KEY.of(&after), LIST.of(&limit)])?;
        let limit = self.checked(calls::list_size(limit))?;
        let deleted = self.call.overlay.values().filter(|(value, _)| value.is_none()).count();
        let stored = host.kv_keys(&self.setup.name, &prefix, after.as_deref(), limit + deleted);
        let overlay = &self.call.overlay;
        let from = after.map_or_else(|| Bound::Included(prefix.clone()), Bound::Excluded);
        let written = overlay
            .range((from, Bound::Unbounded))
            .filter(|(key, (value, _))| value.is_some() && key.starts_with(&prefix));
        let mut keys: Vec<String> = written.map(|(key, _)| key.clone()).collect();
        keys.extend(stored.into_iter().filter(|key| !overlay.contains_key(key)));
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }
}

impl StoreData {
    fn read(&self, host: &dyn host::HostCalls, key: &str) -> Option<(Bytes, u64)> {
        match self.call.overlay.get(key) {
            Some((value, revision)) => value.clone().map(|value| (value, *revision)),
            None => host.kv_get(&self.setup.name, key),
        }
    }

    fn write(
        &mut self,
        host: &Arc<dyn host::HostCalls>,
        key: String,
        value: Option<Bytes>,
        expected: Option<u64>,
    ) -> Result<(), Error> {
        let before = self.read(&**host, &key);
        let in_force = before.as_ref().map_or(0, |(_, revision)| *revision);
        expect(expected, || in_force)?;
        let size = |value: Option<&Bytes>| value.map_or(0, |value| key.len() + value.len());
        let used = self.call.kv_bytes.unwrap_or_else(|| host.kv_bytes(&self.setup.name));
        let used = (used + size(value.as_ref())).saturating_sub(size(before.as_ref().map(|(value, _)| value)));
        if used > KV_BYTES && value.is_some() {
            return Err(self.call.refused(calls::state_too_large()));
        }
        let migrates = self.call.phase == Phase::Migration;
        if !migrates {
            self.check_effects()?;
        }
        self.call.kv_bytes = Some(used);
        self.call.overlay.insert(key.clone(), (value.clone(), in_force + 1));
        // A migration's writes are taken from the overlay, so that many writes of one key take the room of one.
        if migrates {
            return Ok(());
        }
        self.call.kv.push(KvChange { key, value, expected });
        Ok(())
    }
}
