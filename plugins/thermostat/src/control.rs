//! When a heater is switched on and off. Pure.

/// The new state of the heater, if it changes. `heating` is its current state, if known.
pub(crate) fn heating(reported: f64, desired: f64, hysteresis: f64, heating: Option<bool>) -> Option<bool> {
    let heat = if reported <= desired - hysteresis {
        true
    } else if reported >= desired + hysteresis {
        false
    } else {
        // In between, it keeps its state.
        heating.unwrap_or(false)
    };
    (heating != Some(heat)).then_some(heat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heater_switches_at_the_edges_and_nowhere_between() {
        for (reported, now, expected) in [
            (19.0, Some(false), Some(true)),
            (19.5, Some(false), Some(true)),
            (19.6, Some(false), None),
            (20.4, Some(false), None),
            (19.6, Some(true), None),
            (20.4, Some(true), None),
            (20.5, Some(true), Some(false)),
            (21.0, Some(true), Some(false)),
            (19.0, Some(true), None),
            (21.0, Some(false), None),
            (19.0, None, Some(true)),
            (20.0, None, Some(false)),
            (21.0, None, Some(false)),
        ] {
            assert_eq!(heating(reported, 20.0, 0.5, now), expected, "{reported} °C, {now:?}");
        }
    }
}
