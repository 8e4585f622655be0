//! The method calls that wait for a device's answer, and the count of answers that come too late.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use switchbox_model::{DeviceName, DeviceNum, limits};

/// A device's answer to a method call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 0 to 65535: the device's own. That of an endpoint is 100 to 599.
    pub status: u16,
    pub payload: Bytes,
}

/// Why a device's reaction to a call is no [`Response`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResponse {
    /// The device refused the call, or the call is larger than the device takes.
    Refused,
    /// The status does not fit [`Response::status`].
    Status(i64),
}

/// At most so many devices are remembered as logged for a late answer; then the set is cleared, and they are logged again.
const LATE_LOGGED_MAX: usize = 10_000;

/// Counters of all calls of the host.
#[derive(Debug)]
pub(super) struct CallStats {
    /// The request id of the next call.
    pub(super) next_rid: AtomicU64,
    /// How many answers came when no call waited for them.
    pub(super) late: AtomicU64,
    /// The devices whose late answers were logged.
    late_logged: Mutex<HashSet<DeviceNum>>,
}

impl Default for CallStats {
    fn default() -> Self {
        Self { next_rid: AtomicU64::new(1), late: AtomicU64::new(0), late_logged: Mutex::default() }
    }
}

impl CallStats {
    pub(super) fn record_late(&self, device: DeviceNum, name: &DeviceName, rid: u64) {
        self.late.fetch_add(1, Ordering::Relaxed);
        let mut late_logged = self.late_logged.lock();
        if late_logged.len() >= LATE_LOGGED_MAX {
            late_logged.clear();
        }
        if late_logged.insert(device) {
            tracing::warn!(
                device = %name, rid,
                "dropped an answer that no method call waits for; further ones of this device are only counted"
            );
        }
    }
}

/// The calls that wait for one connected device, by their request id.
#[derive(Debug, Default)]
pub(super) struct WaitingCalls(Mutex<HashMap<u64, oneshot::Sender<Result<Response, NoResponse>>>>);

impl WaitingCalls {
    /// Registers a call. Returns the receiver of its answer, or `None` if as many calls wait as may.
    pub(super) fn begin(&self, rid: u64) -> Option<oneshot::Receiver<Result<Response, NoResponse>>> {
        let (answer, answered) = oneshot::channel();
        let mut calls = self.0.lock();
        if calls.len() >= limits::METHODS_IN_FLIGHT {
            return None;
        }
        calls.insert(rid, answer);
        Some(answered)
    }

    /// Gives the answer to its call. Returns false if no call waits for it.
    pub(super) fn answer(&self, rid: u64, response: Result<Response, NoResponse>) -> bool {
        let call = self.0.lock().remove(&rid);
        call.is_some_and(|call| call.send(response).is_ok())
    }

    /// The device disconnected: all waiting calls fail.
    pub(super) fn end(&self) {
        self.0.lock().clear();
    }
}

/// Removes a waiting call when its caller's future ends or is dropped.
pub(super) struct WaitingCallGuard<'a> {
    pub(super) waiting: &'a WaitingCalls,
    pub(super) rid: u64,
}

impl Drop for WaitingCallGuard<'_> {
    fn drop(&mut self) {
        self.waiting.0.lock().remove(&self.rid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16) -> Result<Response, NoResponse> {
        Ok(Response { status, payload: Bytes::new() })
    }

    #[test]
    fn each_answer_finds_its_call_and_only_once() {
        let waiting = WaitingCalls::default();
        let mut calls: Vec<_> = (1..=3).map(|rid| waiting.begin(rid).unwrap()).collect();
        for (rid, waited) in [(3, true), (1, true), (1, false), (9, false), (2, true)] {
            assert_eq!(waiting.answer(rid, response(rid as u16 + 200)), waited, "{rid}");
        }
        let got: Vec<_> = calls.iter_mut().map(|call| call.try_recv().unwrap().unwrap().status).collect();
        assert_eq!(got, [201, 202, 203]);
    }

    #[test]
    fn an_abandoned_call_is_not_waited_for() {
        let waiting = WaitingCalls::default();
        let call = waiting.begin(1).unwrap();
        drop(WaitingCallGuard { waiting: &waiting, rid: 1 });
        drop(call);
        assert!(!waiting.answer(1, response(200)));
    }

    #[test]
    fn a_device_has_so_many_calls_and_no_more_until_one_ends() {
        let waiting = WaitingCalls::default();
        let max = limits::METHODS_IN_FLIGHT as u64;
        let calls: Vec<_> = (0..max).map(|rid| waiting.begin(rid).unwrap()).collect();
        assert!(waiting.begin(max).is_none());
        assert!(waiting.answer(0, response(200)));
        assert!(waiting.begin(max).is_some());
        waiting.end();
        assert!(calls.into_iter().skip(1).all(|mut call| call.try_recv().is_err()), "the device is gone");
    }
}
