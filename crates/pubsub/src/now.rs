//! The time for the table, which reads no clock itself.

use switchbox_model::broker::ClockReading;
use switchbox_support::clock;

/// What both clocks show now.
#[must_use]
pub fn now() -> ClockReading {
    ClockReading { instant: clock::instant(), ms: clock::now_ms() }
}
