//! Method calls to devices. Unlike effects they happen during the execution, because the guest needs the answer.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            method::{Host, Response},
            types::Error,
        },
        execution::Called,
        grants::Capability,
        host::{MethodCall, MethodError},
        limits::Line,
        sandbox::StoreData,
    },
    args::Of as _,
    no_such_device,
};
use switchbox_model::{CallRecord, CallResult, DeviceNum, Effect, Target};
use switchbox_rules::calls::{self, DEVICE, METHOD, METHOD_NAME, Subscription};
use switchbox_support::clock;

impl Host for StoreData {
    async fn call(
        &mut self,
        device: String,
        name: String,
        payload: Vec<u8>,
        timeout_ms: u32,
    ) -> Result<Response, Error> {
        let host = self.admit_effect([DEVICE.of(&device), METHOD_NAME.of(&name), METHOD.of(&payload)])?;
        let Prepared { host, call, refused } = self.prepare(host, &device, name, payload, timeout_ms)?;
        let (to, method, request) = (call.device, call.method.clone(), CallRecord::beginning(&call.payload));
        let request_hash = hash(&call.payload);
        let time_ms = clock::now_ms();
        let left = self.setup.limits.host_call_time.saturating_sub(self.call.awaited);
        let began = Instant::now();
        let answer = match refused {
            Some(offline) => Ok(Err(offline)),
            None => timeout(left, host.call_method(call)).await,
        };
        let took = began.elapsed();
        self.call.awaited += took;
        let answer = match answer {
            Ok(Ok(answer)) => Ok(Response { status: answer.status, payload: answer.payload.to_vec() }),
            Ok(Err(MethodError::Offline(text))) => Err(Error::Offline(text)),
            Ok(Err(MethodError::TimedOut(text))) => Err(Error::TimedOut(text)),
            Ok(Err(MethodError::Invalid(text))) => Err(Error::Invalid(text)),
            Ok(Err(MethodError::Unavailable(text))) => Err(Error::Unavailable(text)),
            // Nothing was called, so it is none of the execution's calls.
            Ok(Err(MethodError::NewTargets(text))) => {
                let line = Line::MaxNewTargetsPerMinute;
                let text = format!("{text}{}", self.setup.limits.raise(line));
                return Err(Error::Limit(self.call.hit(line.limit(), &text)));
            }
            Err(_) => Err(self.waited_too_long()),
        };
        let result = recorded(&answer);
        self.call.calls.push(Called { device: to, method, request, request_hash, time_ms, took, result });
        answer
    }
}

/// A method call whose arguments and grants were checked.
struct Prepared {
    host: Arc<dyn super::super::HostCalls>,
    call: MethodCall,
    /// Why the device cannot be called now. It is recorded as a call that failed.
    refused: Option<MethodError>,
}

impl StoreData {
    fn prepare(
        &mut self,
        host: Arc<dyn super::super::HostCalls>,
        device: &str,
        method: String,
        payload: Vec<u8>,
        timeout_ms: u32,
    ) -> Result<Prepared, Error> {
        let name = self.check_device(Capability::Method, device)?;
        self.checked(calls::method_name(&method))?;
        let timeout = Duration::from_millis(self.checked(calls::method_timeout_ms(timeout_ms))?);
        let view = host.device(&name).ok_or_else(|| no_such_device(&name))?;
        self.check_targets(view.num)?;
        let reachable = calls::reachable(&name.id, view.connected, view.accepts_methods, Subscription::Methods);
        let refused = reachable.err().map(MethodError::Offline);
        let call = MethodCall {
            plugin: self.setup.name.clone(),
            seq: self.call.seq,
            attempt: self.call.attempt,
            index: u32::try_from(self.call.calls.len()).unwrap_or(u32::MAX),
            device: view.num,
            method,
            payload: payload.into(),
            timeout,
        };
        Ok(Prepared { host, call, refused })
    }

    /// A called device is a target of the event, as those of its effects are. A call happens at once, so one past the limit is refused.
    fn check_targets(&mut self, device: DeviceNum) -> Result<(), Error> {
        let Some(most) = self.setup.limits.max_targets_per_event.map(u32::from) else { return Ok(()) };
        let called = self.call.calls.iter().map(|call| call.device).chain([device]).map(Target::Device);
        let targets: HashSet<_> = self.call.effects.iter().filter_map(Effect::target).chain(called).collect();
        if targets.len() <= most as usize {
            return Ok(());
        }
        self.checked(Err(calls::too_many_targets(most)))
    }
}

fn hash(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

fn recorded(answer: &Result<Response, Error>) -> CallResult {
    match answer {
        Ok(answer) => CallResult::Answered { status: answer.status, payload: CallRecord::beginning(&answer.payload) },
        Err(
            Error::Offline(text)
            | Error::TimedOut(text)
            | Error::Invalid(text)
            | Error::Unavailable(text)
            | Error::Limit(text),
        ) => CallResult::Failed(text.clone()),
        Err(other) => CallResult::Failed(format!("{other:?}")),
    }
}
