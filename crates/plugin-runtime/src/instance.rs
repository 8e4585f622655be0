//! One running guest, which handles one event at a time and returns its effects. The caller applies them. A guest that trapped is not
//! called again.

use std::{pin::pin, sync::Arc, time::Instant};

use wasmtime::{
    Store,
    component::{Func, TypedFunc},
};

use super::{
    bindings::{events, exports::exports::switchbox::plugin::handler::Disposition},
    convert,
    execution::{Call, Execution, Verdict},
    limits::names,
    meter::Metered,
    sandbox::{self, StoreData},
    text,
};
use switchbox_support::tasks;

/// A started guest. Handles one event at a time. Dropping it returns its memory to the pool.
pub struct Instance {
    store: Store<StoreData>,
    on_event: OnEvent,
    poisoned: bool,
}

/// The guest's `on-event`. Its type is checked once, not for every event.
pub(super) struct OnEvent(Func);

type Handled = (Result<(), Disposition>,);

impl OnEvent {
    pub(super) fn new(func: Func, store: &Store<StoreData>) -> wasmtime::Result<Self> {
        func.typed::<(events::Event<'static>,), Handled>(store)?;
        Ok(Self(func))
    }

    #[allow(unsafe_code, reason = "`new` has checked the type, which does not depend on the lifetime")]
    fn typed<'a>(&self) -> TypedFunc<(events::Event<'a>,), Handled> {
        // SAFETY: see the reason above.
        unsafe { TypedFunc::new_unchecked(self.0) }
    }
}

impl Instance {
    pub(super) fn new(store: Store<StoreData>, on_event: OnEvent) -> Self {
        let (_, _) = store.data().output.take();
        Self { store, on_event, poisoned: false }
    }

    /// Returns true after a trap, a timeout, or a call whose future was dropped: the instance has to be replaced.
    #[must_use]
    pub fn poisoned(&self) -> bool {
        self.poisoned
    }

    /// Bytes of the guest's memories.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }

    /// Gives the guest one event.
    pub async fn handle(&mut self, call: Call<'_>) -> Execution {
        if self.poisoned {
            return self.execution(Verdict::GuestFailed("the instance was used after it failed".into()), None);
        }
        self.poisoned = true;
        let state = self.store.data_mut();
        let home = call.device.map(|device| &device.registry);
        state.call.begin(call.event.seq, call.attempt, call.event.time_ms, home);
        let deadline = state.setup.limits.deadline;
        let home = state.call.home.clone();
        let meter = Arc::clone(&state.meter);
        sandbox::arm(&mut self.store, deadline);
        let mut properties = Vec::new();
        let event = convert::event(&call, &home, &mut properties);
        let on_event = self.on_event.typed();
        let handled = {
            // Pinned before it is handed on, because each move of a call's future copies all of it.
            let call = pin!(on_event.call_async(&mut self.store, (event,)));
            tasks::caught(Metered { meter: &meter, call }).await
        };
        let ended = handled.is_ok().then(|| meter.ended());
        let verdict = match handled {
            Ok(Ok((disposition,))) => {
                self.poisoned = false;
                match disposition {
                    Ok(()) => Verdict::Done,
                    Err(Disposition::Retry(text)) => Verdict::Retry(self.cut(text)),
                    Err(Disposition::Reject(text)) => Verdict::Reject(self.cut(text)),
                }
            }
            Ok(Err(error)) => {
                let failure = sandbox::failure(self.store.data(), &error);
                if let Some(limit) = failure.limit {
                    self.store.data_mut().call.limits_hit.push(limit);
                }
                Verdict::GuestFailed(failure.text)
            }
            Err(panic) => Verdict::HostPanicked(panic.to_string()),
        };
        self.execution(verdict, ended)
    }

    /// Cuts a text of the guest, which may be as long as its memory.
    fn cut(&mut self, text: String) -> String {
        match text::too_long(&text) {
            None => text,
            Some(short) => {
                self.store.data_mut().call.limits_hit.push(names::TEXT_BYTES);
                short
            }
        }
    }

    fn execution(&mut self, verdict: Verdict, ended: Option<Instant>) -> Execution {
        let state = self.store.data_mut();
        let (logs, cut) = state.output.take();
        let call = &mut state.call;
        if verdict != Verdict::Done {
            call.effects.clear();
            call.kv.clear();
        }
        let mut limits_hit = std::mem::take(&mut call.limits_hit);
        limits_hit.extend(cut);
        Execution {
            verdict,
            effects: std::mem::take(&mut call.effects),
            kv: std::mem::take(&mut call.kv),
            calls: std::mem::take(&mut call.calls),
            logs,
            guest_time: state.meter.computed(),
            awaited: call.awaited + state.meter.slept(),
            limits_hit,
            ended,
        }
    }
}
