//! The method calls of an execution, as they are compared and shown. Pure.

use std::sync::Arc;

use crate::names;
use switchbox_model::{DeviceName, DeviceNum};
use switchbox_plugin_runtime::Called;

/// A method call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLine {
    device: Arc<str>,
    method: String,
    /// The beginning of the request's payload.
    request: bytes::Bytes,
    /// A hash of the whole payload.
    hash: u64,
}

impl CallLine {
    fn to_text(&self) -> String {
        let request = match std::str::from_utf8(&self.request) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("({} bytes)", self.request.len()),
        };
        format!("{} {} {request}", self.device, self.method).trim_end().to_owned()
    }
}

/// `name` returns the names of devices.
#[must_use]
pub fn lines(calls: &[Called], name: &dyn Fn(DeviceNum) -> Option<DeviceName>) -> Vec<CallLine> {
    let line = |call: &Called| CallLine {
        device: names::of(call.device, name),
        method: call.method.clone(),
        request: call.request.clone(),
        hash: call.request_hash,
    };
    calls.iter().map(line).collect()
}

/// Compares the calls at equal positions. Returns a text for each that differs.
#[must_use]
pub fn differences(was: &[CallLine], is: &[CallLine]) -> Vec<String> {
    let places = (0..was.len().max(is.len())).filter(|at| was.get(*at) != is.get(*at));
    let shown = |call: Option<&CallLine>| call.map_or_else(|| "none".to_owned(), CallLine::to_text);
    places.map(|at| format!("method call {}: was {}, is {}", at + 1, shown(was.get(at)), shown(is.get(at)))).collect()
}
