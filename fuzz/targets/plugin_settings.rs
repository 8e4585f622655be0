//! A plugin's settings file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::plugin_settings(data));
