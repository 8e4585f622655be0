//! The plugin against the fake host.

use switchbox_plugin::{prelude::*, testing::Harness};

use super::Thermostat;

fn harness() -> Harness<Thermostat> {
    let mut t = Harness::new(json!({})).unwrap();
    t.device("thermostat-1").device("heater-1");
    t
}

fn report(t: &mut Harness<Thermostat>, temperature: f64) {
    t.state_update("thermostat-1", json!({"temperature": temperature, "battery": 80}).to_string()).unwrap();
}

#[test]
fn the_heater_follows_the_reported_temperature() {
    let mut t = harness();
    for temperature in [18.0, 19.0, 20.2, 20.6, 20.1, 19.4] {
        report(&mut t, temperature);
    }
    let expected = [true, false, true].map(|heating| json!({"heating": heating}));
    assert_eq!(t.configs("heater-1"), expected);
}

#[test]
fn the_desired_twin_of_the_thermostat_says_what_it_should_be() {
    let mut t = harness();
    t.desire("thermostat-1", json!({"temperature": 23}));
    report(&mut t, 21.0);
    assert_eq!(t.configs("heater-1"), [json!({"heating": true})]);
}

#[test]
fn other_fields_of_the_heaters_config_stay() {
    let mut t = harness();
    t.desire("heater-1", json!({"fan": "low", "heating": false}));
    report(&mut t, 15.0);
    assert_eq!(t.configs("heater-1").last(), Some(&json!({"fan": "low", "heating": true})));
}

#[test]
fn a_state_without_a_temperature_is_rejected() {
    let mut t = harness();
    for payload in ["{}", "warm", r#"{"temperature": "20"}"#] {
        assert!(matches!(t.state_update("thermostat-1", payload), Err(Disposition::Reject(_))), "{payload}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, text) in [
        (json!({"heater": ""}), "thermostat and heater must not be empty"),
        (json!({"hysteresis": 0.0}), "hysteresis must be more than 0"),
        (json!({"target": 20}), "unknown field `target`"),
    ] {
        let Err(error) = Harness::<Thermostat>::new(settings) else { panic!("taken: {text}") };
        assert!(error.contains(text), "{error}");
    }
}
