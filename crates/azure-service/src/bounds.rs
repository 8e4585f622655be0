//! Limits of the listener.

use switchbox_http_server::{Bounds, Names};
use switchbox_model::limits;
use switchbox_transport::admission::{self, Rate};

/// Calls of one policy of a hub, of one device, or with one registration id.
pub(crate) const CALLS: Rate = Rate { burst: limits::HUB_API_CALL_BURST, per_second: limits::HUB_API_CALLS_PER_SECOND };
/// Calls of one address without a valid token.
pub(crate) const UNAUTHENTICATED: Rate =
    Rate { burst: limits::ADMIN_UNAUTHENTICATED_BURST, per_second: limits::ADMIN_UNAUTHENTICATED_PER_SECOND };

/// `connections`: how many there may be at a time.
pub(crate) fn bounds(connections: usize) -> Bounds {
    let per_address = connections.div_ceil(2);
    let admission = admission::Options {
        connections,
        per_address,
        per_second: limits::ADMIN_CONNECTS_PER_SECOND,
        unauthenticated: per_address.min(limits::HUB_API_UNAUTHENTICATED),
        names: admission::Names::HUB_API,
    };
    let (headers, head_bytes) = (limits::ADMIN_HEADERS, limits::ADMIN_HEAD_BYTES);
    Bounds { what: "the hub's API", admission, headers, head_bytes, names: Names::HUB_API }
}
