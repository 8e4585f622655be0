//! A connection of MQTT 5: CONNECT, then whatever comes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::mqtt_packets(data, true));
