//! Twins.

use serde_json::value::RawValue;

use switchbox_admin_api as api;
use switchbox_core::twin::{Difference, Twin};

pub(crate) fn twin(twin: Twin<'_>) -> api::Twin {
    let Twin {
        desired,
        desired_version,
        desired_time_ms,
        desired_problem,
        acknowledged_version,
        acknowledged_time_ms,
        reported,
        reported_version,
        reported_time_ms,
        reported_problem,
        differs,
        left_out,
    } = twin;
    api::Twin {
        desired: document(desired),
        desired_version: api::Int64(desired_version),
        desired_time: desired_time_ms.map(api::Time),
        desired_problem,
        acknowledged_version: acknowledged_version.map(api::Int64),
        acknowledged_time: acknowledged_time_ms.map(api::Time),
        reported: document(reported),
        reported_version: api::Int64(reported_version),
        reported_time: reported_time_ms.map(api::Time),
        reported_problem,
        differs: differs.map(|differs| differs.into_iter().map(difference).collect()),
        differs_left_out: Some(left_out).filter(|left_out| *left_out > 0),
    }
}

fn difference(difference: Difference<'_>) -> api::Difference {
    let Difference { path, desired, reported, since_ms, or_before } = difference;
    api::Difference {
        path,
        desired: Some(document(desired)),
        reported: reported.map(document),
        since: Some(api::Time(since_ms)),
        or_before: or_before.then_some(true),
    }
}

fn document(text: &RawValue) -> api::Document {
    api::Document(text.to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;
    use switchbox_core::twin::{self, Tolerance};
    use switchbox_model::{Cause, DeviceNum};
    use switchbox_store::{ConfigVersion, StateVersion};

    /// Plugins and callers of the API get the same text.
    #[test]
    fn the_apis_type_has_the_fields_of_the_twin() {
        let config = |payload: &'static [u8]| ConfigVersion {
            device: DeviceNum(1),
            version: 2,
            time_ms: 5,
            payload: Bytes::from_static(payload),
            acknowledged_ms: Some(7),
            cause: Cause::Api { caller: "x".into() },
        };
        let state =
            StateVersion { device: DeviceNum(1), version: 1, time_ms: 9, payload: Bytes::from_static(b"{\"b\":1}") };
        for desired in [&b"{\"a\" : 1.50}"[..], b"on", b""] {
            let (configs, states) = ([config(desired)], [state.clone()]);
            let made = || twin::document(&configs, &states, Tolerance::EXACT);
            let shown = serde_json::to_string(&super::twin(made())).unwrap();
            assert_eq!(shown, made().text());
            assert!(serde_json::from_str::<Value>(&shown).is_ok());
        }
    }
}
