//! The traces of what did not begin them: bounded, the oldest are forgotten.

use std::collections::{HashMap, VecDeque};

use switchbox_model::{DeviceNum, Seq, limits};

use super::context::Context;

/// What belongs to a trace that it did not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Event(Seq),
    /// An operator's config: its device, and when it was asked for, milliseconds since the Unix epoch.
    Config(DeviceNum, u64),
    /// An operator's command, by the hash of its id.
    Command(u64),
    /// A method call that a device is sent.
    Method(u64),
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: HashMap<Key, Context>,
    order: VecDeque<Key>,
}

impl Memory {
    pub(crate) fn get(&self, key: Key) -> Option<Context> {
        self.known.get(&key).copied()
    }

    /// Returns false if an older one was forgotten for it.
    pub(crate) fn insert(&mut self, key: Key, context: Context) -> bool {
        if self.known.insert(key, context).is_some() {
            return true;
        }
        self.order.push_back(key);
        if self.order.len() <= limits::TRACE_CONTEXTS {
            return true;
        }
        if let Some(oldest) = self.order.pop_front() {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut memory = Memory::default();
        let context = Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let max = limits::TRACE_CONTEXTS as u64;
        for seq in 0..=max {
            let key = Key::Event(Seq(seq));
            assert_eq!(memory.insert(key, context), seq < max);
            assert!(memory.insert(key, context));
        }
        assert_eq!((memory.get(Key::Event(Seq(0))), memory.get(Key::Event(Seq(1)))), (None, Some(context)));
        assert_eq!((memory.known.len(), memory.order.len()), (limits::TRACE_CONTEXTS, limits::TRACE_CONTEXTS));
    }
}
