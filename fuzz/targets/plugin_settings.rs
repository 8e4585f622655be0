//! A plugin's settings file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox::fuzzing::plugin_settings(data));
