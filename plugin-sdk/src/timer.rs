//! Schedules of timers, made without counting milliseconds.

use std::time::Duration;

use crate::{Cron, Schedule};

impl Schedule {
    /// Once, this long after the event that sets it.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::After(millis(delay))
    }

    /// Again and again, first after one period; the host takes no period under 100 ms.
    #[must_use]
    pub fn every(period: Duration) -> Self {
        Self::Every(millis(period))
    }

    /// By a cron expression of five fields (minute, hour, day of the month, month, day of the week), by the clocks of an IANA
    /// time zone:
    ///
    /// ```
    /// # use switchbox_plugin::{Host, Schedule};
    /// # fn example(host: &Host) -> switchbox_plugin::Result<()> {
    /// host.set_timer("night", &Schedule::cron("30 3 * * *", "Europe/Berlin"), "")
    /// # }
    /// ```
    #[must_use]
    pub fn cron(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self::Cron(Cron { expression: expression.into(), time_zone: time_zone.into() })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_in_milliseconds() {
        assert_eq!(Schedule::after(Duration::from_secs(90)), Schedule::After(90_000));
        assert_eq!(Schedule::every(Duration::MAX), Schedule::Every(u64::MAX));
    }
}
