//! The host's settings file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::host_settings(data));
