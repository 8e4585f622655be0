//! The limits of the API's listeners.

use switchbox_http_server::{Bounds, Names};
use switchbox_model::limits;
use switchbox_transport::admission;

pub(super) fn bounds(connections: usize) -> Bounds {
    let admission = admission::Options {
        connections,
        per_address: limits::ADMIN_CONNECTIONS_PER_ADDRESS,
        per_second: limits::ADMIN_CONNECTS_PER_SECOND,
        // Unauthenticated connections never use up all permits.
        unauthenticated: limits::ADMIN_UNAUTHENTICATED.min((connections / 2).max(8)),
        names: admission::Names::ADMIN,
    };
    let (headers, head_bytes) = (limits::ADMIN_HEADERS, limits::ADMIN_HEAD_BYTES);
    Bounds { what: "the admin API", admission, headers, head_bytes, names: Names::ADMIN }
}
