//! The traces of what did not begin them: bounded, the oldest are forgotten.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicBool, AtomicU16, Ordering},
};

use switchbox_model::limits;

use super::{context::Context, key::Key};

/// Slots of a [`Filter`]: four for each key that is remembered, so that few of the others share one.
const SLOTS: usize = 4 * limits::TRACE_CONTEXTS;

/// Which keys are not remembered, without a lock. It counts the remembered keys of each slot.
#[derive(Debug)]
pub(crate) struct Filter {
    any: AtomicBool,
    slots: Box<[AtomicU16]>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), slots: (0..SLOTS).map(|_| AtomicU16::new(0)).collect() }
    }
}

impl Filter {
    /// False for a key that is not remembered. True for one that is, and for some others.
    #[inline]
    pub(crate) fn may_have(&self, key: Key) -> bool {
        self.any.load(Ordering::Relaxed) && self.slot(key).is_some_and(|slot| slot.load(Ordering::Relaxed) > 0)
    }

    fn slot(&self, key: Key) -> Option<&AtomicU16> {
        self.slots.get(usize::try_from(key.hash()).unwrap_or(0) % SLOTS)
    }

    fn add(&self, key: Key) {
        self.any.store(true, Ordering::Relaxed);
        if let Some(slot) = self.slot(key) {
            slot.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, key: Key) {
        if let Some(slot) = self.slot(key) {
            slot.fetch_sub(1, Ordering::Relaxed);
        }
    }
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
    pub(crate) fn insert(&mut self, key: Key, context: Context, filter: &Filter) -> bool {
        if self.known.insert(key, context).is_some() {
            return true;
        }
        filter.add(key);
        self.order.push_back(key);
        if self.order.len() <= limits::TRACE_CONTEXTS {
            return true;
        }
        if let Some(oldest) = self.order.pop_front() {
            self.known.remove(&oldest);
            filter.remove(oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use switchbox_model::Seq;

    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let (mut memory, filter) = (Memory::default(), Filter::default());
        assert!(!filter.may_have(Key::Event(Seq(0))));
        let context = Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let max = limits::TRACE_CONTEXTS as u64;
        for seq in 0..=max {
            let key = Key::Event(Seq(seq));
            assert_eq!(memory.insert(key, context, &filter), seq < max);
            assert!(memory.insert(key, context, &filter) && filter.may_have(key));
        }
        assert_eq!((memory.get(Key::Event(Seq(0))), memory.get(Key::Event(Seq(1)))), (None, Some(context)));
        assert_eq!((memory.known.len(), memory.order.len()), (limits::TRACE_CONTEXTS, limits::TRACE_CONTEXTS));
        assert!(!filter.may_have(Key::Event(Seq(0))), "what was forgotten leaves nothing behind");
        let counted: u64 = filter.slots.iter().map(|slot| u64::from(slot.load(Ordering::Relaxed))).sum();
        assert_eq!(counted, max);
    }
}
