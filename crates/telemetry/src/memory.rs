//! The traces that events belong to which did not begin them: bounded, the oldest are forgotten.

use std::collections::{HashMap, VecDeque};

use switchbox_model::{Seq, limits};

use super::context::Context;

/// What is remembered, by the event's number.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: HashMap<Seq, Context>,
    order: VecDeque<Seq>,
}

impl Memory {
    pub(crate) fn get(&self, seq: Seq) -> Option<Context> {
        self.known.get(&seq).copied()
    }

    pub(crate) fn insert(&mut self, seq: Seq, context: Context) {
        if self.known.insert(seq, context).is_some() {
            return;
        }
        self.order.push_back(seq);
        if self.order.len() > limits::TRACE_CONTEXTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut memory = Memory::default();
        let context = Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let most = limits::TRACE_CONTEXTS as u64;
        for seq in 0..=most {
            memory.insert(Seq(seq), context);
            memory.insert(Seq(seq), context);
        }
        assert_eq!((memory.get(Seq(0)), memory.get(Seq(1))), (None, Some(context)));
        assert_eq!((memory.known.len(), memory.order.len()), (limits::TRACE_CONTEXTS, limits::TRACE_CONTEXTS));
    }
}
